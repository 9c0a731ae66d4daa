//! A language model without weights: its logits are a hash of the tokens that it finds in the cache.
//!
//! It reads the sequence back through the block table, slot by slot, so an engine that misplaces a token, forgets a
//! block or trusts a rejected draft gets other text, or a panic.

use crate::constrained_text::mix;
use veridraft_models::{Batch, CacheSpec, Error, LanguageModel, Limits, Logits, Result, TokenId};

/// Logits, `[vocabulary]`, by the tokens seen.
pub type Script = Box<dyn Fn(&[TokenId]) -> Vec<f32> + Send>;

/// A model whose next token depends on the last `memory` tokens: small memories make repetitive, draftable text.
pub struct ScriptedModel {
    /// Tokens that the logits depend on, at most.
    pub memory: usize,
    /// Columns of the logits.
    pub vocabulary: usize,
    /// Tokens in one sequence, at most.
    pub context_length: usize,
    /// Rows in one pass, at most.
    pub max_rows: usize,
    /// Whether it understands trees.
    pub tree: bool,
    /// Whether sequences may share blocks.
    pub share_blocks: bool,
    /// Logits behind the tokens seen, `[vocabulary]`, instead of the hash.
    pub logits: Option<Script>,
    /// Fails passes whose number is a multiple of this; 0 never.
    pub fail_every: usize,
    cache: CacheSpec,
    slots: Vec<Option<(TokenId, usize)>>,
    passes: usize,
}

impl ScriptedModel {
    /// A model with an empty cache of `blocks` blocks.
    pub fn new(block_tokens: usize, blocks: usize) -> Self {
        Self {
            memory: 2,
            vocabulary: 12,
            context_length: 256,
            max_rows: 64,
            tree: true,
            share_blocks: true,
            logits: None,
            fail_every: 0,
            cache: CacheSpec { block_tokens, blocks, block_bytes: 1 },
            slots: vec![None; block_tokens * blocks],
            passes: 0,
        }
    }

    fn write(&mut self, batch: &Batch) {
        for row in 0..batch.rows() {
            let slot = batch.slot_mapping[row] as usize;
            self.slots[slot] = Some((batch.token_ids[row], batch.positions[row] as usize));
        }
    }

    /// The tokens from the start of the row's sequence to the row, as the cache holds them.
    fn seen(&self, batch: &Batch, row: usize) -> Vec<TokenId> {
        let sequence = batch.query_starts.partition_point(|&start| start as usize <= row) - 1;
        let table = &batch.block_tables[sequence];
        let block_tokens = self.cache.block_tokens;
        let token = |(position, slot): (usize, usize)| {
            let (token, written) = self.slots[slot].expect("a row attends to written slots");
            assert_eq!(written, position, "slot {slot} holds another position");
            token
        };
        let in_table = |position: usize| {
            (position, table[position / block_tokens].0 as usize * block_tokens + position % block_tokens)
        };
        let Some(mask) = &batch.tree_mask else {
            return (0..=batch.positions[row] as usize).map(in_table).map(token).collect();
        };
        let first = batch.query_starts[sequence] as usize;
        let visible = &mask.visible[row * mask.width..][..mask.width];
        let ancestors: Vec<_> = (0..mask.width).filter(|&other| visible[other]).map(|other| first + other).collect();
        assert_eq!(ancestors.last(), Some(&row), "a row sees itself last");
        let context = batch.positions[first] as usize;
        let new = ancestors.iter().enumerate().map(|(depth, &ancestor)| {
            assert_eq!(batch.positions[ancestor] as usize, context + depth, "depths on the way to row {row}");
            (context + depth, batch.slot_mapping[ancestor] as usize)
        });
        (0..context).map(in_table).chain(new).map(token).collect()
    }

    /// The logits behind the tokens `seen`, `[vocabulary]`.
    pub fn scores(&self, seen: &[TokenId]) -> Vec<f32> {
        if let Some(logits) = &self.logits {
            return logits(seen);
        }
        let recent = &seen[seen.len().saturating_sub(self.memory)..];
        let state = recent.iter().fold(17_u64, |state, &token| mix(state ^ u64::from(token)));
        let score = |token: u64| (mix(state ^ (token << 32)) >> 40) as f32 / (1 << 21) as f32;
        (0..self.vocabulary as u64).map(score).collect()
    }
}

impl LanguageModel for ScriptedModel {
    fn cache_spec(&self) -> CacheSpec {
        self.cache
    }

    fn limits(&self) -> Limits {
        Limits {
            max_rows: self.max_rows,
            context_length: self.context_length,
            ragged: true,
            tree: self.tree,
            share_blocks: self.share_blocks,
            row_exact: true,
        }
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn forward(&mut self, batch: &Batch) -> Result<Logits> {
        assert!(batch.rows() <= self.max_rows, "{} rows, at most {}", batch.rows(), self.max_rows);
        self.passes += 1;
        if self.fail_every > 0 && self.passes.is_multiple_of(self.fail_every) {
            for &slot in &batch.slot_mapping {
                self.slots[slot as usize] = None;
            }
            return Err(Error::Runtime("scripted failure".to_owned()));
        }
        self.write(batch);
        let rows = batch.logit_rows.iter();
        let values = rows.flat_map(|&row| self.scores(&self.seen(batch, row as usize))).collect();
        Ok(Logits { vocabulary: self.vocabulary, values })
    }

    fn copy_slots(&mut self, copies: &[(u32, u32)]) -> Result<()> {
        for &(from, to) in copies {
            self.slots[to as usize] = self.slots[from as usize];
        }
        Ok(())
    }
}
