//! A constraint without a grammar: which tokens may come next is a hash of those before.
//!
//! It refuses every token that it did not allow, so an engine that pushes a rejected draft, or masks a row by another
//! row's tokens, gets an error or another text.

use veridraft_engine::constraint::{Constraint, Ending, TokenSet};
use veridraft_engine::{Error, Result};
use veridraft_models::TokenId;

use crate::constrained_text::mix;

/// Allows about a third of the tokens at each position, now and then one alone, and is complete after `length` tokens.
#[derive(Clone, Debug)]
pub struct ScriptedConstraint {
    /// What the hash starts from.
    pub seed: u64,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// The token that ends a text, if one does.
    pub eos: Option<TokenId>,
    /// Tokens in one text, at most.
    pub length: usize,
    /// The text so far.
    pub pushed: Vec<TokenId>,
}

impl ScriptedConstraint {
    fn state(&self) -> u64 {
        self.pushed.iter().fold(mix(self.seed), |state, &token| mix(state ^ u64::from(token)))
    }

    fn has_ended(&self) -> bool {
        self.pushed.last().is_some_and(|&last| Some(last) == self.eos)
    }
}

impl Constraint for ScriptedConstraint {
    fn allowed(&mut self) -> Result<TokenSet> {
        let state = self.state();
        let end = if self.ending()? == Ending::No { None } else { self.eos };
        if self.ending()? == Ending::Must {
            return Ok(TokenSet::of(end));
        }
        let one = (state % self.vocabulary as u64) as TokenId;
        let is_alone = mix(state).is_multiple_of(4);
        let may_come = |&token: &TokenId| {
            let by_hash = !is_alone && mix(state ^ (u64::from(token) << 32)).is_multiple_of(3);
            Some(token) != self.eos && (by_hash || token == one || Some(one) == self.eos)
        };
        Ok(TokenSet::of((0..self.vocabulary as TokenId).filter(may_come).chain(end)))
    }

    fn push(&mut self, token: TokenId) -> Result<()> {
        if !self.allowed()?.contains(token) {
            let reason = format!("token {token} is not allowed");
            return Err(Error::Constraint { pushed: self.pushed.len(), reason });
        }
        self.pushed.push(token);
        Ok(())
    }

    fn ending(&mut self) -> Result<Ending> {
        let may = mix(self.state() ^ 1).is_multiple_of(8);
        Ok(match may {
            _ if self.has_ended() || self.pushed.len() >= self.length => Ending::Must,
            true => Ending::May,
            false => Ending::No,
        })
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }

    fn forced(&mut self, max: usize) -> Vec<TokenId> {
        let mut ahead = self.clone();
        let mut tokens = Vec::new();
        while tokens.len() < max {
            let Ok(allowed) = ahead.allowed() else { break };
            let (1, Some(token)) = (allowed.len(), allowed.iter().next()) else { break };
            if ahead.has_ended() || ahead.push(token).is_err() {
                break;
            }
            tokens.push(token);
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_to_an_end_and_some_tokens_are_forced() {
        let mut forced = 0;
        for seed in 0..20 {
            let mut constraint =
                ScriptedConstraint { seed, vocabulary: 12, eos: Some(3), length: 30, pushed: Vec::new() };
            while constraint.ending().unwrap() != Ending::Must {
                forced += constraint.forced(4).len();
                let allowed = constraint.allowed().unwrap();
                let token = allowed.iter().max_by_key(|&token| mix(u64::from(token) ^ seed)).unwrap();
                constraint.push(token).unwrap();
            }
            assert!(constraint.pushed.len() <= 30);
            assert!(constraint.push(0).is_err());
        }
        assert!(forced > 20);
    }
}
