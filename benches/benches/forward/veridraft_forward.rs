//! A whole forward pass of the default model by Veridraft.

use std::path::Path;

use anyhow::{Context, Result};
use veridraft_models::cache::cache_directory;
use veridraft_models::runtime::Runtime;
use veridraft_models::{Batch, BlockId, CausalModel, CausalModelConfig, LanguageModel, Simd};

use crate::contender::Contender;
use crate::session::THREADS;
use crate::sizes::{PROMPT, Pass, VOCABULARY};

/// Where the default model lies in the cache.
const MODEL: &str = "models/smollm2-135m/auto/onnx/model.onnx";

/// The open model.
pub(crate) struct VeridraftForward {
    model: CausalModel,
    weight_bytes: u64,
    simd: Simd,
}

impl VeridraftForward {
    pub(crate) fn create(runtime: &Runtime, simd: Simd) -> Result<Self> {
        let path = cache_directory()?.join(MODEL);
        let data = path.with_extension("onnx.data");
        let weight_bytes = size(&data).context("run `veridraft model pull smollm2-135m` first")?;
        let config = CausalModelConfig { threads: THREADS, simd, ..CausalModelConfig::default() };
        Ok(Self { model: CausalModel::open(runtime, &path, config)?, weight_bytes, simd })
    }
}

fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("`{}`", path.display()))?.len())
}

impl Contender for VeridraftForward {
    fn name(&self) -> String {
        format!("Veridraft, {}", self.simd)
    }

    fn bytes(&self, _: Pass) -> u64 {
        self.weight_bytes
    }

    /// The rows stand behind a context of zeros in the cache, which cost what any others would.
    fn run(&mut self, pass: Pass) -> Result<()> {
        let block_tokens = self.model.cache_spec().block_tokens;
        let (rows, sequences) = (pass.rows_each() as u32, pass.sequences as u32);
        let room = if sequences == 1 { PROMPT + 64 } else { pass.context + pass.rows_each() };
        let blocks = room.div_ceil(block_tokens) as u32;
        let each = pass.context as u32..pass.context as u32 + rows;
        let positions: Vec<u32> = (0..sequences).flat_map(|_| each.clone()).collect();
        let first_slot = |sequence: u32| sequence * blocks * block_tokens as u32;
        let slots =
            (0..sequences).flat_map(|sequence| each.clone().map(move |position| first_slot(sequence) + position));
        let first_logits = pass.logit_rows();
        let logit_rows = (0..sequences).flat_map(|s| first_logits.iter().map(move |&row| s * rows + row as u32));
        let batch = Batch {
            token_ids: positions.iter().map(|position| position * 97 % VOCABULARY as u32).collect(),
            slot_mapping: slots.collect(),
            block_tables: (0..sequences).map(|s| (s * blocks..(s + 1) * blocks).map(BlockId).collect()).collect(),
            query_starts: (0..=sequences).map(|sequence| sequence * rows).collect(),
            sources: Vec::new(),
            tree_mask: None,
            logit_rows: logit_rows.collect(),
            positions,
        };
        self.model.forward(&batch)?;
        Ok(())
    }
}
