//! Texts run through a model in pieces of any size, and compared to the bit.

use veridraft_models::{Batch, BlockId, CausalModel, LanguageModel, Result, TokenId, TreeMask};

const BLOCK_TOKENS: usize = 16;

/// Blocks of sequence `number` of several, scattered over the pool.
pub fn scattered_table(number: usize, sequences: usize, tokens: usize) -> Vec<BlockId> {
    let blocks = tokens.div_ceil(BLOCK_TOKENS);
    (0..blocks).map(|index| BlockId(((blocks - 1 - index) * sequences + number) as u32)).collect()
}

/// Adds rows `start..end` of a sequence to the batch and wants all their logits.
pub fn add_rows(batch: &mut Batch, tokens: &[TokenId], start: usize, end: usize, table: &[BlockId]) {
    if batch.query_starts.is_empty() {
        batch.query_starts.push(0);
    }
    for position in start..end {
        batch.logit_rows.push(batch.token_ids.len() as u32);
        batch.token_ids.push(tokens[position]);
        batch.positions.push(position as u32);
        let block = table[position / BLOCK_TOKENS].0 as usize;
        batch.slot_mapping.push((block * BLOCK_TOKENS + position % BLOCK_TOKENS) as u32);
    }
    batch.block_tables.push(table.to_vec());
    batch.query_starts.push(batch.token_ids.len() as u32);
}

/// Logits of every row, and every KV row, with the prompt cut into chunks of `chunk` rows.
pub fn run_chunked(model: &mut CausalModel, tokens: &[TokenId], chunk: usize) -> Result<(Vec<f32>, Vec<f32>)> {
    let table = scattered_table(0, 1, tokens.len());
    let mut logits = Vec::new();
    for start in (0..tokens.len()).step_by(chunk) {
        let mut batch = Batch::default();
        add_rows(&mut batch, tokens, start, (start + chunk).min(tokens.len()), &table);
        logits.extend(model.forward(&batch)?.values);
    }
    Ok((logits, kv_rows(model, tokens.len(), &table)))
}

fn kv_rows(model: &CausalModel, tokens: usize, table: &[BlockId]) -> Vec<f32> {
    let mut rows = Vec::new();
    for layer in 0..model.metadata().layers {
        for position in 0..tokens {
            let slot = table[position / BLOCK_TOKENS].0 as usize * BLOCK_TOKENS + position % BLOCK_TOKENS;
            let (key, value) = model.kv_row(layer, slot).expect("the layer exists");
            rows.extend(key.into_iter().chain(value));
        }
    }
    rows
}

/// Names the first difference instead of printing thousands of numbers.
pub fn assert_same_bits(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let difference = found.iter().zip(expected).position(|(found, expected)| found.to_bits() != expected.to_bits());
    if let Some(index) = difference {
        panic!("{what}: value {index} is {}, expected {}", found[index], expected[index]);
    }
}

/// Rows of a tree, each below an earlier one or below the context.
#[derive(Clone, Copy, Debug)]
pub struct TreeOfRows<'a> {
    /// Tokens before the tree.
    pub context: &'a [TokenId],
    /// The tree's tokens.
    pub draft: &'a [TokenId],
    /// By row its parent.
    pub parents: &'a [Option<usize>],
}

impl TreeOfRows<'_> {
    /// Panics unless each row of the tree has the logits of the same path as a chain of single steps.
    pub fn check(&self, model: &mut CausalModel) -> Result<()> {
        let table = scattered_table(0, 1, self.context.len() + self.draft.len());
        let expected: Vec<_> = (0..self.draft.len()).map(|row| self.chain(model, row)).collect::<Result<_>>()?;
        let mut prefill = Batch::default();
        add_rows(&mut prefill, self.context, 0, self.context.len(), &table);
        model.forward(&prefill)?;
        let logits = model.forward(&self.batch(&table))?;
        for (row, expected) in expected.iter().enumerate() {
            assert_same_bits(logits.row(row), expected, &format!("row {row} of the tree"));
        }
        Ok(())
    }

    fn batch(&self, table: &[BlockId]) -> Batch {
        let mut batch = Batch::default();
        let padded: Vec<_> = self.context.iter().chain(self.draft).copied().collect();
        add_rows(&mut batch, &padded, self.context.len(), padded.len(), table);
        let width = self.draft.len();
        batch.positions = (0..width).map(|row| (self.context.len() + self.path(row).len() - 1) as u32).collect();
        let visible = (0..width).flat_map(|row| {
            let path = self.path(row);
            (0..width).map(move |other| path.contains(&other))
        });
        batch.tree_mask = Some(TreeMask { width, visible: visible.collect() });
        batch
    }

    /// The last logits of the path to `row`, one token at a time.
    fn chain(&self, model: &mut CausalModel, row: usize) -> Result<Vec<f32>> {
        let branch = self.path(row).into_iter().map(|row| self.draft[row]);
        let tokens: Vec<_> = self.context.iter().copied().chain(branch).collect();
        let (logits, _) = run_chunked(model, &tokens, 1)?;
        Ok(logits[logits.len() - model.vocabulary()..].to_vec())
    }

    fn path(&self, mut row: usize) -> Vec<usize> {
        let mut path = vec![row];
        while let Some(parent) = self.parents[row] {
            row = parent;
            path.insert(0, row);
        }
        path
    }
}
