//! What the worth of a path is worth: the last correction before guesses are chosen by it.
//!
//! The guesses that seem likeliest are verified, so among those verified the overrated are too many, the more so the surer
//! a guess has to be and the more drafters there are to overrate one. The products along the paths of merged trees are
//! therefore held against the text once more, in bins of their own.

use veridraft_models::TokenId;

use super::Guesses;
use super::calibration::{BINS, Bin, MOST, PRIOR, bin};

/// By the product of probabilities along a path: how many paths were in the text, and how many were expected to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathRecord {
    bins: [Bin; BINS],
}

impl PathRecord {
    /// Replaces what a tree's paths seem to be worth by what such paths were worth.
    pub(crate) fn correct(&self, guesses: &mut Guesses) {
        for guess in &mut guesses.guesses {
            let bin = self.bins[bin(guess.path as f32)];
            let prior = PRIOR * guess.path;
            guess.path = (guess.path * (bin.right + prior) / (bin.tried + prior).max(f64::MIN_POSITIVE)).min(MOST);
        }
        guesses.keep_paths_falling();
    }

    /// Counts the paths of an uncorrected tree of which it is known whether the text went there.
    pub(crate) fn score(&mut self, guesses: &Guesses, emitted: &[TokenId]) {
        // For each node how far down it stands, while the text went there.
        let mut depths: Vec<Option<usize>> = Vec::with_capacity(guesses.guesses.len());
        for (node, guess) in guesses.draft.nodes.iter().zip(&guesses.guesses) {
            let depth = node.parent.map_or(Some(0), |parent| depths[parent].map(|depth| depth + 1));
            let followed = depth.map(|depth| (depth, emitted.get(depth).copied()));
            let (right, is_known) = match followed {
                Some((depth, Some(token))) => ((token == node.token).then_some(depth), true),
                // The text ends before it.
                Some((_, None)) => (depth, false),
                None => (None, true),
            };
            depths.push(right);
            if is_known {
                self.bins[bin(guess.path as f32)].count(f64::from(u8::from(right.is_some())), guess.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drafters::Draft;

    fn tree() -> Guesses {
        let mut guesses = Guesses::default();
        guesses.add(0, &Draft::chain([(1, 0.0), (2, 0.0)]), &[0.5, 0.25]);
        guesses
    }

    fn corrected(record: &PathRecord) -> Vec<f64> {
        let mut guesses = tree();
        record.correct(&mut guesses);
        guesses.guesses.iter().map(|guess| guess.path).collect()
    }

    #[test]
    fn paths_that_are_overrated_are_known_by_their_product() {
        assert_eq!(corrected(&PathRecord::default()), [0.5, 0.25]);
        // Each guess is right half of the time, but never two in one draft.
        let mut record = PathRecord::default();
        for round in 0..200 {
            record.score(&tree(), if round % 2 == 0 { &[1, 9] } else { &[9, 2] });
        }
        let found = corrected(&record);
        assert!((found[0] - 0.5).abs() < 0.05 && found[1] < 0.05, "{found:?}");
    }

    #[test]
    fn a_path_that_the_text_ends_before_teaches_nothing() {
        let mut record = PathRecord::default();
        (0..100).for_each(|_| record.score(&tree(), &[1]));
        let found = corrected(&record);
        assert!(found[0] > 0.8 && found[1] == 0.25, "{found:?}");
    }
}
