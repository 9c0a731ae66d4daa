//! Texts that are longer than a masked model's context, cut into pieces that it can see.
//!
//! A piece begins and ends as its text does, with the tokens that the tokenizer puts around it. Pieces are cut between
//! words, so that a word's tokens see each other; a word that is too long by itself is cut all the same.

use std::ops::Range;

use veridraft_models::{TokenId, WordEncoding};

use crate::{Error, Result};

/// A part of a text that a model sees by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Which of the texts.
    pub(super) text: usize,
    /// The tokens of the model's input.
    pub(super) token_ids: Vec<TokenId>,
    /// For each the word that it is a piece of; `None` for those around the text.
    pub(super) words: Vec<Option<u32>>,
    /// Tokens of the text that are left out before the piece's first own token.
    skipped: usize,
}

impl Piece {
    /// Cuts a text into pieces of at most `most` tokens.
    pub(super) fn of_text(text: usize, encoding: &WordEncoding, most: usize) -> Result<Vec<Self>> {
        let WordEncoding { token_ids, words } = encoding;
        let own = own_tokens(words);
        let around = words.len() - own.len();
        if most <= around && !own.is_empty() {
            return Err(Error::WindowTooLong { found: around + 1, context_length: most });
        }
        let piece = |range: Range<usize>| Self {
            text,
            token_ids: [&token_ids[..own.start], &token_ids[range.clone()], &token_ids[own.end..]].concat(),
            words: [&words[..own.start], &words[range.clone()], &words[own.end..]].concat(),
            skipped: range.start - own.start,
        };
        Ok(cuts(words, own.clone(), most - around.min(most)).into_iter().map(piece).collect())
    }

    /// Where in the text the token stands that stands at `position` of the piece.
    pub(super) fn text_position(&self, position: usize) -> usize {
        position + self.skipped
    }
}

/// The tokens between those that the tokenizer puts around a text.
fn own_tokens(words: &[Option<u32>]) -> Range<usize> {
    let start = words.iter().position(Option::is_some).unwrap_or(words.len());
    let end = words.iter().rposition(Option::is_some).map_or(start, |last| last + 1);
    start..end
}

fn cuts(words: &[Option<u32>], own: Range<usize>, room: usize) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut start = own.start;
    while start < own.end {
        let full = start + room;
        let is_between_words = |&end: &usize| words[end] != words[end - 1];
        let end = match full < own.end {
            true => (start + 1..=full).rev().find(is_between_words).unwrap_or(full),
            false => own.end,
        };
        cuts.push(start..end);
        start = end;
    }
    cuts
}
