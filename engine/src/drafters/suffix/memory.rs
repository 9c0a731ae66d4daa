//! The texts that all sequences share: a corpus that stays, and earlier outputs of which the oldest are dropped.
//!
//! Earlier outputs lie in two generations. Texts join the young one; when it holds half of the tokens allowed it
//! becomes the old one, and the old one is dropped whole. So between half of the tokens allowed and all of them are
//! remembered, always the newest ones, without ever taking a text out of an index. Dropping 2^19 tokens takes some 30
//! milliseconds, once in so many.
//!
//! A sequence keeps its place in each index and moves it on by its new tokens. A place holds for the index as it was:
//! where a text has joined since, the place is sought anew from the sequence's last [`MAX_MATCH`] tokens.

use veridraft_models::TokenId;

use super::super::suffix_automaton::{Place, SuffixAutomaton};

/// Tokens that are matched, at most: more do not make a guess surer, and so many are read to find a place anew.
pub(super) const MAX_MATCH: usize = 64;

/// The shared texts.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// Corpus, old and young generation.
    texts: [Texts; Memory::INDEXES],
    /// Tokens of a generation, at most.
    generation_tokens: usize,
    /// Changes made to any index.
    changes: u64,
}

/// Texts under one index.
#[derive(Clone, Debug, Default)]
struct Texts {
    index: SuffixAutomaton,
    tokens: usize,
    /// The number of the last change; no two indexes ever share one but that of no change.
    change: u64,
}

/// Where the end of a sequence stands in one index.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    place: Place,
    /// Tokens of the sequence that `place` accounts for.
    seen: usize,
    /// The index's change that `place` holds for.
    change: u64,
}

impl Memory {
    /// Indexes that a sequence has cursors into.
    pub(super) const INDEXES: usize = 3;
    const CORPUS: usize = 0;
    const OLD: usize = 1;
    const YOUNG: usize = 2;

    /// Nothing yet, and never more than `tokens` tokens of earlier outputs.
    pub(super) fn new(tokens: usize) -> Self {
        Self { texts: Default::default(), generation_tokens: tokens / 2, changes: 0 }
    }

    /// Adds a text that is never dropped.
    pub(super) fn keep(&mut self, text: &[TokenId]) {
        self.add(Self::CORPUS, text);
    }

    /// Adds a text, of one longer than a generation its end.
    pub(super) fn remember(&mut self, text: &[TokenId]) {
        let text = &text[text.len().saturating_sub(self.generation_tokens)..];
        if self.texts[Self::YOUNG].tokens + text.len() > self.generation_tokens {
            self.texts[Self::OLD] = std::mem::take(&mut self.texts[Self::YOUNG]);
        }
        self.add(Self::YOUNG, text);
    }

    /// Drops all earlier outputs; the corpus stays.
    pub(super) fn forget(&mut self) {
        self.texts[Self::OLD] = Texts::default();
        self.texts[Self::YOUNG] = Texts::default();
    }

    /// Tokens of earlier outputs.
    #[cfg(test)]
    pub(super) fn tokens(&self) -> usize {
        self.texts[Self::OLD].tokens + self.texts[Self::YOUNG].tokens
    }

    /// Moves the cursors to the end of a sequence; returns each index with the longest end of `sequence`, of at most
    /// [`MAX_MATCH`] tokens, that stands in it.
    pub(super) fn follow<'a>(
        &'a self,
        cursors: &'a mut [Cursor; Self::INDEXES],
        sequence: &'a [TokenId],
    ) -> impl Iterator<Item = (&'a SuffixAutomaton, Place)> {
        self.texts.iter().zip(cursors).map(|(texts, cursor)| {
            cursor.follow(texts, sequence);
            (&texts.index, cursor.place)
        })
    }

    fn add(&mut self, index: usize, text: &[TokenId]) {
        if text.is_empty() {
            return;
        }
        self.changes += 1;
        let texts = &mut self.texts[index];
        text.iter().for_each(|&token| texts.index.push(token));
        texts.index.end_text();
        texts.tokens += text.len();
        texts.change = self.changes;
    }
}

impl Cursor {
    fn follow(&mut self, texts: &Texts, sequence: &[TokenId]) {
        let window = sequence.len().saturating_sub(MAX_MATCH);
        if self.change != texts.change || self.seen < window {
            *self = Self { place: Place::default(), seen: window, change: texts.change };
        }
        for &token in &sequence[self.seen..] {
            let longer = texts.index.advance(self.place, token);
            self.place = texts.index.shorten(longer, MAX_MATCH as u32);
        }
        self.seen = sequence.len();
    }
}
