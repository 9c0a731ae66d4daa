//! Where drafts come from. A draft never changes the text, only how fast it comes.

mod draft;
mod alignment;
mod lookup;
mod suffix;
mod ngram;
mod model;
mod suffix_automaton;

pub use draft::{Draft, DraftNode};
pub use lookup::{Lookup, LookupConfig};
pub use model::{CrossVocabulary, DraftModel, Tokenizers};
pub use ngram::NgramDrafter;
pub use suffix::{Suffix, SuffixConfig};
pub use suffix_automaton::{Occurrence, SuffixAutomaton};

use veridraft_models::TokenId;

use crate::{Request, Result, SequenceId};

/// Proposes continuations of sequences. It sees committed tokens alone, so a rejected draft needs no taking back.
///
/// For each sequence the calls come in the order `begin`, `extend` (first with the prompt) and `propose` as often as
/// wanted, `release`. After `release` the same name never comes again.
pub trait Drafter: Send {
    /// The source's name in settings and reports: `lookup`.
    fn name(&self) -> &'static str;

    /// What a proposal takes, which decides how often it is asked for.
    fn effort(&self) -> Effort {
        Effort::Table
    }

    /// Tokens of a sequence that a proposal has to compute before its first guess, those since the last one apart: the
    /// prompt, or what came while others drafted. The time of such a proposal tells little about the next.
    fn backlog(&self, _sequence: SequenceId) -> usize {
        0
    }

    /// Hears of a sequence before its first tokens come. The request has a source where that is of the same vocabulary: what
    /// a text is about, and in part what it copies.
    fn begin(&mut self, _sequence: SequenceId, _request: &Request) {}

    /// Takes the next committed tokens of a sequence, the prompt first.
    fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]);

    /// Proposes what follows the committed tokens: one draft for each request, in its order, possibly empty.
    ///
    /// After an error the drafter is not asked again; no text depends on it.
    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>>;

    /// Forgets a sequence. What it learned from it may stay.
    fn release(&mut self, sequence: SequenceId);

    /// Forgets what it learned from released sequences.
    fn forget(&mut self) {}
}

/// What a proposal takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Microseconds: the source proposes at every step, and what it would have got right is counted also where its
    /// draft is not verified.
    Table,
    /// Forward passes of a model: the source is asked where its drafts are expected to pay for them.
    Model,
}

/// What is wanted for one sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DraftRequest {
    /// Whose continuation.
    pub sequence: SequenceId,
    /// Tokens one behind the other, at most.
    pub max_depth: usize,
    /// Tokens in all, at most.
    pub max_nodes: usize,
    /// Alternatives behind one token, at most; 1 asks for a chain.
    pub max_children: usize,
    /// A token is not worth its row when the confidences on the way to it, its own included, multiply to less.
    pub least_probability: f32,
    /// A guess behind a token is not worth a pass of a draft model when the confidences on the way to that token multiply
    /// to less.
    pub least_to_go_on: f32,
}

impl DraftRequest {
    /// A request for a chain of up to `max_depth` tokens, however unlikely.
    pub fn chain(sequence: SequenceId, max_depth: usize) -> Self {
        Self { sequence, max_depth, max_nodes: max_depth, max_children: 1, least_probability: 0.0, least_to_go_on: 0.0 }
    }
}
