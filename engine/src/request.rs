//! What a caller asks for, and why a sequence ended.

use serde::Serialize;
use veridraft_models::TokenId;

use crate::SamplingConfig;
use crate::constraint::Constraint;

/// One text to be continued.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tokens to continue, at least one.
    pub prompt: Vec<TokenId>,
    /// What a model with an encoder reads before it begins: given for such a model and for no other. Requests of one
    /// source that are under way at once share what the encoder makes of it, but no cached prefix: what a decoder keeps of
    /// a token depends on its source.
    pub source: Option<Vec<TokenId>>,
    /// New tokens, at most.
    pub max_tokens: usize,
    /// Drafted tokens one behind the other, at least, where a drafter has as many. Equal to `draft_max` it fixes the
    /// length; else costs and acceptance decide. Changes the speed, never the text.
    pub draft_min: usize,
    /// Drafted tokens one behind the other, at most; 0 is plain decoding.
    pub draft_max: usize,
    /// How tokens are chosen.
    pub sampling: SamplingConfig,
    /// When drafted tokens are accepted.
    pub verification: Verification,
    /// What ends the sequence before `max_tokens`.
    pub stop: StopConditions,
    /// What the new tokens must be; the sequence ends when nothing more can follow.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Log-probabilities that are wanted.
    pub logprobs: Logprobs,
}

/// Which log-probabilities a request wants: of the model's own distribution, whatever the sampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logprobs {
    /// For each new token its own and those of so many likeliest; `None` for none.
    pub output: Option<usize>,
    /// The same for each token of the prompt but the first. The whole prompt is computed for it: cached tokens have
    /// no logits.
    pub prompt: Option<usize>,
}

impl Request {
    /// A request for `max_tokens` greedy tokens behind `prompt`, without drafts, that nothing ends earlier.
    pub fn new(prompt: Vec<TokenId>, max_tokens: usize) -> Self {
        Self {
            prompt,
            source: None,
            max_tokens,
            draft_min: 0,
            draft_max: 0,
            sampling: SamplingConfig::default(),
            verification: Verification::default(),
            stop: StopConditions::default(),
            constraint: None,
            logprobs: Logprobs::default(),
        }
    }
}

/// When a drafted token is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// While it equals the token that plain decoding gives: same seed, same text (Daliri, Musco, Suresh 2024).
    #[default]
    Coupled,
    /// With probability p/q, so that the text follows the target's distribution, but not that of plain decoding with
    /// the same seed (Leviathan et al. 2023; Chen et al. 2023).
    Rejection,
    /// While the target finds it likely enough: not the target's distribution (Cai et al. 2024, Medusa).
    Typical,
}

/// What ends a sequence early. The default never does.
#[derive(Clone, Debug, Default)]
pub struct StopConditions {
    /// End-of-sequence tokens of the model; empty to ignore them.
    pub eos_ids: Vec<TokenId>,
    /// Further tokens that end the sequence.
    pub token_ids: Vec<TokenId>,
    /// Texts that end the sequence; the text is cut before the first that completes.
    pub strings: Vec<String>,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model produced an end-of-sequence token.
    Eos,
    /// A token of [`StopConditions::token_ids`] was produced.
    StopToken,
    /// A text of [`StopConditions::strings`] was completed.
    StopString,
    /// The constraint lets nothing follow.
    Complete,
    /// The constraint failed or the source could not be encoded, see
    /// [`SequenceStep::failure`](crate::SequenceStep::failure).
    Failed,
    /// `max_tokens` tokens were produced.
    Length,
    /// The model's context, or the cache's, is full.
    ContextFull,
    /// The caller ended it.
    Cancelled,
}
