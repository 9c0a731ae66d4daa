//! What `veridraft bench draft` reports: the object of `--json`, from which the table is made.

use serde::Serialize;
use veridraft_engine::SamplingConfig;

use super::texts::Texts;

/// The object of `--json`; times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FitnessReport {
    #[serde(flatten)]
    pub(super) subject: Subject,
    pub(super) draft_max: usize,
    pub(super) forward: Vec<Pass>,
    pub(super) drafts: Vec<DraftReport>,
}

/// What was scored.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Subject {
    pub(super) model: String,
    pub(super) weights: String,
    pub(super) path: String,
    pub(super) temperature: f32,
    pub(super) seed: u64,
    /// How a guess is accepted: `greedy`, while it is the target's best token; `coupled`, while it is the token that the
    /// target draws.
    pub(super) verification: &'static str,
    pub(super) texts: usize,
    /// Texts that are answers to a prompt of their row; the others are scored themselves.
    pub(super) answers: usize,
    /// Texts that were cut, because a model had no room for them.
    pub(super) cut: usize,
    /// Scored tokens.
    pub(super) tokens: usize,
}

/// A forward pass of the target.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Pass {
    pub(super) rows: usize,
    pub(super) median_ms: f64,
    /// T(k)/T(1).
    pub(super) ratio: f64,
}

/// One `--draft`, by the string typed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DraftReport {
    pub(super) draft: String,
    /// Share of the scored tokens before which it has a guess.
    pub(super) guessed: f64,
    /// Mean of Σ min(p, q) where it has.
    pub(super) overlap: f64,
    /// How often its likeliest token there is the target's.
    pub(super) same_best: f64,
    /// How often its first guess is accepted.
    pub(super) acceptance: f64,
    /// The guesses of drafts of the greatest length by their place.
    pub(super) positions: Vec<Position>,
    /// From 1 on.
    pub(super) draft_lengths: Vec<DraftLength>,
    pub(super) best: Best,
}

/// The guesses at one place of a draft, the first being 1.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Position {
    pub(super) position: usize,
    /// Steps that have a guess here.
    pub(super) proposed: usize,
    /// Steps in which it and all before it stand.
    pub(super) accepted: usize,
    /// The share of those in which all before it stand; none where that never happens.
    pub(super) agreement: Option<f64>,
}

/// What is predicted for a draft length.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct DraftLength {
    pub(super) draft_length: usize,
    /// Tokens a step (τ).
    pub(super) mean_acceptance_length: f64,
    /// Time of drafting, a step.
    pub(super) draft_ms: f64,
    /// Tokens a second by that of plain decoding; none where every text is one step.
    pub(super) speed_up: Option<f64>,
}

/// The draft length with the greatest speed-up; 0 is plain decoding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Best {
    pub(super) draft_length: usize,
    pub(super) speed_up: f64,
}

impl Subject {
    pub(super) fn new([model, weights, path]: [String; 3], sampling: &SamplingConfig, texts: &Texts) -> Self {
        let is_greedy = sampling.is_greedy();
        Self {
            model,
            weights,
            path,
            temperature: sampling.temperature,
            seed: sampling.seed,
            verification: if is_greedy { "greedy" } else { "coupled" },
            texts: texts.windows.len(),
            answers: texts.answers,
            cut: texts.cut,
            tokens: texts.tokens(),
        }
    }
}
