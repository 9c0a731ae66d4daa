//! What drafters are asked for: those that take microseconds for all that a sequence may verify, draft models for as many
//! levels as pay for their passes.

use std::collections::HashMap;

use super::Engine;
use super::draft::{CHILDREN, NODES_A_LEVEL};
use super::step::Part;
use crate::choice::{expected, levels};
use crate::drafters::DraftRequest;
use crate::{SequenceId, Verification};

/// What a drafter is asked for.
pub(super) struct Inquiry {
    pub(super) source: usize,
    /// Levels, for those asked about.
    levels: HashMap<SequenceId, usize>,
    least_probability: f32,
    least_to_go_on: f32,
}

/// Guesses of this share of the last step's price are still asked for: a confidence is not a probability, and the price
/// may fall.
const NEAR_THE_PRICE: f64 = 0.3;

impl Inquiry {
    /// Whether nothing is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.values().all(|&levels| levels == 0)
    }
}

impl Engine {
    /// What to ask a drafter for that takes microseconds: for every part as many levels as it may have, but for guesses
    /// far from paying for a row.
    pub(super) fn table_inquiry(&self, source: usize, parts: &[Part]) -> Inquiry {
        let levels = parts.iter().map(|part| (part.sequence, part.depth_max)).collect();
        let is_forced = parts.iter().any(|part| self.is_forced(part));
        let least_probability = if is_forced { 0.0 } else { (self.price * NEAR_THE_PRICE) as f32 };
        Inquiry { source, levels, least_probability, least_to_go_on: 0.0 }
    }

    /// Whether some levels are verified whatever they cost.
    fn is_forced(&self, part: &Part) -> bool {
        *self.sequences[&part.sequence].draft_levels.start() > 0
    }

    /// The request for a part; none where nothing is wanted.
    pub(super) fn request(&self, inquiry: &Inquiry, part: &Part) -> Option<DraftRequest> {
        let max_depth = inquiry.levels.get(&part.sequence).copied().filter(|&levels| levels > 0)?;
        let grows = self.grows_tree(&self.sequences[&part.sequence]);
        Some(DraftRequest {
            sequence: part.sequence,
            max_depth,
            max_nodes: if grows { max_depth * NODES_A_LEVEL } else { max_depth },
            max_children: if grows { CHILDREN } else { 1 },
            least_probability: inquiry.least_probability,
            least_to_go_on: inquiry.least_to_go_on,
        })
    }

    /// What to ask a draft model for: as many levels as give more tokens a second than what was chosen without it.
    pub(super) fn model_inquiry(&self, source: usize, parts: &[Part]) -> Inquiry {
        let base = self.base_load(parts);
        let level_seconds = self.sources[source].level_seconds();
        let drafting: Vec<_> = parts.iter().filter(|part| part.depth_max > 0).collect();
        let sure: Vec<f64> = drafting.iter().map(|part| self.typical(source, part)).collect();
        let most = drafting.iter().map(|part| part.depth_max).max().unwrap_or(0);
        let chosen: usize = drafting.iter().map(|part| part.guesses.guesses.len()).sum();
        let tokens: f64 = drafting.iter().map(|part| 1.0 + part.guesses.expected()).sum();
        let contexts: usize = drafting.iter().map(|part| self.sequences[&part.sequence].computed + part.rows).sum();
        let context = contexts / drafting.len().max(1);
        let rate = tokens / self.decoding_time(base, chosen, chosen * context);
        let seconds = |levels: usize| {
            self.decoding_time(base, levels * drafting.len(), levels * contexts) + levels as f64 * level_seconds
        };
        let best = levels(&sure, most, rate, seconds);
        let row = self.decoding_time(base, 1, context) - self.decoding_time(base, 0, 0);
        let bounds = [row, row + level_seconds / drafting.len().max(1) as f64].map(|seconds| best.rate * seconds);
        let wanted = |part: &Part| {
            let sequence = &self.sequences[&part.sequence];
            // Where a table's guesses are as good already, no model is needed.
            let is_served = part.guesses.expected() >= expected(self.typical(source, part), best.levels);
            // Some more than expected, for a text that goes better than most; the bound ends the others.
            let chosen = if is_served { 0 } else { best.levels + best.levels.div_ceil(2) };
            let least = if part.guesses.guesses.is_empty() { *sequence.draft_levels.start() } else { 0 };
            (part.sequence, chosen.max(least).min(part.depth_max))
        };
        let draws = |part: &Part| self.sequences[&part.sequence].verification == Verification::Rejection;
        let is_bound = !parts.iter().any(|part| self.is_forced(part) || draws(part));
        let [least_probability, least_to_go_on] =
            bounds.map(|bound| if is_bound { bound.clamp(0.0, 0.9) as f32 } else { 0.0 });
        Inquiry { source, levels: parts.iter().map(wanted).collect(), least_probability, least_to_go_on }
    }

    /// How likely a draft model's guess is right on this sequence, by its record.
    fn typical(&self, source: usize, part: &Part) -> f64 {
        self.sources[source].mean(self.sequences[&part.sequence].adjustments[source])
    }
}
