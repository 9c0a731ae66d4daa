//! The smallest batch.

use veridraft_models::{Batch, BlockId, TokenId};

/// A sequence of this token alone, its logits wanted.
pub fn one_token(token: TokenId) -> Batch {
    Batch {
        token_ids: vec![token],
        positions: vec![0],
        slot_mapping: vec![0],
        block_tables: vec![vec![BlockId(0)]],
        query_starts: vec![0, 1],
        sources: Vec::new(),
        tree_mask: None,
        logit_rows: vec![0],
    }
}
