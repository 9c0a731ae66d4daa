//! How a text is cut into windows and which of its tokens count: the recipes of three programs, whose figures differ for
//! one model and one text because of it.
//!
//! ```text
//! hf         .#########                      llama.cpp  ......####             lm-eval  p##########
//! window 10      ......####                  window 10            ......####  window 10          .##########
//! stride 4           ......####                                                             ........###
//! ```
//!
//! `#` is a token that is predicted, `.` one that is only read, `p` one that stands before the text. A window knows nothing before its first token, so every recipe is a compromise
//! between passes and context. All of it is arithmetic on lengths: no token is looked at here.

use std::ops::Range;

use veridraft_models::TokenId;

use super::Window;
use crate::InvalidSetting;

/// A recipe and its parameters, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Windows that overlap, each of which scores what lies behind the end of the one before: Hugging Face Transformers,
    /// "Perplexity of fixed-length models". The first token of a window has no prediction.
    HuggingFace {
        /// Tokens of a window, 2 or more.
        window: usize,
        /// Tokens from the start of a window to that of the next, 1 to `window`.
        stride: usize,
    },
    /// Chunks that share nothing, of which the second half is scored, without its first token: `llama-perplexity` of
    /// llama.cpp, function `perplexity`. What is left behind the last whole chunk is not used.
    LlamaCpp {
        /// Tokens of a chunk, 3 or more.
        window: usize,
        /// What stands in place of each chunk's first token: BOS, for tokenizers that add it.
        bos: Option<TokenId>,
    },
    /// Every token of a text is scored once, in windows that share one token; the last reaches back as far as it may:
    /// lm-evaluation-harness, `get_rolling_token_windows` with `context_len` 1.
    LmEval {
        /// Tokens that a window scores at most, and rows that it computes; 1 or more.
        window: usize,
        /// What stands before the first token of a text: BOS or, for tokenizers without it, EOS.
        prefix: TokenId,
    },
}

/// A stretch of a text that a model sees by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Where it lies in the text.
    pub tokens: Range<usize>,
    /// The tokens of the text that are predicted, at least one; they end with the stretch.
    pub scored: Range<usize>,
    /// What it begins with.
    pub start: Start,
}

/// What a stretch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Its own first token.
    Own,
    /// A token in place of its first one.
    Replaced(TokenId),
    /// A token before its first one.
    Prefixed(TokenId),
}

impl Recipe {
    /// Tokens of a window.
    pub fn window(&self) -> usize {
        match self {
            Self::HuggingFace { window, .. } | Self::LlamaCpp { window, .. } | Self::LmEval { window, .. } => *window,
        }
    }

    /// The fewest tokens of a text of which one is scored.
    pub fn least_tokens(&self) -> usize {
        match self {
            Self::HuggingFace { .. } => 2,
            Self::LlamaCpp { window, .. } => *window,
            Self::LmEval { .. } => 1,
        }
    }

    /// Refuses parameters by which nothing would be scored, or not all.
    ///
    /// # Errors
    /// The parameter, what it is and what it may be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let (least, expected) = match self {
            Self::HuggingFace { .. } => (2, "2 or more"),
            Self::LlamaCpp { .. } => (3, "3 or more"),
            Self::LmEval { .. } => (1, "1 or more"),
        };
        InvalidSetting::unless(self.window() >= least, "window", self.window(), expected)?;
        match self {
            Self::HuggingFace { window, stride } => {
                InvalidSetting::unless((1..=*window).contains(stride), "stride", stride, "1 to `window`")
            }
            _ => Ok(()),
        }
    }

    /// Cuts a text of `length` tokens.
    ///
    /// # Panics
    /// When [`Recipe::check`] refuses the parameters.
    pub fn stretches(&self, length: usize) -> Vec<Stretch> {
        assert!(self.check().is_ok(), "{self:?} was not checked");
        match *self {
            Self::HuggingFace { window, stride } => sliding(length, window, stride),
            Self::LlamaCpp { window, bos } => chunks(length, window, bos),
            Self::LmEval { window, prefix } => rolling(length, window, prefix),
        }
    }
}

impl Stretch {
    /// What a model is given of `text`, the whole one.
    pub fn window(&self, text: &[TokenId]) -> Window {
        let own = &text[self.tokens.clone()];
        let tokens = match self.start {
            Start::Own => own.to_vec(),
            Start::Replaced(token) => [&[token], &own[1..]].concat(),
            Start::Prefixed(token) => [&[token], own].concat(),
        };
        let end = tokens.len();
        Window { scored: end - self.scored.len()..end, tokens }
    }

    /// Where in the text the token stands that stands at `position` of the window.
    pub fn text_position(&self, position: usize) -> usize {
        match self.start {
            Start::Own | Start::Replaced(_) => self.tokens.start + position,
            Start::Prefixed(_) => self.tokens.start + position - 1,
        }
    }
}

fn sliding(length: usize, window: usize, stride: usize) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut scored_to = 0;
    for start in (0..length).step_by(stride) {
        let end = length.min(start + window);
        // Without overlap a window's own first token would be the next to score, but nothing predicts it.
        let scored = scored_to.max(start + 1)..end;
        if !scored.is_empty() {
            stretches.push(Stretch { tokens: start..end, scored, start: Start::Own });
        }
        scored_to = end;
        if end == length {
            break;
        }
    }
    stretches
}

fn chunks(length: usize, window: usize, bos: Option<TokenId>) -> Vec<Stretch> {
    let chunk = |start: usize| Stretch {
        tokens: start..start + window,
        scored: start + window / 2 + 1..start + window,
        start: bos.map_or(Start::Own, Start::Replaced),
    };
    (0..length / window).map(|index| chunk(index * window)).collect()
}

fn rolling(length: usize, window: usize, prefix: TokenId) -> Vec<Stretch> {
    let stretch = |from: usize| {
        let to = length.min(from + window);
        if from == 0 {
            return Stretch { tokens: 0..to, scored: 0..to, start: Start::Prefixed(prefix) };
        }
        Stretch { tokens: to - window - 1..to, scored: from..to, start: Start::Own }
    };
    (0..length).step_by(window).map(stretch).collect()
}

#[cfg(test)]
mod tests;
