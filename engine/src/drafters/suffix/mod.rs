//! Suffix drafting: what followed the same words before, in this text or any earlier one, will follow them again
//! (Oliaro et al. 2024, "SuffixDecoding: A Model-Free Approach to Speeding Up Large Language Model Inference").
//!
//! The longest end of a sequence that occurred before is sought in the sequence itself, in the outputs of finished
//! sequences with their prompts, and in a corpus. What followed there is counted, and grows into a tree. The paper
//! keeps suffix trees and scores a tree for each length of match; here suffix automata hold the same counts, and the
//! longest matches of all indexes grow into one tree. A sequence's source counts as text of its own before its first token.
//!
//! A sequence joins the shared texts when it is released. Until then others do not see it, so that an index never
//! counts a sequence's own end, and what a sequence is offered does not depend on how far its neighbours have come.

mod memory;
mod context;
mod tree;

use std::collections::HashMap;

use veridraft_models::TokenId;

use self::context::Context;
use self::memory::{Cursor, Memory};
use super::suffix_automaton::SuffixAutomaton;
use super::{Draft, DraftRequest, Drafter};
use crate::{Request, Result, SequenceId};

/// Settings of [`Suffix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuffixConfig {
    /// Tokens that must have occurred before, at least, for a draft to be made; 0 counts as 1.
    pub min_match: usize,
    /// Tokens of earlier sequences, prompts included, that are remembered, at most; the oldest are dropped, half of
    /// this at a time. A token takes about 80 bytes.
    pub memory_tokens: usize,
}

impl Default for SuffixConfig {
    /// Matches of one token, which name no phrase but are counted: on words of GSM8K (MBPP) answers, trees of 8 nodes
    /// of probability .1 give 1.96 (1.87) tokens a step for 4.9 (4.0) drafted ones; matches of two at least give, from
    /// probability .03, 1.78 (1.76) for 5.6 (4.1). And 2^20 tokens, some 80 MB.
    fn default() -> Self {
        Self { min_match: 1, memory_tokens: 1 << 20 }
    }
}

/// Drafts by looking a sequence's end up in itself, in earlier sequences and in a corpus.
#[derive(Clone, Debug)]
pub struct Suffix {
    config: SuffixConfig,
    memory: Memory,
    sequences: HashMap<SequenceId, Known>,
}

/// A sequence's tokens, the index over them, and its places in the shared texts.
#[derive(Clone, Debug, Default)]
struct Known {
    tokens: Vec<TokenId>,
    index: SuffixAutomaton,
    cursors: [Cursor; Memory::INDEXES],
}

impl Suffix {
    /// A drafter without sequences and texts.
    pub fn new(config: SuffixConfig) -> Self {
        Self { config, memory: Memory::new(config.memory_tokens), sequences: HashMap::new() }
    }

    /// Adds a text to the corpus, which counts beside `memory_tokens` and is never dropped.
    pub fn add_text(&mut self, text: &[TokenId]) {
        self.memory.keep(text);
    }

    fn draft(&mut self, request: &DraftRequest) -> Option<Draft> {
        let known = self.sequences.get_mut(&request.sequence)?;
        let own = Context { index: &known.index, place: known.index.matched(), is_own: true };
        let shared = self.memory.follow(&mut known.cursors, &known.tokens);
        let shared = shared.map(|(index, place)| Context { index, place, is_own: false });
        let contexts = std::iter::once(own).chain(shared).flat_map(Context::with_shorter);
        let min_match = self.config.min_match.max(1);
        let long = contexts.filter(|context| context.place.length as usize >= min_match);
        Some(tree::grow(long.collect(), request))
    }
}

impl Default for Suffix {
    fn default() -> Self {
        Self::new(SuffixConfig::default())
    }
}

impl Drafter for Suffix {
    fn name(&self) -> &'static str {
        "suffix"
    }

    fn begin(&mut self, sequence: SequenceId, request: &Request) {
        let Some(source) = &request.source else { return };
        let known = self.sequences.entry(sequence).or_default();
        source.iter().for_each(|&token| known.index.push(token));
        known.index.end_text();
    }

    fn extend(&mut self, sequence: SequenceId, tokens: &[TokenId]) {
        let known = self.sequences.entry(sequence).or_default();
        known.tokens.extend_from_slice(tokens);
        tokens.iter().for_each(|&token| known.index.push(token));
    }

    fn propose(&mut self, wanted: &[DraftRequest]) -> Result<Vec<Draft>> {
        Ok(wanted.iter().map(|request| self.draft(request).unwrap_or_default()).collect())
    }

    fn release(&mut self, sequence: SequenceId) {
        if let Some(known) = self.sequences.remove(&sequence) {
            self.memory.remember(&known.tokens);
        }
    }

    fn forget(&mut self) {
        self.memory.forget();
    }
}

#[cfg(test)]
mod tests;
