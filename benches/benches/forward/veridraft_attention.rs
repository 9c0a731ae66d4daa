//! The attention of all layers by Veridraft's kernels: rotation, appending and attending, as ONNX Runtime's operator does.

use anyhow::Result;
use veridraft_benches::noise;
use veridraft_kernels::{
    Attention, AttentionConfig, Columns, CosSin, KvType, LayerPages, PagedRows, Pool, Simd, append, attend,
};

use crate::contender::Contender;
use crate::session::THREADS;
use crate::sizes::{HEAD_DIM, HEADS, KV_HEADS, LAYERS, Pass, QKV, SCALE, SLOTS, rotary_angle};

const CONFIG: AttentionConfig = AttentionConfig {
    heads: HEADS,
    kv_heads: KV_HEADS,
    head_dim: HEAD_DIM,
    scale: SCALE,
    rotary_dim: HEAD_DIM,
    window: None,
    softcap: None,
    block_tokens: 16,
};

const BLOCKS: usize = SLOTS / CONFIG.block_tokens;

/// Pages of all layers and the threads that attend.
pub(crate) struct VeridraftAttention {
    layers: Vec<LayerPages>,
    /// Rows of queries, keys and values, `[SLOTS, QKV.outs]`.
    qkv: Vec<f32>,
    /// `[SLOTS, HEAD_DIM]`
    rotary: Vec<f32>,
    pool: Pool,
    simd: Simd,
}

impl VeridraftAttention {
    /// Every slot is written once, so that it has memory of its own.
    pub(crate) fn create(simd: Simd) -> Result<Self> {
        let mut attention = Self {
            layers: (0..LAYERS).map(|_| LayerPages::new(&CONFIG, KvType::F32, BLOCKS)).collect(),
            qkv: noise(SLOTS * QKV.outs),
            rotary: (0..SLOTS).flat_map(rotary_row).collect(),
            pool: Pool::new(THREADS)?,
            simd,
        };
        attention.attend(Pass { sequences: 1, rows: SLOTS, context: 0, logits: 0 });
        Ok(attention)
    }

    fn attend(&mut self, pass: Pass) {
        let Self { layers, qkv, rotary, pool, simd } = self;
        let _awake = pool.pass();
        let positions: Vec<i32> = (pass.context..pass.context + pass.rows).map(|position| position as i32).collect();
        let table: Vec<i32> = (0..BLOCKS as i32).collect();
        let rows = PagedRows {
            positions: &positions,
            slot_mapping: &positions,
            block_tables: &table,
            blocks_per_table: BLOCKS,
            query_starts: &[0, pass.rows as i32],
            tree: None,
        };
        let cos_sin = Some(CosSin { table: rotary, positions: SLOTS });
        let rows = rows.check(&CONFIG, BLOCKS, cos_sin.as_ref()).expect("well-formed rows");
        let part = |head: usize| Columns { data: qkv, stride: QKV.outs, offset: head * HEAD_DIM };
        let mut output = vec![0.0; pass.rows * HEADS * HEAD_DIM];
        for pages in layers {
            append(&CONFIG, pages, &rows, part(HEADS), part(HEADS + KV_HEADS), cos_sin.as_ref());
            let attention =
                Attention { config: &CONFIG, pages, rows: &rows, queries: part(0), cos_sin, position_bias: None };
            attend(*simd, attention, &mut output, &*pool);
        }
    }
}

/// Cosines of a position, then its sines.
fn rotary_row(position: usize) -> impl Iterator<Item = f32> {
    let angles = move || (0..HEAD_DIM / 2).map(move |pair| rotary_angle(position, pair));
    angles().map(f32::cos).chain(angles().map(f32::sin))
}

impl Contender for VeridraftAttention {
    fn name(&self) -> String {
        format!("Veridraft, {}", self.simd)
    }

    fn bytes(&self, pass: Pass) -> u64 {
        pass.kv_bytes()
    }

    fn run(&mut self, pass: Pass) -> Result<()> {
        self.attend(pass);
        Ok(())
    }
}
