//! Coupled verification: a drafted token is accepted while it equals the token that plain decoding gives.
//!
//! The token behind each row is sampled from the target's logits and noise that depends on seed and position alone,
//! so the output cannot depend on the draft (Daliri, Musco, Suresh 2024). The draft only decides how many of the rows
//! computed in one pass stand on the right tokens.

use veridraft_models::{Logits, TokenId};

use crate::detokenizer::Decode;
use crate::sequence::Sequence;

/// What verification of one sequence's rows gave.
pub(crate) struct Verified {
    /// Drafted tokens that stand in the output.
    pub(crate) accepted: usize,
    /// Tokens produced, the bonus token included.
    pub(crate) tokens: Vec<TokenId>,
    /// Text that is certain by now.
    pub(crate) text: String,
}

/// Produces tokens for `sequence` from its rows of `logits`, `first` on: one for its last token, one a drafted token.
pub(crate) fn verify(
    sequence: &mut Sequence,
    draft: &[TokenId],
    logits: &Logits,
    first: usize,
    decoder: &dyn Decode,
) -> Verified {
    let mut verified = Verified { accepted: 0, tokens: Vec::with_capacity(draft.len() + 1), text: String::new() };
    for index in 0..=draft.len() {
        let token = sequence.sample(logits.row(first + index));
        verified.text += &sequence.push(token, decoder);
        verified.tokens.push(token);
        let agrees = draft.get(index) == Some(&token);
        verified.accepted += usize::from(agrees);
        if !agrees || !sequence.is_running() {
            break;
        }
    }
    verified
}
