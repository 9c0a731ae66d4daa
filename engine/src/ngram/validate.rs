//! What is checked once when a model is opened, so that no later read can leave the file or loop: hostile bytes may
//! give wrong probabilities, and nothing worse.

use std::ops::Range;

use super::counts::MAX_VOCABULARY;
use super::file::{Header, Sections};

/// Says what is wrong with the bytes of a model whose arrays lie within them.
pub(super) fn validate(bytes: &[u8], header: &Header, levels: &[Sections]) -> Result<(), String> {
    if !(1..=MAX_VOCABULARY).contains(&(header.vocabulary as usize)) {
        return Err(format!("a vocabulary of {}, expected 1 to {MAX_VOCABULARY}", header.vocabulary));
    }
    check_share(|| "the root backoff".to_owned(), header.root_backoff)?;
    let validator = Validator { bytes, vocabulary: header.vocabulary, levels };
    validator.check_siblings(0, 0..levels[0].count)?;
    for parents in 0..levels.len() - 1 {
        validator.check_children(parents)?;
    }
    Ok(())
}

/// A probability or a backoff: above 0, and 1 at most.
fn check_share(what: impl Fn() -> String, share: f32) -> Result<(), String> {
    if 0.0 < share && share <= 1.0 { Ok(()) } else { Err(format!("{} is {share}, expected above 0 to 1", what())) }
}

struct Validator<'a> {
    bytes: &'a [u8],
    vocabulary: u32,
    levels: &'a [Sections],
}

impl Validator<'_> {
    /// Checks the backoffs of one order and the n-grams that continue it, which are those of the next.
    fn check_children(&self, parents: usize) -> Result<(), String> {
        let (level, below) = (&self.levels[parents], self.levels[parents + 1].count);
        let mut end = 0;
        for index in 0..level.count {
            let what = || format!("the backoff of n-gram {index} of order {}", parents + 1);
            check_share(what, level.backoff(self.bytes, index))?;
            let children = level.children(self.bytes, index);
            if children.start != end || children.end < end || children.end > below {
                let order = parents + 1;
                return Err(format!("n-gram {index} of order {order} has children {children:?} of {below}"));
            }
            end = children.end;
            self.check_siblings(parents + 1, children)?;
        }
        if end == below {
            Ok(())
        } else {
            Err(format!("order {} has {below} n-grams, {end} with a parent", parents + 2))
        }
    }

    /// Checks the n-grams behind one context. Ranks that fall strictly by probability and then token name each once.
    fn check_siblings(&self, level: usize, siblings: Range<usize>) -> Result<(), String> {
        let (order, sections, first, count) = (level + 1, &self.levels[level], siblings.start, siblings.len());
        let mut least_token = 0;
        let mut before: Option<(f32, u32)> = None;
        for index in siblings {
            let token = sections.token(self.bytes, index);
            if token < least_token || token >= self.vocabulary {
                let expected = format!("expected {least_token} to {}", self.vocabulary - 1);
                return Err(format!("n-gram {index} of order {order} is token {token}, {expected}"));
            }
            least_token = token + 1;
            let rank = sections.rank(self.bytes, index);
            if rank as usize >= count {
                return Err(format!("rank {index} of order {order} is {rank}, expected less than {count}"));
            }
            let probability = sections.probability(self.bytes, first + rank as usize);
            check_share(|| format!("the probability at rank {index} of order {order}"), probability)?;
            if before.is_some_and(|(p, r)| probability > p || probability == p && rank <= r) {
                return Err(format!("rank {index} of order {order} is out of order"));
            }
            before = Some((probability, rank));
        }
        Ok(())
    }
}
