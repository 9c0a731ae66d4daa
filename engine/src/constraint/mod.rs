//! What a sequence may continue with: constrained decoding.
//!
//! Law: a constraint is a pure function of the tokens pushed. The set of tokens that may come next, and with it the
//! token drawn from the masked logits, depends on the tokens before it alone; never on what was drafted, asked ahead or
//! masked meanwhile. So speculation changes nothing here either: the verifier masks the logits of each row before it
//! draws, pushes the token drawn, and goes on while the draft agrees. Only tokens that stand are pushed, so there is
//! nothing to take back.
//!
//! ```text
//! rows of one pass      row 0            row 1            row 2
//! verify            mask, draw, push  mask, draw, push  mask, draw, push  ... until a draw differs from the draft
//! ```
//!
//! [`Guidance`] is the implementation for JSON schemas, regular expressions and context-free grammars.

mod token_set;
mod vocabulary;
mod grammar;
mod guidance;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use veridraft_models::TokenId;

pub use grammar::Grammar;
pub use guidance::Guidance;
pub use token_set::TokenSet;
pub use vocabulary::Vocabulary;

use crate::Result;

/// What one sequence may continue with, given the tokens pushed so far; the prompt is not among them.
///
/// End-of-sequence tokens are in [`allowed`](Self::allowed) exactly when the text may end. After an error the constraint
/// is of no further use.
pub trait Constraint: Debug + Send {
    /// The tokens that may come next. Empty only where the text is complete and there is no end-of-sequence token.
    ///
    /// Fails where the grammar is too complex for its limits, or where no token fits what it asks for.
    fn allowed(&mut self) -> Result<TokenSet>;

    /// Takes the next token of the text. Fails if the grammar refuses it.
    fn push(&mut self, token: TokenId) -> Result<()>;

    /// Whether the text may or must end here.
    fn ending(&mut self) -> Result<Ending>;

    /// A constraint in the same state that shares nothing with this one.
    fn fork(&self) -> Box<dyn Constraint>;

    /// How many of `tokens`, one behind the other, would be allowed next. Changes no answer.
    fn accepts(&mut self, tokens: &[TokenId]) -> usize {
        let mut ahead = self.fork();
        let mut fits = |&token: &TokenId| {
            ahead.allowed().is_ok_and(|allowed| allowed.contains(token)) && ahead.push(token).is_ok()
        };
        tokens.iter().take_while(|token| fits(token)).count()
    }

    /// Tokens that must come next, `max` at most: a draft that costs nothing and is nearly always right. Changes no
    /// answer.
    fn forced(&mut self, _max: usize) -> Vec<TokenId> {
        Vec::new()
    }
}

impl Clone for Box<dyn Constraint> {
    fn clone(&self) -> Self {
        self.fork()
    }
}

/// Whether a text may or must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// More has to come.
    No,
    /// It may end here or go on.
    May,
    /// It is complete: nothing but an end-of-sequence token may follow.
    Must,
}
