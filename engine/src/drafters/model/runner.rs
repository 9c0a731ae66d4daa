//! The draft model with its pool: computes what sequences lack, in as few forwards as fit, and never lacks blocks.
//!
//! Room is decided before a call's first forward, from lengths and the size of the pool alone ([`Runner::admit`]): in
//! the order wanted each sequence gets the blocks that its tokens and its whole draft need, or a shorter draft, or none.
//! Caches do not count there, because those of all other sequences can be given up, the longest idle first. So
//! taking blocks never fails within a call.

use std::collections::BTreeMap;

use veridraft_models::{Batch, BlockId, LanguageModel, TokenId};

use super::cache::Cache;
use super::rows;
use crate::{BlockPool, Result, SequenceId};

/// A model and what its cache holds of each sequence.
pub(super) struct Runner {
    model: Box<dyn LanguageModel>,
    block_tokens: usize,
    pool: BlockPool,
    caches: BTreeMap<SequenceId, Cache>,
    /// Numbers the calls.
    call: u64,
}

impl Runner {
    pub(super) fn new(model: Box<dyn LanguageModel>) -> Self {
        let spec = model.cache_spec();
        let pool = BlockPool::new(spec.blocks);
        Self { model, block_tokens: spec.block_tokens.max(1), pool, caches: BTreeMap::new(), call: 0 }
    }

    /// Columns of the model's logits.
    /// Committed tokens of a sequence that are not computed.
    pub(super) fn backlog(&self, sequence: SequenceId) -> usize {
        self.caches.get(&sequence).map_or(0, |cache| cache.committed.saturating_sub(cache.computed))
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.model.vocabulary()
    }

    /// Committed tokens of a sequence; 0 when it is not known.
    pub(super) fn committed(&self, sequence: SequenceId) -> usize {
        self.caches.get(&sequence).map_or(0, |cache| cache.committed)
    }

    /// The last committed tokens of a sequence, at most `count`.
    pub(super) fn last_committed(&self, sequence: SequenceId, count: usize) -> &[TokenId] {
        let Some(cache) = self.caches.get(&sequence) else { return &[] };
        &cache.tokens[cache.committed.saturating_sub(count)..cache.committed]
    }

    /// Adds committed tokens.
    pub(super) fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]) {
        self.splice(sequence, self.committed(sequence), tokens);
    }

    /// Replaces the committed tokens from the `keep`-th on.
    pub(super) fn splice(&mut self, sequence: SequenceId, keep: usize, tokens: &[TokenId]) {
        let cache = self.caches.entry(sequence).or_default();
        cache.splice(keep, tokens);
        cache.trim(self.block_tokens, &mut self.pool);
    }

    /// Forgets a sequence.
    pub(super) fn release(&mut self, sequence: SequenceId) {
        if let Some(mut cache) = self.caches.remove(&sequence) {
            cache.drop_rows(&mut self.pool);
        }
    }

    /// Begins a call for sequences and the tokens wanted of each; returns how many each may draft.
    ///
    /// 0 where the sequence is not known, has no tokens, is longer than the model's context or finds no room.
    pub(super) fn admit(&mut self, wanted: &[(SequenceId, usize)]) -> Vec<usize> {
        self.call += 1;
        let context_length = self.model.limits().context_length;
        let mut blocks = self.pool.blocks();
        let mut admit = |&(sequence, depth): &(SequenceId, usize)| {
            // A sequence named twice drafts once.
            let cache = self.caches.get_mut(&sequence).filter(|cache| cache.committed > 0 && cache.used < self.call)?;
            // The last token of a draft needs no row.
            let rows = (blocks * self.block_tokens).min(context_length);
            let depth = depth.min((rows + 1).checked_sub(cache.committed)?);
            let needed = (cache.committed + depth.checked_sub(1)?).div_ceil(self.block_tokens);
            blocks -= needed;
            cache.used = self.call;
            cache.rewind();
            cache.trim(self.block_tokens, &mut self.pool);
            Some(depth)
        };
        wanted.iter().map(|wanted| admit(wanted).unwrap_or(0)).collect()
    }

    /// Grows the drafts of admitted sequences, each named with an index for `next`, and ends the call.
    ///
    /// `next` takes the logits behind the last of a sequence's tokens and returns the token whose logits are wanted
    /// next, or `None` at the draft's end. Each further depth takes one forward for all, or as many as have room for
    /// their rows.
    pub(super) fn grow(
        &mut self,
        mut going: Vec<(usize, SequenceId)>,
        mut next: impl FnMut(usize, &[f32]) -> Option<TokenId>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        while outcome.is_ok() && !going.is_empty() {
            let mut went_on = Vec::new();
            outcome = self.advance(&going, |cache, (index, sequence), logits| {
                if let Some(token) = next(index, logits) {
                    cache.tokens.push(token);
                    went_on.push((index, sequence));
                }
            });
            going = went_on;
        }
        self.settle();
        outcome
    }

    /// Computes all uncomputed tokens of the sequences and gives `visit` the logits behind the last of each.
    fn advance(
        &mut self,
        going: &[(usize, SequenceId)],
        mut visit: impl FnMut(&mut Cache, (usize, SequenceId), &[f32]),
    ) -> Result<()> {
        going.iter().for_each(|&(_, sequence)| self.take_blocks(sequence));
        let mut uncomputed: Vec<_> = going.iter().map(|(_, sequence)| self.caches[sequence].uncomputed()).collect();
        loop {
            let shares = rows::shares(&uncomputed, self.model.limits());
            if shares.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::default();
            for &(at, count) in &shares {
                rows::append(&mut batch, &self.caches[&going[at].1], count, self.block_tokens);
            }
            // Rows count as computed only now, so an error leaves none whose values are unknown.
            let logits = self.model.forward(&batch)?;
            let mut row = 0;
            for (at, count) in shares {
                uncomputed[at] -= count;
                let cache = self.cache(going[at].1);
                cache.computed += count;
                if uncomputed[at] == 0 {
                    visit(cache, going[at], logits.row(row));
                    row += 1;
                }
            }
        }
    }

    /// What was drafted and not computed is forgotten.
    fn settle(&mut self) {
        for cache in self.caches.values_mut().filter(|cache| cache.used == self.call) {
            cache.settle();
            cache.trim(self.block_tokens, &mut self.pool);
        }
    }

    fn cache(&mut self, sequence: SequenceId) -> &mut Cache {
        self.caches.get_mut(&sequence).expect("an admitted sequence is known")
    }

    fn take_blocks(&mut self, sequence: SequenceId) {
        let needed = self.caches[&sequence].tokens.len().div_ceil(self.block_tokens);
        while self.caches[&sequence].block_table.len() < needed {
            let block = self.take_block();
            self.cache(sequence).block_table.push(block);
        }
    }

    fn take_block(&mut self) -> BlockId {
        loop {
            if let Some(block) = self.pool.allocate() {
                return block;
            }
            let idle = self.caches.values_mut().filter(|cache| cache.used < self.call && !cache.block_table.is_empty());
            let longest = idle.min_by_key(|cache| cache.used).expect("admitted sequences fit the pool together");
            longest.drop_rows(&mut self.pool);
        }
    }

    /// Says what breaks the pool, or the agreement of tables and pool between calls.
    #[cfg(test)]
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        self.pool.check()?;
        let held: usize = self.caches.values().map(|cache| cache.block_table.len()).sum();
        if held + self.pool.free_blocks() != self.pool.blocks() {
            return Err(format!("{held} blocks in tables, {} free of {}", self.pool.free_blocks(), self.pool.blocks()));
        }
        for (sequence, cache) in &self.caches {
            let fits = cache.block_table.len() == cache.computed.div_ceil(self.block_tokens);
            if !fits || cache.computed > cache.tokens.len() || cache.committed > cache.tokens.len() {
                return Err(format!("{sequence:?}: {cache:?}"));
            }
        }
        Ok(())
    }
}
