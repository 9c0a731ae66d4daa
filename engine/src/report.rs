//! What a step did and what a sequence cost, in plain numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use veridraft_models::TokenId;

use crate::sampling::TokenLogprobs;
use crate::{FinishReason, SequenceId};

/// One step of the engine.
#[derive(Clone, Debug, Default)]
pub struct StepReport {
    /// From planning to commit.
    pub duration: Duration,
    /// The forward pass alone.
    pub forward: Duration,
    /// Drafting alone.
    pub drafting: Duration,
    /// Rows in the forward pass.
    pub rows: usize,
    /// Each sequence that took part.
    pub sequences: Vec<SequenceStep>,
    /// What went wrong and ended neither the step nor a sequence: a drafter that failed and is not asked again.
    pub failures: Vec<String>,
}

/// One sequence's share of a step.
#[derive(Clone, Debug)]
pub struct SequenceStep {
    /// Whose.
    pub sequence: SequenceId,
    /// Rows of its own tokens, drafts apart.
    pub rows: usize,
    /// Who drafted, and how well; nobody when nothing was verified.
    pub sources: BTreeMap<&'static str, Outcome>,
    /// Drafted tokens verified.
    pub proposed: usize,
    /// Drafted tokens that stand in the output.
    pub accepted: usize,
    /// Levels of the draft: drafted tokens one behind the other.
    pub depth: usize,
    /// The draft itself, a tree whose parents stand before their children: `proposed` tokens, of which `accepted` stand.
    pub draft: Vec<DraftedToken>,
    /// New tokens; none while the prompt is not computed to its end.
    pub tokens: Vec<TokenId>,
    /// New text that is certain: no half character, no possible start of a stop string.
    pub text: String,
    /// One a new token, where the request wants them.
    pub logprobs: Vec<TokenLogprobs>,
    /// Those of prompt tokens computed in this step, in order from the prompt's second token on.
    pub prompt_logprobs: Vec<TokenLogprobs>,
    /// Why the sequence ended in this step, if it did.
    pub finish: Option<FinishReason>,
    /// What went wrong where that is [`FinishReason::Failed`].
    pub failure: Option<String>,
}

impl StepReport {
    /// All that went wrong, a line each: the step's failures, then those that ended a sequence, behind its number.
    pub fn all_failures(&self) -> impl Iterator<Item = String> {
        let of_sequence = |step: &SequenceStep| {
            let failure = step.failure.as_ref()?;
            Some(format!("sequence {}: {failure}", step.sequence.0))
        };
        self.failures.iter().cloned().chain(self.sequences.iter().filter_map(of_sequence))
    }
}

impl SequenceStep {
    /// The end of a sequence that failed before it took part in a pass.
    pub(crate) fn without_pass(sequence: SequenceId, text: String, failure: String) -> Self {
        Self {
            sequence,
            rows: 0,
            sources: BTreeMap::new(),
            proposed: 0,
            accepted: 0,
            depth: 0,
            draft: Vec::new(),
            tokens: Vec::new(),
            text,
            logprobs: Vec::new(),
            prompt_logprobs: Vec::new(),
            finish: Some(FinishReason::Failed),
            failure: Some(failure),
        }
    }
}

/// A drafted token that was verified, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftedToken {
    /// The token.
    pub token: TokenId,
    /// Place in the draft of the token that it follows; `None` when it follows the sequence's last token.
    pub parent: Option<usize>,
    /// Who guessed it; of several the one that was surest.
    pub source: &'static str,
    /// Whether it stands in the output.
    pub is_accepted: bool,
}

/// What became of one drafter's tokens in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tokens verified.
    pub proposed: usize,
    /// Tokens of them that stand in the output.
    pub accepted: usize,
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
    /// Tokens of the prompt whose keys and values were found in the cache.
    pub cached: usize,
    /// Times it gave its blocks up for others.
    pub preemptions: usize,
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
    /// Passes that verified some of them.
    pub passes: usize,
    /// Tokens that those passes produced.
    pub emitted: usize,
    /// Time spent proposing, also what was not verified.
    pub duration: Duration,
    /// Seconds saved by its accepted tokens, less those that its rows and its proposals took, by the cost model;
    /// negative where it cost more than it brought.
    pub gain: f64,
}

impl SourceReport {
    /// Tokens produced a pass that verified some of its tokens; 0 when there was none.
    pub fn mean_acceptance_length(&self) -> f64 {
        ratio(self.emitted, self.passes)
    }
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
        for (name, outcome) in &step.sources {
            let source = self.sources.entry(name).or_default();
            source.proposed += outcome.proposed;
            source.accepted += outcome.accepted;
            source.passes += 1;
            source.emitted += step.tokens.len();
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
