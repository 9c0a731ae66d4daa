//! From uncomputed tokens to batches: how many rows of whom, and where they stand.

use veridraft_models::{Batch, Limits};

use super::cache::Cache;

/// How many of their `uncomputed` tokens sequences get into one batch: pairs of index and rows, none of 0 rows.
///
/// The first come first, each as far as the rows go. A model that is not ragged gets as many rows of each.
pub(super) fn shares(uncomputed: &[usize], limits: Limits) -> Vec<(usize, usize)> {
    let open = uncomputed.iter().copied().enumerate().filter(|&(_, rows)| rows > 0);
    let most = if limits.ragged { usize::MAX } else { open.clone().map(|(_, rows)| rows).min().unwrap_or(0) };
    let mut left = limits.max_rows.max(1);
    let mut shares = Vec::new();
    for (index, rows) in open {
        let rows = rows.min(most).min(left);
        let uneven = !limits.ragged && shares.first().is_some_and(|&(_, first)| first != rows);
        if rows == 0 || uneven {
            break;
        }
        left -= rows;
        shares.push((index, rows));
    }
    shares
}

/// Adds the next `rows` uncomputed tokens of a sequence; wants the logits behind the last of its tokens.
pub(super) fn append(batch: &mut Batch, cache: &Cache, rows: usize, block_tokens: usize) {
    if batch.query_starts.is_empty() {
        batch.query_starts.push(0);
    }
    for position in cache.computed..cache.computed + rows {
        let block = cache.block_table[position / block_tokens];
        batch.token_ids.push(cache.tokens[position]);
        batch.positions.push(index(position));
        batch.slot_mapping.push(block.0 * index(block_tokens) + index(position % block_tokens));
    }
    batch.block_tables.push(cache.block_table.clone());
    batch.query_starts.push(index(batch.rows()));
    if rows == cache.uncomputed() {
        batch.logit_rows.push(index(batch.rows() - 1));
    }
}

pub(super) fn index(value: usize) -> u32 {
    u32::try_from(value).expect("a cache has fewer than 2^32 slots")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uncomputed: &[usize], max_rows: usize, ragged: bool, expected: &[(usize, usize)]) {
        let limits = Limits { max_rows, context_length: 9, ragged, tree: false, share_blocks: false, row_exact: true };
        assert_eq!(shares(uncomputed, limits), expected);
    }

    #[test]
    fn rows_go_to_the_first_as_far_as_they_reach() {
        check(&[3, 0, 4, 2], 64, true, &[(0, 3), (2, 4), (3, 2)]);
        check(&[3, 0, 4, 2], 5, true, &[(0, 3), (2, 2)]);
        check(&[0, 0], 5, true, &[]);
        check(&[2], 0, true, &[(0, 1)]);
    }

    #[test]
    fn a_model_that_is_not_ragged_gets_equal_shares() {
        check(&[3, 0, 4, 2], 64, false, &[(0, 2), (2, 2), (3, 2)]);
        check(&[3, 0, 4, 2], 5, false, &[(0, 2), (2, 2)]);
        check(&[9, 8], 5, false, &[(0, 5)]);
    }
}
