//! Prompt lookup: what followed the same words before will follow them again (Saxena 2023, "Prompt Lookup Decoding").
//!
//! The draft continues the most recent earlier occurrence of the longest end of the sequence that occurred before. A
//! suffix automaton finds it as tokens arrive, where Saxena scans the sequence for n-grams of a few fixed lengths.

use std::collections::HashMap;

use veridraft_models::TokenId;

use super::suffix_automaton::{Occurrence, SuffixAutomaton};
use super::{Draft, DraftRequest, Drafter};
use crate::{Result, SequenceId};

/// Settings of [`Lookup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupConfig {
    /// Tokens that must have occurred before, at least, for a draft to be made.
    pub min_match: usize,
}

impl Default for LookupConfig {
    /// Two tokens. On 16 chat answers of SmolLM2-135M (64 greedy tokens each, drafts of 8) matches of at least 1, 2, 3
    /// tokens give 1.38, 1.27, 1.20 tokens a forward at an acceptance rate of .10, .25, .37: one token is a common word
    /// and drafts almost everywhere, two already name a phrase.
    fn default() -> Self {
        Self { min_match: 2 }
    }
}

/// Drafts by looking a sequence's end up in the sequence itself.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    config: LookupConfig,
    sequences: HashMap<SequenceId, Known>,
}

/// A sequence's tokens and the index over them.
#[derive(Clone, Debug, Default)]
struct Known {
    tokens: Vec<TokenId>,
    index: SuffixAutomaton,
}

impl Lookup {
    /// A drafter without sequences.
    pub fn new(config: LookupConfig) -> Self {
        Self { config, sequences: HashMap::new() }
    }
}

impl Drafter for Lookup {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]) {
        let known = self.sequences.entry(sequence).or_default();
        known.tokens.extend_from_slice(tokens);
        tokens.iter().for_each(|&token| known.index.push(token));
    }

    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>> {
        let draft = |request: &DraftRequest| {
            let known = self.sequences.get(&request.sequence)?;
            let occurrence = known.index.longest_match().filter(|found| found.length >= self.config.min_match)?;
            Some(continuation(&known.tokens, occurrence, request.max_depth.min(request.max_nodes)))
        };
        Ok(wanted.iter().map(|request| draft(request).unwrap_or_default()).collect())
    }

    fn release(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence);
    }
}

/// The tokens behind an earlier occurrence. Where they reach the present end they go on from the draft's own start,
/// so that a repetition shorter than the draft is carried on.
fn continuation(tokens: &[TokenId], occurrence: Occurrence, max_tokens: usize) -> Draft {
    let followed = tokens[occurrence.end..].iter().copied().cycle().take(max_tokens);
    Draft::chain(followed.zip((occurrence.length..).map(confidence)))
}

/// Rises with the tokens that agree before the guess, those of the draft included.
fn confidence(matched: usize) -> f32 {
    matched as f32 / (matched + 2) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: SequenceId = SequenceId(1);

    fn propose(lookup: &mut Lookup, sequence: SequenceId, max_tokens: usize) -> Vec<TokenId> {
        let drafts = lookup.propose(&[DraftRequest::chain(sequence, max_tokens)]).unwrap();
        assert_eq!(drafts.len(), 1);
        assert!(drafts[0].is_chain());
        drafts[0].nodes.iter().map(|node| node.token).collect()
    }

    fn check(tokens: &[TokenId], max_tokens: usize, expected: &[TokenId]) {
        let mut lookup = Lookup::default();
        lookup.extend(SEQUENCE, tokens);
        assert_eq!(propose(&mut lookup, SEQUENCE, max_tokens), expected);
    }

    #[test]
    fn a_draft_is_what_followed_the_longest_match() {
        check(&[1, 2, 3, 4, 9, 2, 3, 5, 8, 1, 2, 3], 3, &[4, 9, 2]);
    }

    #[test]
    fn of_equal_matches_the_most_recent_counts() {
        check(&[2, 3, 4, 9, 2, 3, 5, 8, 2, 3], 2, &[5, 8]);
    }

    #[test]
    fn a_repetition_is_carried_on_past_the_end() {
        check(&[7, 1, 2, 1, 2], 5, &[1, 2, 1, 2, 1]);
        check(&[5, 5, 5], 4, &[5, 5, 5, 5]);
    }

    #[test]
    fn too_short_a_match_gives_no_draft() {
        check(&[1, 2, 3, 1], 4, &[]);
        check(&[], 4, &[]);
        let mut eager = Lookup::new(LookupConfig { min_match: 1 });
        eager.extend(SEQUENCE, &[1, 2, 3, 1]);
        assert_eq!(propose(&mut eager, SEQUENCE, 4), [2, 3, 1, 2]);
    }

    #[test]
    fn sequences_are_apart_and_a_released_one_is_forgotten() {
        let mut lookup = Lookup::default();
        lookup.extend(SEQUENCE, &[1, 2, 3, 1, 2]);
        lookup.extend(SequenceId(2), &[1, 2, 9]);
        lookup.extend(SequenceId(2), &[1, 2]);
        assert_eq!(propose(&mut lookup, SequenceId(2), 1), [9]);
        assert_eq!(propose(&mut lookup, SEQUENCE, 1), [3]);
        lookup.release(SEQUENCE);
        assert!(propose(&mut lookup, SEQUENCE, 1).is_empty());
        assert_eq!(lookup.sequences.len(), 1);
    }
}
