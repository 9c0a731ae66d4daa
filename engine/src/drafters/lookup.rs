//! Prompt lookup: what followed the same words before will follow them again (Saxena 2023, "Prompt Lookup Decoding").
//!
//! The draft continues the most recent earlier occurrence of the longest end of the sequence that occurred before. A
//! suffix automaton finds it as tokens arrive, where Saxena scans the sequence for n-grams of a few fixed lengths.
//!
//! A sequence with a source is looked up in the source as well. There the draft may also go on from where a copy of the
//! source would stand (`alignment.rs`); of both the surer is proposed. So the first draft is the source's start.

use std::collections::HashMap;

use veridraft_models::TokenId;

use super::alignment::Alignment;
use super::suffix_automaton::{Occurrence, SuffixAutomaton};
use super::{Draft, DraftRequest, Drafter};
use crate::{Request, Result, SequenceId};

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
    /// Those of the source, if it has one, then its own.
    tokens: Vec<TokenId>,
    index: SuffixAutomaton,
    alignment: Option<Alignment>,
    has_prompt: bool,
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

    fn begin(&mut self, sequence: SequenceId, request: &Request) {
        let Some(source) = &request.source else { return };
        let known = self.sequences.entry(sequence).or_default();
        known.read(source);
        known.index.end_text();
        // Behind the end there may be padding, which no text copies.
        let end = source.iter().position(|token| request.stop.eos_ids.contains(token));
        known.alignment = Some(Alignment::new(source[..end.map_or(source.len(), |end| end + 1)].to_vec()));
    }

    fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]) {
        let known = self.sequences.entry(sequence).or_default();
        known.read(tokens);
        let is_prompt = !std::mem::replace(&mut known.has_prompt, true);
        if let Some(alignment) = &mut known.alignment {
            // A prompt was given, not produced.
            let take = if is_prompt { Alignment::push } else { Alignment::score };
            tokens.iter().for_each(|&token| take(alignment, token));
        }
    }

    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>> {
        let draft = |request: &DraftRequest| {
            let known = self.sequences.get(&request.sequence)?;
            let occurrence = known.index.longest_match().filter(|found| found.length >= self.config.min_match);
            let max_tokens = request.max_depth.min(request.max_nodes);
            let sure = occurrence.map_or(0.0, |found| confidence(found.length));
            let copied = known.alignment.as_ref().filter(|copy| copy.confidence() >= sure && !copy.rest().is_empty());
            match copied {
                Some(copy) => Some(copied_draft(copy, max_tokens)),
                None => occurrence.map(|found| continuation(&known.tokens, found, max_tokens)),
            }
        };
        Ok(wanted.iter().map(|request| draft(request).unwrap_or_default()).collect())
    }

    fn release(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence);
    }
}

impl Known {
    fn read(&mut self, tokens: &[TokenId]) {
        self.tokens.extend_from_slice(tokens);
        tokens.iter().for_each(|&token| self.index.push(token));
    }
}

fn copied_draft(copy: &Alignment, max_tokens: usize) -> Draft {
    Draft::chain(copy.rest().iter().take(max_tokens).map(|&token| (token, copy.confidence())))
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

    /// The draft behind `tokens` with this source, of which 9 is the end.
    fn check_source(source: &[TokenId], tokens: &[TokenId], max_tokens: usize, expected: &[TokenId]) {
        let mut lookup = Lookup::default();
        let mut request = Request { source: Some(source.to_vec()), ..Request::new(tokens[..1].to_vec(), 99) };
        request.stop.eos_ids = vec![9];
        lookup.begin(SEQUENCE, &request);
        lookup.extend(SEQUENCE, &tokens[..1]);
        lookup.extend(SEQUENCE, &tokens[1..]);
        assert_eq!(propose(&mut lookup, SEQUENCE, max_tokens), expected);
    }

    #[test]
    fn a_source_is_copied_from_its_start_past_insertions_to_its_end() {
        let source = [1, 2, 3, 4, 5, 9, 0, 0];
        check_source(&source, &[7], 3, &[1, 2, 3]);
        check_source(&source, &[7, 1, 2, 8], 3, &[3, 4, 5]);
        check_source(&source, &[7, 1, 2, 8, 3], 4, &[4, 5, 9]);
    }

    #[test]
    fn a_long_match_is_surer_than_a_copy_that_failed() {
        let source = [1, 2, 3, 4, 5, 6, 9];
        check_source(&source, &[7, 8, 8, 8, 8, 8, 3, 4, 5], 1, &[6]);
        check_source(&source, &[7, 8, 8, 3, 4, 5, 8, 8, 8, 3, 4, 5], 2, &[8, 8]);
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
