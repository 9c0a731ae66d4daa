//! From planned rows to a [`Batch`]: the place where positions become slots.

use veridraft_models::{Batch, TokenId};

use crate::sequence::Sequence;

/// Adds `rows` tokens of `sequence` from `computed` on, then its draft; wants logits if the rows reach its end.
///
/// Returns the index of its first logits row, if any. The block table covers all of them.
pub(super) fn append(
    batch: &mut Batch,
    sequence: &Sequence,
    rows: usize,
    draft: &[TokenId],
    block_tokens: usize,
) -> Option<usize> {
    let start = sequence.computed;
    let own = &sequence.tokens[start..start + rows];
    if batch.query_starts.is_empty() {
        batch.query_starts.push(0);
    }
    for (position, &token) in (start..).zip(own.iter().chain(draft)) {
        let block = sequence.block_table[position / block_tokens];
        batch.token_ids.push(token);
        batch.positions.push(index(position));
        batch.slot_mapping.push(block.0 * index(block_tokens) + index(position % block_tokens));
    }
    batch.block_tables.push(sequence.block_table.clone());
    batch.query_starts.push(index(batch.token_ids.len()));
    if start + rows < sequence.tokens.len() {
        return None;
    }
    let first = batch.logit_rows.len();
    let last_own = batch.token_ids.len() - draft.len() - 1;
    batch.logit_rows.extend((last_own..batch.token_ids.len()).map(index));
    Some(first)
}

fn index(value: usize) -> u32 {
    u32::try_from(value).expect("a cache has fewer than 2^32 slots")
}
