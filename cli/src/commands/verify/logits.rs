//! The scores behind some tokens, from passes of the bare model.

use anyhow::{Result, ensure};
use veridraft_engine::Request;
use veridraft_models::{Batch, BlockId, LanguageModel, SourceId, TokenId};

/// Rows of a pass, at most.
const ROWS: usize = 512;

/// Scores of the token behind what is asked and `answered` tokens, `[vocabulary]`.
pub(super) fn logits_behind(model: &mut dyn LanguageModel, asked: &Request, answered: &[TokenId]) -> Result<Vec<f32>> {
    let tokens = [&asked.prompt, answered].concat();
    let source = asked.source.as_ref().map(|source| model.encode(source)).transpose()?;
    let logits = logits(model, source, &tokens);
    source.into_iter().for_each(|source| model.drop_source(source));
    logits
}

/// Scores of the token behind `tokens`, at least one.
fn logits(model: &mut dyn LanguageModel, source: Option<SourceId>, tokens: &[TokenId]) -> Result<Vec<f32>> {
    let cache = model.cache_spec();
    let (needed, blocks) = (tokens.len().div_ceil(cache.block_tokens), cache.blocks);
    ensure!(needed <= blocks, "{} tokens need {needed} blocks of the KV cache, but it has {blocks}", tokens.len());
    let most = model.limits().max_rows.min(ROWS);
    let mut last = Vec::new();
    for start in (0..tokens.len()).step_by(most) {
        let end = tokens.len().min(start + most);
        let mut batch = batch(tokens, start, end, cache.block_tokens);
        batch.sources.extend(source);
        last = model.forward(&batch)?.values;
    }
    Ok(last)
}

/// Rows `start..end` of a sequence whose block table is 0, 1, 2 ..., so that a token's slot is its position.
fn batch(tokens: &[TokenId], start: usize, end: usize, block_tokens: usize) -> Batch {
    let positions: Vec<u32> = (start as u32..end as u32).collect();
    Batch {
        token_ids: tokens[start..end].to_vec(),
        slot_mapping: positions.clone(),
        positions,
        block_tables: vec![(0..end.div_ceil(block_tokens) as u32).map(BlockId).collect()],
        query_starts: vec![0, (end - start) as u32],
        sources: Vec::new(),
        tree_mask: None,
        logit_rows: vec![(end - start - 1) as u32],
    }
}

#[cfg(test)]
mod tests {
    use veridraft_models::{CacheSpec, Limits, Logits};

    use super::*;

    /// A model with room for 64 tokens that takes ten rows and scores a row by the tokens that came so far.
    #[derive(Default)]
    struct Counting {
        tokens: Vec<TokenId>,
    }

    impl LanguageModel for Counting {
        fn cache_spec(&self) -> CacheSpec {
            CacheSpec { block_tokens: 16, blocks: 4, block_bytes: 1 }
        }

        fn limits(&self) -> Limits {
            let (max_rows, context_length) = (10, 64);
            Limits { max_rows, context_length, ragged: true, tree: true, share_blocks: true, row_exact: true }
        }

        fn copy_slots(&mut self, _: &[(u32, u32)]) -> veridraft_models::Result<()> {
            unreachable!("its rows are one chain")
        }

        fn vocabulary(&self) -> usize {
            2
        }

        fn forward(&mut self, batch: &Batch) -> veridraft_models::Result<Logits> {
            assert!(batch.rows() <= 10);
            assert_eq!(batch.positions[0] as usize, self.tokens.len());
            assert_eq!(batch.slot_mapping, batch.positions);
            let rows = batch.rows() as u32;
            assert_eq!((&batch.query_starts, &batch.logit_rows), (&vec![0, rows], &vec![rows - 1]));
            self.tokens.extend(&batch.token_ids);
            assert_eq!(batch.block_tables[0].len(), self.tokens.len().div_ceil(16));
            Ok(Logits { vocabulary: 2, values: vec![self.tokens.iter().sum::<u32>() as f32, 0.0] })
        }
    }

    #[test]
    fn the_scores_are_those_behind_all_tokens() {
        let tokens: Vec<_> = (1..=34).collect();
        let mut model = Counting::default();
        assert_eq!(logits(&mut model, None, &tokens).expect("it fits"), [595.0, 0.0]);
        assert_eq!(model.tokens, tokens);
    }

    #[test]
    fn more_tokens_than_the_cache_holds_are_refused() {
        let error = logits(&mut Counting::default(), None, &[1; 65]).expect_err("it is full");
        assert_eq!(error.to_string(), "65 tokens need 5 blocks of the KV cache, but it has 4");
    }
}
