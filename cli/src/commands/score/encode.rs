//! From what a row wants to windows of tokens, by the rules of lm-evaluation-harness for causal models, so that scores
//! can be compared with those that it publishes.
//!
//! ```text
//! context   = encode(context without the white space at its end)
//! whole     = encode(context + continuation)
//! scored    = whole behind as many tokens as the context has      (`TemplateLM._encode_pair`)
//! window    = the last `max_length` + 1 tokens of context + scored; the model is given all of them but the last
//! text      = BOS, or EOS where there is none, and encode(text), in windows of `max_length` tokens that share one;
//!             the last reaches back as far as it may                     (`get_rolling_token_windows`)
//! ```
//!
//! A context without tokens, such as an empty one, is that BOS or EOS, unless the continuation begins with it.

use veridraft_engine::evaluation::{Recipe, Window, is_python_space};
use veridraft_models::{TokenId, Tokenizer};

use super::row::Subject;

/// Makes windows that the model can compute.
#[derive(Clone)]
pub(super) struct Encoder {
    pub(super) tokenizer: Tokenizer,
    /// Tokens that the model is given at once, at most.
    pub(super) max_length: usize,
    /// Tokens that the KV cache holds.
    pub(super) cache_tokens: usize,
    /// Tokens that the model knows.
    pub(super) vocabulary: usize,
}

/// The windows of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) windows: Vec<Window>,
    /// Tokens at the beginning of the context that did not fit.
    pub(super) cut: usize,
}

impl Encoder {
    /// The windows of what a row wants, else why there are none.
    pub(super) fn encode(&self, subject: &Subject) -> Result<Encoded, String> {
        let encoded = match subject {
            Subject::Continuation { context, continuation } if context.is_empty() => {
                let continuation = self.tokenizer.encode_chat(continuation).map_err(|error| error.to_string())?;
                self.continuation(Vec::new(), continuation)?
            }
            Subject::Continuation { context, continuation } => {
                let (context, continuation) = self.pair(context, continuation)?;
                self.continuation(context, continuation)?
            }
            Subject::ContinuationTokens { context, continuation } => {
                self.continuation(context.clone(), continuation.clone())?
            }
            Subject::Text(text) => self.text(&self.raw(text)?)?,
        };
        encoded.windows.iter().try_for_each(|window| self.check(window))?;
        Ok(encoded)
    }

    fn pair(&self, context: &str, continuation: &str) -> Result<(Vec<TokenId>, Vec<TokenId>), String> {
        let mut whole = self.raw(&format!("{context}{continuation}"))?;
        let context = self.raw(context.trim_end_matches(is_python_space))?;
        let scored = whole.split_off(whole.len().min(context.len()));
        Ok((context, scored))
    }

    fn continuation(&self, mut context: Vec<TokenId>, continuation: Vec<TokenId>) -> Result<Encoded, String> {
        let mut count = continuation.len();
        if context.is_empty() {
            let prefix = self.prefix()?;
            if continuation.first() == Some(&prefix) {
                count -= 1;
            } else {
                context.push(prefix);
            }
        }
        if count == 0 {
            return Err("the continuation adds no token to the context, expected at least one".to_owned());
        }
        if count > self.max_length {
            return Err(format!("the continuation has {count} tokens, but the model takes {}", self.max_length));
        }
        let mut tokens = [context, continuation].concat();
        let cut = tokens.len().saturating_sub(self.max_length + 1);
        tokens.drain(..cut);
        let scored = tokens.len() - count..tokens.len();
        Ok(Encoded { windows: vec![Window { tokens, scored }], cut })
    }

    fn text(&self, text: &[TokenId]) -> Result<Encoded, String> {
        let recipe = Recipe::LmEval { window: self.max_length, prefix: self.prefix()? };
        let windows = recipe.stretches(text.len()).iter().map(|stretch| stretch.window(text)).collect();
        Ok(Encoded { windows, cut: 0 })
    }

    fn raw(&self, text: &str) -> Result<Vec<TokenId>, String> {
        self.tokenizer.encode_raw(text).map_err(|error| error.to_string())
    }

    fn prefix(&self) -> Result<TokenId, String> {
        let prefix = self.tokenizer.bos().or(self.tokenizer.eos());
        prefix
            .ok_or_else(|| "nothing stands before it: `tokenizer_config.json` names no BOS and no EOS token".to_owned())
    }

    fn check(&self, window: &Window) -> Result<(), String> {
        self.tokenizer.check_ids(&window.tokens, self.vocabulary).map_err(|error| error.to_string())?;
        let rows = window.tokens.len() - 1;
        if rows > self.cache_tokens {
            let cache = self.cache_tokens;
            return Err(format!("{rows} tokens, but the KV cache holds {cache}; `--kv-memory` makes it larger"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
