//! Verification: which drafted tokens stand, and what follows them.
//!
//! Coupled, the token behind each row is sampled from the target's logits and noise that depends on seed and position
//! alone, so the output cannot depend on the draft (Daliri, Musco, Suresh 2024). The draft only decides how many of the
//! rows computed in one pass stand on the right tokens: the walk goes down the tree as long as there is a node with the
//! token that was sampled.
//!
//! The other verifications look at the drafted tokens before they choose: see [`rejection`](crate::sampling::rejection)
//! and [`typical`](crate::sampling::typical). Where none of them stands, or there is none, rejection draws from what is
//! left and typical acceptance samples as coupled verification does.

use veridraft_models::{Logits, TokenId};

use crate::detokenizer::Decode;
use crate::drafters::Draft;
use crate::sampling::TokenLogprobs;
use crate::sequence::Sequence;
use crate::{Error, FinishReason};

/// What verification of one sequence's rows gave.
#[derive(Default)]
pub(crate) struct Verified {
    /// Nodes of the draft that stand in the output, each the child of the one before.
    pub(crate) path: Vec<usize>,
    /// Tokens produced, the bonus token included.
    pub(crate) tokens: Vec<TokenId>,
    /// Text that is certain by now.
    pub(crate) text: String,
    /// One a token, where wanted.
    pub(crate) logprobs: Vec<TokenLogprobs>,
    /// Why the constraint failed and ended the sequence.
    pub(crate) failure: Option<Error>,
}

/// Produces tokens for `sequence` from its rows of `logits`, `first` on: one for its last token, one a node of the draft.
pub(crate) fn verify(
    sequence: &mut Sequence,
    draft: &Draft,
    logits: &Logits,
    first: usize,
    decoder: &dyn Decode,
) -> Verified {
    let mut verified = Verified::default();
    loop {
        let at = verified.path.last().copied();
        let row = logits.row(first + at.map_or(0, |node| node + 1));
        let token = match sequence.choose(row, draft, at) {
            Ok(token) => token,
            Err(error) => {
                verified.text += &sequence.end(FinishReason::Failed, decoder);
                verified.failure = Some(error);
                return verified;
            }
        };
        verified.logprobs.extend(sequence.logprobs.output.map(|top| TokenLogprobs::new(row, token, top)));
        verified.text += &sequence.push(token, decoder);
        verified.tokens.push(token);
        let child = draft.child(at, token);
        verified.path.extend(child);
        if child.is_none() || !sequence.is_running() {
            return verified;
        }
    }
}
