//! Counts of n-grams by sorting: an n-gram is one number, so equal ones come to lie side by side.
//!
//! ```text
//! key of (a, b, c)    0 ... 0 | a | b | c     24 bits a token, the oldest highest
//! ```
//!
//! Sorted keys of one length are sorted by their tokens, oldest first: the order of a trie read level by level. The
//! n-grams of one order are the ends of those one longer and the starts of documents, so each order is counted from the
//! one above, and the text itself is read once. While it counts, an order takes 16 bytes for each n-gram it looks at.

use veridraft_models::TokenId;

use super::MAX_ORDER;

/// Bits of a token in a key.
const TOKEN_BITS: usize = 24;

/// Tokens that a vocabulary can have.
pub(super) const MAX_VOCABULARY: usize = 1 << TOKEN_BITS;

const _: () = assert!(TOKEN_BITS * MAX_ORDER <= u128::BITS as usize);

/// The n-grams of one order and their counts.
pub(super) struct Counted {
    /// The keys, each once, in rising order.
    pub(super) keys: Vec<u128>,
    /// The count of each key, at least 1.
    pub(super) counts: Vec<u32>,
}

/// Counts all orders from 1 to `order`: occurrences at the highest, different left neighbours below it.
///
/// All tokens are below [`MAX_VOCABULARY`].
pub(super) fn count<D: AsRef<[TokenId]>>(documents: &[D], order: usize) -> Vec<Counted> {
    let occurrences = documents.iter().flat_map(|document| document.as_ref().windows(order)).map(key);
    let mut orders = vec![count_keys(occurrences.collect())];
    for lower in (1..order).rev() {
        let longer = orders.last().expect("the highest order has been counted");
        let ends = longer.keys.iter().map(|&key| without_first(key, lower + 1));
        let keys = ends.chain(starts(documents, lower)).collect();
        orders.push(count_keys(keys));
    }
    orders.reverse();
    orders
}

/// The different n-grams that documents start with: the start is one left neighbour, however many there are.
fn starts<D: AsRef<[TokenId]>>(documents: &[D], order: usize) -> Vec<u128> {
    let mut keys: Vec<_> = documents.iter().filter_map(|document| document.as_ref().get(..order)).map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn count_keys(mut keys: Vec<u128>) -> Counted {
    keys.sort_unstable();
    let run_length = |run: &[u128]| u32::try_from(run.len()).unwrap_or(u32::MAX);
    let counts = keys.chunk_by(|one, other| one == other).map(run_length).collect();
    keys.dedup();
    keys.shrink_to_fit();
    Counted { keys, counts }
}

fn key(tokens: &[TokenId]) -> u128 {
    tokens.iter().fold(0, |key, &token| key << TOKEN_BITS | u128::from(token))
}

/// The key of the context: all tokens but the newest.
pub(super) fn context_of(key: u128) -> u128 {
    key >> TOKEN_BITS
}

/// The newest token.
pub(super) fn token_of(key: u128) -> TokenId {
    (key & (MAX_VOCABULARY as u128 - 1)) as TokenId
}

/// The key of an n-gram of `order` tokens without its oldest.
pub(super) fn without_first(key: u128, order: usize) -> u128 {
    key & ((1 << (TOKEN_BITS * (order - 1))) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(documents: &[&[TokenId]], order: usize, expected: &[&[(&[TokenId], u32)]]) {
        let found = count(documents, order);
        let found: Vec<Vec<_>> =
            found.iter().map(|order| order.keys.iter().copied().zip(order.counts.iter().copied()).collect()).collect();
        let expected: Vec<Vec<_>> =
            expected.iter().map(|order| order.iter().map(|&(tokens, count)| (key(tokens), count)).collect()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_highest_order_counts_occurrences_and_the_lower_left_neighbours() {
        let highest: &[(&[TokenId], u32)] = &[(&[1, 2], 3), (&[2, 1], 1), (&[3, 1], 1)];
        // Token 1 follows 2, 3 and the start; token 2 follows only 1; token 3 only the start.
        check(&[&[1, 2, 1, 2], &[3, 1, 2]], 2, &[&[(&[1], 3), (&[2], 1), (&[3], 1)], highest]);
    }

    #[test]
    fn documents_shorter_than_the_order_count_below_it() {
        check(&[&[7, 8], &[], &[7, 8]], 3, &[&[(&[7], 1), (&[8], 1)], &[(&[7, 8], 1)], &[]]);
    }

    #[test]
    fn a_key_is_taken_apart_again() {
        let largest = MAX_VOCABULARY as TokenId - 1;
        let five = key(&[largest, 0, 5, largest, 3]);
        assert_eq!(token_of(five), 3);
        assert_eq!(context_of(five), key(&[largest, 0, 5, largest]));
        assert_eq!(without_first(five, 5), key(&[0, 5, largest, 3]));
        assert_eq!(without_first(key(&[largest]), 1), 0);
    }
}
