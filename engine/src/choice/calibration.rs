//! What a drafter's confidence is worth: how often guesses of such confidence were right.
//!
//! Under coupled verification a draft is accepted exactly where it equals the tokens emitted, so every proposal is scored
//! against them, verified or not. Confidences are sorted into bins, engine-wide; old counts fade. A sequence on which a
//! source does better or worse than elsewhere has a factor of its own.

use crate::drafters::Draft;
use veridraft_models::TokenId;

pub(super) const BINS: usize = 16;
/// Guesses of the drafter's own word that a bin starts with.
pub(super) const PRIOR: f64 = 4.0;
/// Guesses after which a bin's counts are halved.
const MEMORY: f64 = 256.0;
/// Guesses at the engine-wide rate that a sequence's factor starts with.
const SEQUENCE_PRIOR: f64 = 4.0;
/// What is left of a sequence's counts after another step.
const SEQUENCE_FADE: f64 = 0.95;
/// Nothing is ever certain: a bin that has only seen right guesses says no more than this.
pub(super) const MOST: f64 = 0.995;

/// A source's record over all sequences.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calibration {
    /// By confidence.
    bins: [Bin; BINS],
}

/// What was right of what was tried, old counts fading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bin {
    pub(super) right: f64,
    pub(super) tried: f64,
}

/// A source's record on one sequence, relative to all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Adjustment {
    right: f64,
    expected: f64,
}

impl Calibration {
    /// How likely a guess of this confidence is right, given that what it follows is.
    pub(crate) fn probability(&self, confidence: f32, adjustment: Adjustment) -> f64 {
        (self.rate(confidence) * adjustment.factor()).clamp(0.0, MOST)
    }

    /// For each node of a draft, how likely it is to be in the text.
    pub(crate) fn paths(&self, draft: &Draft, adjustment: Adjustment) -> Vec<f64> {
        let mut paths: Vec<f64> = Vec::with_capacity(draft.nodes.len());
        for node in &draft.nodes {
            let before = node.parent.map_or(1.0, |parent| paths[parent]);
            paths.push(before * self.probability(node.confidence, adjustment));
        }
        paths
    }

    /// Scores a proposal against the tokens that came.
    pub(crate) fn score(&mut self, draft: &Draft, emitted: &[TokenId], adjustment: &mut Adjustment) {
        adjustment.fade();
        let mut at = None;
        for &token in emitted {
            let mut next = None;
            for child in draft.children(at) {
                let node = &draft.nodes[child];
                let right = node.token == token;
                adjustment.record(right, self.rate(node.confidence));
                self.record(node.confidence, right);
                next = if right { Some(child) } else { next };
            }
            let Some(child) = next else { return };
            at = Some(child);
        }
    }

    /// How likely a guess is right, whatever its confidence; an even chance until some were seen.
    pub(crate) fn mean(&self, adjustment: Adjustment) -> f64 {
        let sum = |count: fn(&Bin) -> f64| self.bins.iter().map(count).sum::<f64>();
        let rate = (sum(|bin| bin.right) + PRIOR / 2.0) / (sum(|bin| bin.tried) + PRIOR);
        (rate * adjustment.factor()).clamp(0.0, MOST)
    }

    /// Lets what is known fade, so that a source that was given up is tried again some day.
    pub(crate) fn fade(&mut self, share: f64) {
        for bin in &mut self.bins {
            bin.right *= share;
            bin.tried *= share;
        }
    }

    fn rate(&self, confidence: f32) -> f64 {
        let bin = self.bins[bin(confidence)];
        (bin.right + PRIOR * f64::from(confidence)) / (bin.tried + PRIOR)
    }

    fn record(&mut self, confidence: f32, right: bool) {
        self.bins[bin(confidence)].count(f64::from(u8::from(right)), 1.0);
    }
}

impl Bin {
    pub(super) fn count(&mut self, right: f64, tried: f64) {
        self.right += right;
        self.tried += tried;
        if self.tried > MEMORY {
            self.right /= 2.0;
            self.tried /= 2.0;
        }
    }
}

impl Adjustment {
    fn factor(self) -> f64 {
        (self.right + SEQUENCE_PRIOR) / (self.expected + SEQUENCE_PRIOR)
    }

    fn record(&mut self, right: bool, expected: f64) {
        self.right += f64::from(u8::from(right));
        self.expected += expected;
    }

    fn fade(&mut self) {
        self.right *= SEQUENCE_FADE;
        self.expected *= SEQUENCE_FADE;
    }
}

/// The bin of a number between 0 and 1.
pub(super) fn bin(confidence: f32) -> usize {
    ((confidence * BINS as f32) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(calibration: &Calibration, confidence: f32) -> f64 {
        calibration.probability(confidence, Adjustment::default())
    }

    #[test]
    fn a_drafter_is_believed_until_it_was_seen() {
        let mut calibration = Calibration::default();
        assert!((rate(&calibration, 0.6) - 0.6).abs() < 1e-6);
        let draft = Draft::chain([(7, 0.6)]);
        for token in 0..100 {
            calibration.score(&draft, &[if token % 4 == 0 { 7 } else { 8 }], &mut Adjustment::default());
        }
        assert!((rate(&calibration, 0.6) - 0.25).abs() < 0.03, "{}", rate(&calibration, 0.6));
        assert!((rate(&calibration, 0.9) - 0.9).abs() < 1e-6, "other confidences are as before");
    }

    #[test]
    fn a_guess_counts_where_what_it_follows_is_right() {
        let mut calibration = Calibration::default();
        let draft = Draft::chain([(1, 0.9), (2, 0.5), (3, 0.1)]);
        for _ in 0..100 {
            calibration.score(&draft, &[1, 9, 3], &mut Adjustment::default());
        }
        assert!(rate(&calibration, 0.9) > 0.95 && rate(&calibration, 0.5) < 0.05);
        assert!((rate(&calibration, 0.1) - 0.1).abs() < 1e-6, "the third never stood on a right one");
    }

    #[test]
    fn a_sequence_that_a_source_fails_on_is_known_apart() {
        let mut calibration = Calibration::default();
        let (mut good, mut bad) = (Adjustment::default(), Adjustment::default());
        let draft = Draft::chain([(7, 0.6)]);
        for _ in 0..100 {
            calibration.score(&draft, &[7], &mut good);
            calibration.score(&draft, &[8], &mut bad);
        }
        let (good, bad) = (calibration.probability(0.6, good), calibration.probability(0.6, bad));
        assert!(good > 0.8 && bad < 0.2, "{good} {bad}");
    }

    #[test]
    fn paths_multiply() {
        let paths = Calibration::default().paths(&Draft::chain([(1, 0.5), (2, 0.5), (3, 0.25)]), Adjustment::default());
        assert_eq!(paths, [0.5, 0.25, 0.0625]);
    }
}
