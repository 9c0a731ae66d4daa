//! Some sequences with their numbers, laid out as a batch and run.

use crate::attention::{
    Attention, AttentionConfig, Columns, KvType, LayerPages, PagedRows, PositionBias, append, attend,
};
use crate::{CosSin, Parallel, Simd};

/// One sequence of a case: cached tokens, then new rows with their parents (`None` hangs on the context).
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub(super) context: usize,
    pub(super) parents: Vec<Option<usize>>,
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) config: AttentionConfig,
    pub(super) kv_type: KvType,
    pub(super) sequences: Vec<Sequence>,
    /// Distances of the position bias; 0 for none.
    pub(super) distances: usize,
    pub(super) seed: u64,
}

/// The arrays of a case, as a batch would hold them.
pub(super) struct Arrays {
    pub(super) positions: Vec<i32>,
    pub(super) slots: Vec<i32>,
    pub(super) tables: Vec<i32>,
    pub(super) blocks_per_table: usize,
    pub(super) starts: Vec<i32>,
    pub(super) mask: Vec<bool>,
    pub(super) width: usize,
    pub(super) blocks: usize,
}

impl Sequence {
    pub(super) fn chain(context: usize, rows: usize) -> Self {
        Self { context, parents: (0..rows).map(|row| row.checked_sub(1)).collect() }
    }

    /// Rows on the way from the context to `row`, itself last.
    pub(super) fn path(&self, row: usize) -> Vec<usize> {
        let mut path = vec![row];
        while let Some(parent) = self.parents[path[0]] {
            path.insert(0, parent);
        }
        path
    }

    pub(super) fn is_chain(&self) -> bool {
        self.parents.iter().enumerate().all(|(row, parent)| *parent == row.checked_sub(1))
    }

    pub(super) fn tokens(&self) -> usize {
        self.context + self.parents.len()
    }
}

/// Numbers in [-1, 1) that depend on `key` alone.
pub(super) fn noise(key: u64) -> f32 {
    let mut state = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((state ^ (state >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

pub(super) fn rotary_angle(position: usize, index: usize) -> f32 {
    position as f32 * 0.7_f32.powi(index as i32)
}

impl Case {
    pub(super) fn columns(&self) -> usize {
        (self.config.heads + 2 * self.config.kv_heads) * self.config.head_dim
    }

    /// The fused q/k/v of one token, known by sequence, index in it, and case.
    pub(super) fn qkv(&self, sequence: usize, token: usize) -> Vec<f32> {
        let key = self.seed ^ ((sequence as u64) << 48) ^ ((token as u64) << 24);
        (0..self.columns() as u64).map(|column| 3.0 * noise(key.wrapping_add(column << 56 ^ column))).collect()
    }

    pub(super) fn rotary(&self) -> Vec<f32> {
        let half = self.config.rotary_dim / 2;
        let row = |position| {
            (0..half)
                .map(move |index| rotary_angle(position, index).cos())
                .chain((0..half).map(move |index| rotary_angle(position, index).sin()))
        };
        (0..4096).flat_map(row).collect()
    }

    /// Blocks are dealt to sequences in an order that the seed shuffles.
    pub(super) fn arrays(&self) -> Arrays {
        let block_tokens = self.config.block_tokens;
        let counts: Vec<_> = self.sequences.iter().map(|sequence| sequence.tokens().div_ceil(block_tokens)).collect();
        let blocks_per_table = counts.iter().copied().max().unwrap_or(0) + 1;
        let blocks = counts.iter().sum::<usize>() + 2;
        let mut order: Vec<i32> = (0..blocks as i32).collect();
        order.sort_by_key(|&block| noise(self.seed ^ 77 ^ ((block as u64) << 20)).to_bits());
        let mut arrays = Arrays {
            positions: Vec::new(),
            slots: Vec::new(),
            tables: Vec::new(),
            blocks_per_table,
            starts: vec![0],
            mask: Vec::new(),
            width: 0,
            blocks,
        };
        if !self.sequences.iter().all(Sequence::is_chain) {
            arrays.width = self.sequences.iter().map(|sequence| sequence.parents.len()).max().unwrap_or(0);
        }
        let mut dealt = order.into_iter();
        for (sequence, count) in self.sequences.iter().zip(counts) {
            let table: Vec<i32> = dealt.by_ref().take(count).collect();
            for row in 0..sequence.parents.len() {
                let path = sequence.path(row);
                let stored = sequence.context + row;
                arrays.positions.push((sequence.context + path.len() - 1) as i32);
                arrays.slots.push(table[stored / block_tokens] * block_tokens as i32 + (stored % block_tokens) as i32);
                arrays.mask.extend((0..arrays.width).map(|other| path.contains(&other)));
            }
            arrays.starts.push(arrays.positions.len() as i32);
            arrays.tables.extend(&table);
            arrays.tables.extend(std::iter::repeat_n(-1, blocks_per_table - table.len()));
        }
        arrays
    }

    /// Fills the context, appends the new rows and attends with them: `[rows, heads * head_dim]`.
    pub(super) fn run(&self, simd: Simd, parallel: &dyn Parallel) -> Vec<f32> {
        self.run_over(&mut self.pages(), simd, parallel)
    }

    pub(super) fn pages(&self) -> LayerPages {
        LayerPages::new(&self.config, self.kv_type, self.arrays().blocks)
    }

    pub(super) fn run_over(&self, pages: &mut LayerPages, simd: Simd, parallel: &dyn Parallel) -> Vec<f32> {
        let arrays = self.arrays();
        let table = self.rotary();
        let cos_sin = (self.config.rotary_dim > 0).then_some(CosSin { table: &table, positions: 4096 });
        for (number, sequence) in self.sequences.iter().enumerate() {
            self.fill_context(number, sequence, &arrays, pages, cos_sin.as_ref());
        }
        let new = self.sequences.iter().enumerate().flat_map(|(number, sequence)| {
            (0..sequence.parents.len()).flat_map(move |row| self.qkv(number, sequence.context + row))
        });
        let qkv: Vec<f32> = new.collect();
        let rows = arrays.rows();
        let rows = rows.check(&self.config, arrays.blocks, cos_sin.as_ref()).expect("a well-formed case");
        let (stride, kv) = (self.columns(), self.config.kv_heads * self.config.head_dim);
        let part = |offset| Columns { data: &qkv, stride, offset };
        append(&self.config, pages, &rows, part(stride - 2 * kv), part(stride - kv), cos_sin.as_ref());
        let bias = self.bias();
        let position_bias = self.position_bias(&bias);
        let mut output = vec![f32::NAN; arrays.positions.len() * self.config.heads * self.config.head_dim];
        let attention =
            Attention { config: &self.config, pages, rows: &rows, queries: part(0), cos_sin, position_bias };
        attend(simd, attention, &mut output, parallel);
        output
    }

    /// The table of the position bias, `[heads, distances]`.
    pub(super) fn bias(&self) -> Vec<f32> {
        (0..self.config.heads * self.distances).map(|place| 2.0 * noise(self.seed ^ (place as u64) << 40)).collect()
    }

    pub(super) fn position_bias<'a>(&self, table: &'a [f32]) -> Option<PositionBias<'a>> {
        (self.distances > 0).then_some(PositionBias { table, distances: self.distances })
    }

    pub(super) fn fill_context(
        &self,
        number: usize,
        sequence: &Sequence,
        arrays: &Arrays,
        pages: &mut LayerPages,
        cos_sin: Option<&CosSin>,
    ) {
        if sequence.context == 0 {
            return;
        }
        let block_tokens = self.config.block_tokens;
        let table = &arrays.tables[number * arrays.blocks_per_table..][..arrays.blocks_per_table];
        let slot =
            |position: usize| table[position / block_tokens] * block_tokens as i32 + (position % block_tokens) as i32;
        let slots: Vec<i32> = (0..sequence.context).map(slot).collect();
        let positions: Vec<i32> = (0..sequence.context as i32).collect();
        let rows = PagedRows {
            positions: &positions,
            slot_mapping: &slots,
            block_tables: table,
            blocks_per_table: arrays.blocks_per_table,
            query_starts: &[0, sequence.context as i32],
            tree: None,
        };
        let rows = rows.check(&self.config, arrays.blocks, cos_sin).expect("a well-formed context");
        let qkv: Vec<f32> = (0..sequence.context).flat_map(|token| self.qkv(number, token)).collect();
        let (stride, kv) = (self.columns(), self.config.kv_heads * self.config.head_dim);
        let part = |offset| Columns { data: &qkv, stride, offset };
        append(&self.config, pages, &rows, part(stride - 2 * kv), part(stride - kv), cos_sin);
    }
}

impl Arrays {
    pub(super) fn rows(&self) -> PagedRows<'_> {
        PagedRows {
            positions: &self.positions,
            slot_mapping: &self.slots,
            block_tables: &self.tables,
            blocks_per_table: self.blocks_per_table,
            query_starts: &self.starts,
            tree: (self.width > 0).then_some((&self.mask, self.width)),
        }
    }
}
