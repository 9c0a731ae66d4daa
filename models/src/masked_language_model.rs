//! The seam between what scores whole texts and whatever runs a masked model.

use crate::{Logits, Result, TokenId};

/// Texts that one pass computes, each from all of its own tokens at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskedBatch {
    /// Tokens of each, at least one; what a text begins and ends with and its masks among them. They need not be equally
    /// long: the model pads them.
    pub sequences: Vec<Vec<TokenId>>,
    /// The rows of the logits, in this order.
    pub wanted: Vec<MaskedPlace>,
}

/// A token of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedPlace {
    /// Which of the batch's sequences.
    pub sequence: usize,
    /// Which of its tokens, from 0.
    pub position: usize,
}

/// What batches a masked model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedLimits {
    /// Columns of the logits; tokens are less.
    pub vocabulary: usize,
    /// Tokens in one sequence, at most.
    pub context_length: usize,
    /// Tokens in one batch, at most, when every sequence is padded to the longest; a single sequence may have more.
    pub padded_tokens: usize,
}

/// A language model that sees both sides of a token.
pub trait MaskedLanguageModel: Send {
    /// What batches [`forward`](Self::forward) takes.
    fn limits(&self) -> MaskedLimits;

    /// Scores of the tokens that belong in the wanted places, whatever stands there, `[wanted, vocabulary]`.
    ///
    /// A sequence's scores are the same in any company up to rounding.
    fn forward(&mut self, batch: &MaskedBatch) -> Result<Logits>;
}
