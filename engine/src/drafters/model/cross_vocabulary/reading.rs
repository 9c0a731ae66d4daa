//! What the draft model reads: the target's tokens as text, and the text in its own tokens.
//!
//! New text can change the tokens of the text before it, so only an open end of the text is tokenised anew, and what
//! the model has computed is kept up to the first token that differs.
//!
//! ```text
//! draft tokens   | stable ...................... | open |
//! text           | forgotten ......... | before  | open |      tokenised together: before + open
//! ```
//!
//! The boundary rule: a cut is right where the text behind it, tokenised with a little text before it, gives the very
//! tokens that it has within the whole open text. Tokenizers that split at words have such a cut at every word. When
//! the open text is long, the next such cut that leaves [`OPEN_BYTES`] of it becomes its start; where none is
//! found near there, the text stays open and the next reading tries again.

use veridraft_models::TokenId;

use super::Tokenizers;
use crate::{Encode, Result};

/// Tokens with which new tokens are decoded, so that spaces and bytes come out as in the middle of a text.
pub(super) const CONTEXT_TOKENS: usize = 16;
/// Open text that stays when some of it becomes stable, at least.
const OPEN_BYTES: usize = 128;
/// Stable text that open text is tokenised with, at most.
const BEFORE_BYTES: usize = 32;
/// Cuts tried in one reading.
const CUTS: usize = 24;

/// One sequence as the draft model reads it.
#[derive(Debug)]
pub(super) struct Reading {
    /// The last tokens read, of the target.
    context: Vec<TokenId>,
    /// Tokens of the target not read yet.
    unread: Vec<TokenId>,
    /// Draft tokens that later text does not change.
    stable: usize,
    before: String,
    open: String,
}

/// Draft tokens in the place of those from the `keep`-th on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) keep: usize,
    pub(super) tokens: Vec<TokenId>,
}

impl Reading {
    /// A text that has not begun, behind `start` draft tokens.
    pub(super) fn new(start: usize) -> Self {
        Self { context: Vec::new(), unread: Vec::new(), stable: start, before: String::new(), open: String::new() }
    }

    /// Takes committed tokens of the target.
    pub(super) fn push(&mut self, tokens: &[TokenId]) {
        self.unread.extend_from_slice(tokens);
    }

    pub(super) fn is_up_to_date(&self) -> bool {
        self.unread.is_empty()
    }

    /// The last tokens read, of the target.
    pub(super) fn context(&self) -> &[TokenId] {
        &self.context
    }

    /// Reads what was pushed; `None` while the text ends within a character.
    pub(super) fn read(&mut self, tokenizers: &Tokenizers) -> Result<Option<Splice>> {
        let all = [self.context.as_slice(), &self.unread].concat();
        let text = tokenizers.target.decode(&all);
        if text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(None);
        }
        self.open += &text[common_prefix(&tokenizers.target.decode(&self.context), &text)..];
        self.context = all[all.len().saturating_sub(CONTEXT_TOKENS)..].to_vec();
        self.unread.clear();
        let tokens = encode_behind(&*tokenizers.draft, &self.before, &self.open)?;
        let keep = self.stable;
        self.close(&*tokenizers.draft, &tokens)?;
        Ok(Some(Splice { keep, tokens }))
    }

    /// Makes the first part of a long open text stable; `tokens` are those of the open text.
    fn close(&mut self, tokenizer: &dyn Encode, tokens: &[TokenId]) -> Result<()> {
        if self.open.len() <= 2 * OPEN_BYTES {
            return Ok(());
        }
        let last = self.open.floor_char_boundary(self.open.len() - OPEN_BYTES);
        let earlier = self.open[..last].char_indices().rev().map(|(cut, _)| cut);
        let cuts: Vec<usize> = std::iter::once(last).chain(earlier).take(CUTS).collect();
        for cut in cuts {
            let before = &self.open[self.open.floor_char_boundary(cut.saturating_sub(BEFORE_BYTES))..cut];
            let rest = encode_behind(tokenizer, before, &self.open[cut..])?;
            if tokens.ends_with(&rest) {
                self.stable += tokens.len() - rest.len();
                self.before = before.to_owned();
                self.open.drain(..cut);
                break;
            }
        }
        Ok(())
    }
}

/// The tokens of `text` where it stands behind `before`, or those of the text alone where both merge.
pub(super) fn encode_behind(tokenizer: &dyn Encode, before: &str, text: &str) -> Result<Vec<TokenId>> {
    let head = tokenizer.encode(before)?;
    let both = tokenizer.encode(&[before, text].concat())?;
    match both.strip_prefix(head.as_slice()) {
        Some(rest) => Ok(rest.to_vec()),
        None => tokenizer.encode(text),
    }
}

/// Bytes of whole characters that both texts begin with.
pub(super) fn common_prefix(one: &str, other: &str) -> usize {
    let bytes = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    other.floor_char_boundary(bytes)
}
