//! What the draft model's cache holds of one sequence.
//!
//! ```text
//! tokens    | committed ..................... | ahead: drafted behind them |
//! computed  |---------------------------->             may end anywhere, also within what is ahead
//! table     | block | block | block |                  just long enough for the computed rows between calls
//! ```
//!
//! Rows of drafted tokens stay: where the next committed tokens equal them they count as computed. From the first
//! difference on they are overwritten. Within a call the tokens behind `computed` are what is to be computed next.

use veridraft_models::{BlockId, TokenId};

use crate::BlockPool;

/// Tokens, how far they are computed, and where.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) tokens: Vec<TokenId>,
    /// How many of the tokens are committed.
    pub(super) committed: usize,
    /// Tokens, from the first on, whose keys and values are in the blocks.
    pub(super) computed: usize,
    pub(super) block_table: Vec<BlockId>,
    /// The last call that drafted for the sequence.
    pub(super) used: u64,
}

impl Cache {
    /// Replaces the committed tokens from the `keep`-th on; rows of equal tokens stay computed.
    pub(super) fn splice(&mut self, keep: usize, tokens: &[TokenId]) {
        let agreeing = self.tokens[keep..].iter().zip(tokens).take_while(|(old, new)| old == new).count();
        if agreeing < tokens.len() {
            self.tokens.truncate(keep + agreeing);
            self.tokens.extend_from_slice(&tokens[agreeing..]);
            self.computed = self.computed.min(keep + agreeing);
        }
        self.committed = keep + tokens.len();
    }

    /// Forgets what is ahead, and the last committed token, whose row gives the logits that a draft begins with.
    pub(super) fn rewind(&mut self) {
        self.tokens.truncate(self.committed);
        self.computed = self.computed.min(self.committed.saturating_sub(1));
    }

    /// Forgets what is ahead and was not computed.
    pub(super) fn settle(&mut self) {
        self.tokens.truncate(self.committed.max(self.computed));
    }

    /// Gives back the blocks behind the computed rows.
    pub(super) fn trim(&mut self, block_tokens: usize, pool: &mut BlockPool) {
        let keep = self.computed.div_ceil(block_tokens);
        self.block_table.drain(keep..).for_each(|block| pool.release(block));
    }

    /// Gives back all blocks; the committed tokens stay known.
    pub(super) fn drop_rows(&mut self, pool: &mut BlockPool) {
        self.block_table.drain(..).for_each(|block| pool.release(block));
        self.computed = 0;
        self.tokens.truncate(self.committed);
    }

    pub(super) fn uncomputed(&self) -> usize {
        self.tokens.len() - self.computed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(committed: &[TokenId], ahead: &[TokenId], computed: usize) -> Cache {
        let tokens = [committed, ahead].concat();
        Cache { tokens, committed: committed.len(), computed, ..Default::default() }
    }

    fn check(mut cache: Cache, keep: usize, new: &[TokenId], expected: (&[TokenId], usize, usize)) {
        cache.splice(keep, new);
        assert_eq!((cache.tokens.as_slice(), cache.committed, cache.computed), expected);
    }

    #[test]
    fn committed_tokens_equal_to_drafted_ones_stay_computed() {
        check(cache(&[1, 2], &[3, 4, 5], 5), 2, &[3, 4], (&[1, 2, 3, 4, 5], 4, 5));
        check(cache(&[1, 2], &[3, 4, 5], 5), 2, &[3, 9], (&[1, 2, 3, 9], 4, 3));
        check(cache(&[1, 2], &[3, 4, 5], 5), 2, &[3, 4, 5, 6], (&[1, 2, 3, 4, 5, 6], 6, 5));
        check(cache(&[1, 2], &[3], 3), 2, &[8], (&[1, 2, 8], 3, 2));
        check(cache(&[1, 2], &[], 1), 2, &[8, 9], (&[1, 2, 8, 9], 4, 1));
        check(cache(&[], &[], 0), 0, &[8, 9], (&[8, 9], 2, 0));
    }

    #[test]
    fn an_end_that_was_replaced_is_computed_from_the_difference_on() {
        check(cache(&[1, 2, 3, 4], &[5], 5), 1, &[2, 7], (&[1, 2, 7], 3, 2));
        check(cache(&[1, 2, 3, 4], &[5], 5), 1, &[2, 3], (&[1, 2, 3, 4, 5], 3, 5));
    }
}
