//! How many sequences of which length a budget of bytes holds, where a sequence takes one block as long as its context.

use crate::{Error, Result};

/// Bytes for the cache where nobody names a number.
const DEFAULT: u64 = 1 << 30;
/// Tokens that a sequence must have room for to be of any use: a prompt's token and one behind it.
const LEAST: usize = 2;

/// The cache's extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    /// Tokens of a sequence, at most.
    pub(super) tokens: usize,
    /// Sequences at once.
    pub(super) sequences: usize,
}

/// As many whole contexts as `bytes` pay for; less than one context where they do not pay for one. `None` is one whole
/// context, at most 1 GiB.
pub(super) fn capacity(bytes: Option<u64>, token_bytes: usize, context_length: usize) -> Result<Capacity> {
    let paid = |bytes: u64| usize::try_from(bytes / token_bytes as u64).unwrap_or(usize::MAX);
    let tokens = match bytes {
        Some(bytes) => paid(bytes),
        None => paid(DEFAULT).min(context_length),
    };
    // Slots are numbered in u32.
    let tokens = tokens.min(i32::MAX as usize);
    if tokens < LEAST.min(context_length) {
        let (found, needed) = (bytes.unwrap_or(DEFAULT), LEAST * token_bytes);
        return Err(Error::Setting(format!("{found} bytes, expected at least {needed}, the size of {LEAST} tokens")));
    }
    match tokens / context_length {
        0 => Ok(Capacity { tokens, sequences: 1 }),
        sequences => Ok(Capacity { tokens: context_length, sequences }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_holds_whole_contexts_or_a_part_of_one() {
        let check = |bytes: Option<u64>, context_length: usize, tokens: usize, sequences: usize| {
            let expected = Capacity { tokens, sequences };
            assert_eq!(capacity(bytes, 1024, context_length).expect("it is enough"), expected);
        };
        check(None, 1000, 1000, 1);
        check(None, 1 << 21, 1 << 20, 1);
        check(Some(1 << 20), 1000, 1000, 1);
        check(Some(4 << 20), 1000, 1000, 4);
        check(Some(1 << 20), 100_000, 1024, 1);
        check(Some(u64::MAX), 1 << 20, 1 << 20, 2047);
        let error = capacity(Some(2047), 1024, 1000).expect_err("too little").to_string();
        assert_eq!(error, "2047 bytes, expected at least 2048, the size of 2 tokens");
    }
}
