//! Whether rows in company give what they give alone: asked of a graph when it is opened, with passes of two rows.
//!
//! Some exports were traced with one row behind a cache and left out the mask between new rows, because one row needs
//! none. Such a graph takes several rows and answers, but each row sees those behind it. It runs one row at a time.

use crate::{Error, Result, TokenId};

/// Scores may differ by this share of their spread: quantised products and half precision stay far below, a row that
/// sees another lies far above.
const ALIKE: f32 = 0.1;

/// Rows that a graph takes in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowsAtOnce {
    /// At the start of a sequence.
    pub(super) first: Several,
    /// Behind cached tokens.
    pub(super) behind: Several,
}

/// Whether several rows may go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Several {
    Together,
    OneByOne,
}

impl RowsAtOnce {
    /// Tries it out: `run` takes tokens, how many stand before them, and where the scores of the first go.
    pub(super) fn of(
        vocabulary: usize,
        mut run: impl FnMut(&[TokenId], usize, &mut Vec<f32>) -> Result<()>,
    ) -> Result<Self> {
        let [a, b, c] = [1, 2, 3].map(|part| (vocabulary * part / 4) as TokenId);
        let mut scores = |tokens: &[TokenId], context: usize| {
            let mut first_row = Vec::new();
            run(tokens, context, &mut first_row)?;
            if first_row.iter().any(|score| !score.is_finite()) {
                return Err(Error::Runtime(format!(
                    "a pass over the tokens {tokens:?} gives scores that are no numbers"
                )));
            }
            Ok(first_row)
        };
        let alone = scores(&[a], 0)?;
        let alone_behind = scores(&[b], 1)?;
        let behind = scores(&[b, c], 1).map(|found| Several::where_alike(&found, &alone_behind));
        let first = scores(&[a, b], 0).map(|found| Several::where_alike(&found, &alone));
        // A graph that cannot take two rows at all says so by an error.
        let refused = |outcome: Result<Several>| outcome.unwrap_or(Several::OneByOne);
        Ok(Self { first: refused(first), behind: refused(behind) })
    }

    /// One row at a time.
    pub(super) const ONE: Self = Self { first: Several::OneByOne, behind: Several::OneByOne };

    /// Rows of the next pass, of `left` behind `context` tokens.
    pub(super) fn next(self, context: usize, left: usize) -> usize {
        let several = if context == 0 { self.first } else { self.behind };
        if several == Several::Together { left } else { 1 }
    }
}

impl Several {
    fn where_alike(found: &[f32], expected: &[f32]) -> Self {
        if difference(found, expected) <= ALIKE { Self::Together } else { Self::OneByOne }
    }
}

/// The root of the mean squared difference, as a share of the standard deviation of `expected`.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let count = expected.len() as f32;
    let mean = expected.iter().sum::<f32>() / count;
    let spread: f32 = expected.iter().map(|score| (score - mean).powi(2)).sum();
    let difference: f32 = found.iter().zip(expected).map(|(found, expected)| (found - expected).powi(2)).sum();
    if difference == 0.0 { 0.0 } else { (difference / spread).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_count_beside_the_spread_of_the_scores() {
        assert_eq!(difference(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), 0.0);
        assert_eq!(difference(&[0.5, 0.5], &[0.5, 0.5]), 0.0);
        assert!((difference(&[11.0, 21.0, 31.0], &[10.0, 20.0, 30.0]) - 0.1225).abs() < 1e-3);
        assert!(difference(&[1.0, 0.0], &[0.5, 0.5]) > 1e9);
    }

    #[test]
    fn a_graph_that_takes_one_row_is_given_one() {
        let rows = RowsAtOnce { first: Several::Together, behind: Several::OneByOne };
        assert_eq!((rows.next(0, 7), rows.next(3, 7)), (7, 1));
        assert_eq!(RowsAtOnce::ONE.next(0, 7), 1);
    }
}
