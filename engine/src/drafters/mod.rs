//! Where drafts come from. A draft never changes the text, only how fast it comes.

mod lookup;
mod suffix_automaton;

pub use lookup::{Lookup, LookupConfig};
pub use suffix_automaton::{Occurrence, SuffixAutomaton};

use veridraft_models::TokenId;

use crate::SequenceId;

/// Proposes continuations of sequences. It sees committed tokens alone, so a rejected draft needs no taking back.
pub trait Drafter: Send {
    /// The source's name in settings and reports: `lookup`.
    fn name(&self) -> &'static str;

    /// Takes the next committed tokens of a sequence, the prompt first.
    fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]);

    /// Proposes what follows the committed tokens: one draft for each request, in its order, possibly empty.
    fn propose(&mut self, wanted: &[DraftRequest]) -> Vec<Draft>;

    /// Forgets a sequence.
    fn release(&mut self, sequence: SequenceId);
}

/// What is wanted for one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftRequest {
    /// Whose continuation.
    pub sequence: SequenceId,
    /// Tokens, at most.
    pub max_tokens: usize,
}

/// Tokens proposed to follow a sequence, each behind the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The tokens; none where the drafter has nothing to propose.
    pub tokens: Vec<TokenId>,
}
