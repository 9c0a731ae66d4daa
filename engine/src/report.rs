//! What a step did and what a sequence cost, in plain numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use veridraft_models::TokenId;

use crate::{FinishReason, SequenceId};

/// One step of the engine.
#[derive(Clone, Debug, Default)]
pub struct StepReport {
    /// From planning to commit.
    pub duration: Duration,
    /// The forward pass alone.
    pub forward: Duration,
    /// Rows in the forward pass.
    pub rows: usize,
    /// Each sequence that took part.
    pub sequences: Vec<SequenceStep>,
}

/// One sequence's share of a step.
#[derive(Clone, Debug)]
pub struct SequenceStep {
    /// Whose.
    pub sequence: SequenceId,
    /// Rows of its own tokens, drafts apart.
    pub rows: usize,
    /// Who drafted; `None` when nothing was proposed.
    pub source: Option<&'static str>,
    /// Drafted tokens verified.
    pub proposed: usize,
    /// Drafted tokens that stand in the output.
    pub accepted: usize,
    /// New tokens; none while the prompt is not computed to its end.
    pub tokens: Vec<TokenId>,
    /// New text that is certain: no half character, no possible start of a stop string.
    pub text: String,
    /// Why the sequence ended in this step, if it did.
    pub finish: Option<FinishReason>,
}

/// A sequence that left the engine.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The produced tokens, the one that ended the sequence included.
    pub token_ids: Vec<TokenId>,
    /// Why it ended; `Cancelled` when it was removed while it ran.
    pub reason: FinishReason,
    /// What it cost.
    pub report: SequenceReport,
}

/// What one sequence cost so far.
#[derive(Clone, Debug, Default)]
pub struct SequenceReport {
    /// Time of the steps up to the one that produced the first token.
    pub prefill: Duration,
    /// Time of the steps after that.
    pub decode: Duration,
    /// Tokens produced by the steps counted in `decode`.
    pub decode_tokens: usize,
    /// Forward passes that produced tokens.
    pub forwards: usize,
    /// Tokens produced by them.
    pub emitted: usize,
    /// Drafting, by drafter.
    pub sources: BTreeMap<&'static str, SourceReport>,
}

/// What one drafter did for a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SourceReport {
    /// Tokens proposed and verified.
    pub proposed: usize,
    /// Tokens of them that stand in the output.
    pub accepted: usize,
    /// Time spent proposing.
    pub duration: Duration,
}

impl SequenceReport {
    /// Adds a step that took `duration`.
    pub(crate) fn account(&mut self, step: &SequenceStep, duration: Duration) {
        if self.forwards == 0 {
            self.prefill += duration;
        } else {
            self.decode += duration;
            self.decode_tokens += step.tokens.len();
        }
        self.forwards += usize::from(!step.tokens.is_empty());
        self.emitted += step.tokens.len();
        if let Some(source) = step.source {
            let source = self.sources.entry(source).or_default();
            source.proposed += step.proposed;
            source.accepted += step.accepted;
        }
    }

    /// Tokens emitted per target forward, bonus token included (τ); 0 before the first.
    pub fn mean_acceptance_length(&self) -> f64 {
        ratio(self.emitted, self.forwards)
    }

    /// Accepted tokens by proposed tokens, all sources together; 0 when nothing was proposed.
    pub fn acceptance_rate(&self) -> f64 {
        let sum = |count: fn(&SourceReport) -> usize| self.sources.values().map(count).sum();
        ratio(sum(|source| source.accepted), sum(|source| source.proposed))
    }

    /// Tokens a second while decoding; 0 when there was no decoding.
    pub fn tokens_per_second(&self) -> f64 {
        if self.decode.is_zero() { 0.0 } else { self.decode_tokens as f64 / self.decode.as_secs_f64() }
    }
}

fn ratio(numerator: usize, denominator: usize) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}
