//! What a caller asks for, and why a sequence ended.

use serde::Serialize;
use veridraft_models::TokenId;

use crate::SamplingConfig;

/// One text to be continued.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tokens to continue, at least one.
    pub prompt: Vec<TokenId>,
    /// New tokens, at most.
    pub max_tokens: usize,
    /// Drafted tokens verified in one step, at most; 0 is plain decoding. Changes the speed, never the text.
    pub draft_max: usize,
    /// How tokens are chosen.
    pub sampling: SamplingConfig,
    /// What ends the sequence before `max_tokens`.
    pub stop: StopConditions,
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
    /// `max_tokens` tokens were produced.
    Length,
    /// The model's context, or the cache's, is full.
    ContextFull,
    /// The caller ended it.
    Cancelled,
}
