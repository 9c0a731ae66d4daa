//! From planned rows to a [`Batch`]: the place where positions become slots.
//!
//! ```text
//! table      | computed | own rows | draft nodes |        node n lies n slots behind the last own row,
//! position   0          c          c + rows               and stands at the position of its depth
//! ```

use veridraft_models::{Batch, TreeMask};

use super::step::{LogitRows, Part};
use crate::drafters::Draft;
use crate::sequence::Sequence;

/// Adds `rows` tokens of `sequence` from `computed` on, then its draft. The block table covers all of them.
///
/// Returns where its logits will be: of the last row and the draft if the rows reach the sequence's end, and of rows of
/// the prompt if the request wants them.
pub(super) fn append(
    batch: &mut Batch,
    sequence: &Sequence,
    rows: usize,
    draft: &Draft,
    block_tokens: usize,
) -> Option<LogitRows> {
    let start = sequence.computed;
    if batch.query_starts.is_empty() {
        batch.query_starts.push(0);
    }
    let slot = |place: usize| slot(sequence, place, block_tokens);
    let mut add = |token, position: usize, place: usize| {
        batch.token_ids.push(token);
        batch.positions.push(index(position));
        batch.slot_mapping.push(slot(place));
    };
    for position in start..start + rows {
        add(sequence.tokens[position], position, position);
    }
    for ((node, level), place) in draft.nodes.iter().zip(draft.levels()).zip(start + rows..) {
        add(node.token, start + rows + level - 1, place);
    }
    batch.block_tables.push(sequence.block_table.clone());
    batch.sources.extend(sequence.encoded);
    batch.query_starts.push(index(batch.token_ids.len()));
    want_logits(batch, sequence, rows, draft.nodes.len())
}

/// The slot of a sequence's `place`-th token or row.
pub(super) fn slot(sequence: &Sequence, place: usize, block_tokens: usize) -> u32 {
    sequence.block_table[place / block_tokens].0 * index(block_tokens) + index(place % block_tokens)
}

/// Tells each row of a tree which of its sequence's new rows it sees; chains need no mask.
pub(super) fn mask_trees(batch: &mut Batch, parts: &[Part]) {
    if parts.iter().all(|part| part.guesses.draft.is_chain()) {
        return;
    }
    let width = parts.iter().map(|part| part.rows + part.guesses.draft.nodes.len()).max().unwrap_or(0);
    let mut visible = vec![false; batch.rows() * width];
    let mut first = 0;
    for part in parts {
        for row in 0..part.rows {
            visible[(first + row) * width..][..=row].fill(true);
        }
        for (node, drafted) in part.guesses.draft.nodes.iter().enumerate() {
            let parent = first + drafted.parent.map_or(part.rows - 1, |parent| part.rows + parent);
            let row = part.rows + node;
            visible.copy_within(parent * width..(parent + 1) * width, (first + row) * width);
            visible[(first + row) * width + row] = true;
        }
        first += part.rows + part.guesses.draft.nodes.len();
    }
    batch.tree_mask = Some(TreeMask { width, visible });
}

fn want_logits(batch: &mut Batch, sequence: &Sequence, rows: usize, drafted: usize) -> Option<LogitRows> {
    let end = batch.token_ids.len();
    let last_own = end - drafted - 1;
    let reaches_end = sequence.computed + rows == sequence.tokens.len();
    let mut want = |rows: std::ops::Range<usize>| {
        let first = batch.logit_rows.len();
        batch.logit_rows.extend(rows.map(index));
        Some(first)
    };
    let scores_prompt = sequence.logprobs.prompt.is_some() && sequence.computed + 1 < sequence.prompt_length;
    let prompt = if scores_prompt { want(last_own + 1 - rows..last_own + usize::from(!reaches_end)) } else { None };
    let end = if reaches_end { want(last_own..end) } else { None };
    (prompt.is_some() || end.is_some()).then_some(LogitRows { prompt, end })
}

fn index(value: usize) -> u32 {
    u32::try_from(value).expect("a cache has fewer than 2^32 slots")
}
