//! A model with one sequence in its cache, of which any stretch of rows can be computed again and again.
//!
//! The token at a position follows from the position alone, so a row finds the same numbers before it in every pass.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use veridraft_models::{Batch, BlockId, CacheSpec, EncoderSpec, LanguageModel, SourceId, TokenId};

/// The model and the sequence.
pub(super) struct OneSequence<M: ?Sized> {
    pub(super) model: Box<M>,
    /// What it reads beside its tokens, where it has an encoder.
    source: Option<SourceId>,
}

/// Tokens of the source, if the encoder takes as many.
const SOURCE: usize = 64;

impl<M: LanguageModel + ?Sized> OneSequence<M> {
    /// No tokens computed yet.
    pub(super) fn new(mut model: Box<M>) -> Result<Self> {
        let spec = model.encoder();
        let encode = |spec: EncoderSpec| {
            let tokens: Vec<_> =
                (0..SOURCE.min(spec.source_length) as u32).map(|place| token(place, spec.vocabulary)).collect();
            model.encode(&tokens)
        };
        let source = spec.map(encode).transpose()?;
        Ok(Self { model, source })
    }

    /// Tokens that the cache has room for and the model a context.
    pub(super) fn room(&self) -> usize {
        slots(&self.model.cache_spec()).min(self.model.limits().context_length)
    }

    /// Computes the first `tokens` tokens, in as many passes as the model's limits ask for.
    pub(super) fn fill(&mut self, tokens: usize) -> Result<()> {
        let most = self.model.limits().max_rows;
        for start in (0..tokens).step_by(most) {
            self.time(start..tokens.min(start + most), 1)?;
        }
        Ok(())
    }

    /// One pass over the tokens at `positions` behind those that were computed before; logits of the last `logits` rows.
    pub(super) fn time(&mut self, positions: Range<usize>, logits: usize) -> Result<Duration> {
        let mut batch = batch(positions, logits, self.model.cache_spec().block_tokens, self.model.vocabulary());
        batch.sources.extend(self.source);
        let start = Instant::now();
        self.model.forward(&batch)?;
        Ok(start.elapsed())
    }
}

/// Tokens that a cache has room for.
pub(super) fn slots(cache: &CacheSpec) -> usize {
    cache.blocks * cache.block_tokens
}

/// A batch of one sequence whose block table is 0, 1, 2 ..., so that a token's slot is its position.
fn batch(positions: Range<usize>, logits: usize, block_tokens: usize, vocabulary: usize) -> Batch {
    let rows = positions.len();
    let blocks = positions.end.div_ceil(block_tokens) as u32;
    let positions: Vec<u32> = positions.map(|position| position as u32).collect();
    Batch {
        token_ids: positions.iter().map(|&position| token(position, vocabulary)).collect(),
        slot_mapping: positions.clone(),
        positions,
        block_tables: vec![(0..blocks).map(BlockId).collect()],
        query_starts: vec![0, rows as u32],
        sources: Vec::new(),
        tree_mask: None,
        logit_rows: ((rows - logits) as u32..rows as u32).collect(),
    }
}

/// Spreads tokens over the vocabulary, as text does (multiplicative hashing, Knuth 1998, section 6.4).
fn token(position: u32, vocabulary: usize) -> TokenId {
    let spread = u64::from(position.wrapping_mul(2_654_435_769));
    ((spread * vocabulary as u64) >> 32) as TokenId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_continues_the_sequence_and_asks_for_its_last_rows() {
        let batch = batch(30..34, 2, 16, 100);
        assert_eq!(batch.positions, [30, 31, 32, 33]);
        assert_eq!(batch.slot_mapping, batch.positions);
        assert_eq!(batch.block_tables, [[BlockId(0), BlockId(1), BlockId(2)]]);
        assert_eq!(batch.query_starts, [0, 4]);
        assert_eq!(batch.logit_rows, [2, 3]);
    }

    #[test]
    fn tokens_are_in_the_vocabulary_and_follow_from_the_position() {
        let tokens: Vec<_> = (0..1000).map(|position| token(position, 257)).collect();
        assert!(tokens.iter().all(|&token| token < 257));
        assert_eq!(batch(10..20, 1, 16, 257).token_ids, tokens[10..20]);
    }
}
