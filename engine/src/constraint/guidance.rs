//! A constraint by `llguidance`: derivatives of regular expressions for words, an Earley parser above them, and a walk
//! over the trie of the vocabulary for the tokens that fit.
//!
//! What is asked ahead goes to a second matcher that follows the first token by token. Were it asked of the first, its
//! lexer would have spent of its limits by what was drafted, and a text near those limits would depend on the drafts.

use std::fmt::Display;
use std::sync::Arc;

use llguidance::Matcher;
use llguidance::api::StopReason;
use veridraft_models::TokenId;

use super::grammar::one_line;
use super::{Constraint, Ending, TokenSet, Vocabulary};
use crate::{Error, Result};

/// The state of one sequence in a grammar; made by [`Grammar::compile`](super::Grammar::compile).
pub struct Guidance {
    matcher: Matcher,
    /// In the same state; there once something was asked ahead.
    ahead: Option<Matcher>,
    eos_ids: Arc<[TokenId]>,
    vocabulary: usize,
    pushed: usize,
}

impl Guidance {
    pub(super) fn new(matcher: Matcher, vocabulary: &Vocabulary) -> Self {
        let eos_ids = vocabulary.eos_ids().into();
        Self { matcher, ahead: None, eos_ids, vocabulary: vocabulary.size(), pushed: 0 }
    }

    /// What a JSON schema that asks for leniency is not held to; empty for all others.
    pub fn warnings(&self) -> Vec<String> {
        self.matcher.clone().grammar_warnings().into_iter().map(one_line).collect()
    }

    fn failed(&self, error: impl Display) -> Error {
        let reason = one_line(error);
        // The library's word for a mask without tokens.
        let reason = if reason == "NoExtensionBias" { "no token continues the text".to_owned() } else { reason };
        Error::Constraint { pushed: self.pushed, reason }
    }

    fn ahead(&mut self) -> &mut Matcher {
        self.ahead.get_or_insert_with(|| self.matcher.deep_clone())
    }

    /// An end-of-sequence token behind a complete text changes nothing; the matcher would take it for a mistake.
    fn take(matcher: &mut Matcher, token: TokenId, eos_ids: &[TokenId]) -> Result<(), String> {
        let complete = matcher.stop_reason() == StopReason::NoExtension;
        if complete && eos_ids.contains(&token) { Ok(()) } else { matcher.consume_token(token).map_err(one_line) }
    }

    /// Whether `token` may come next: what [`allowed`](Constraint::allowed) would say, without the walk over the trie.
    fn fits(matcher: &mut Matcher, token: TokenId, eos_ids: &[TokenId]) -> bool {
        if matcher.is_stopped() {
            return !matcher.is_error() && eos_ids.contains(&token);
        }
        let forced = matcher.compute_ff_tokens();
        forced.first().is_none_or(|&first| first == token)
            && matcher.validate_tokens(&[token]).is_ok_and(|count| count == 1)
    }
}

impl Constraint for Guidance {
    fn allowed(&mut self) -> Result<TokenSet> {
        let set = self.matcher.compute_mask_or_eos().map_err(|error| self.failed(error))?;
        Ok(TokenSet::from_words(set.as_slice(), self.vocabulary))
    }

    fn push(&mut self, token: TokenId) -> Result<()> {
        Self::take(&mut self.matcher, token, &self.eos_ids).map_err(|error| self.failed(error))?;
        self.pushed += 1;
        // The one that follows is dropped where it falls behind, and made anew when it is needed.
        if let Some(ahead) = &mut self.ahead
            && Self::take(ahead, token, &self.eos_ids).is_err()
        {
            self.ahead = None;
        }
        Ok(())
    }

    fn ending(&mut self) -> Result<Ending> {
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            return Ok(Ending::Must);
        }
        let may = self.matcher.is_accepting().map_err(|error| self.failed(error))?;
        Ok(if may { Ending::May } else { Ending::No })
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }

    fn accepts(&mut self, tokens: &[TokenId]) -> usize {
        if tokens.is_empty() {
            return 0;
        }
        let eos_ids = Arc::clone(&self.eos_ids);
        let vocabulary = self.vocabulary;
        let mut ahead = self.ahead().clone();
        let mut fits = |&token: &TokenId| {
            let known = (token as usize) < vocabulary;
            known && Self::fits(&mut ahead, token, &eos_ids) && Self::take(&mut ahead, token, &eos_ids).is_ok()
        };
        tokens.iter().take_while(|token| fits(token)).count()
    }

    fn forced(&mut self, max: usize) -> Vec<TokenId> {
        let mut tokens = self.ahead().compute_ff_tokens();
        tokens.truncate(max);
        tokens
    }
}

impl Clone for Guidance {
    fn clone(&self) -> Self {
        Self {
            matcher: self.matcher.deep_clone(),
            ahead: None,
            eos_ids: Arc::clone(&self.eos_ids),
            vocabulary: self.vocabulary,
            pushed: self.pushed,
        }
    }
}

impl std::fmt::Debug for Guidance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guidance").field("pushed", &self.pushed).finish_non_exhaustive()
    }
}
