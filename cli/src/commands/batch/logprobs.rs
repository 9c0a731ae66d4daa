//! Log-probabilities as OpenAI's API gives them, which is not the same for its two endpoints.

use serde_json::{Map, Value, json};
use veridraft_engine::TokenLogprobs;
use veridraft_models::{TokenId, Tokenizer};

use super::record::Choice;

/// Stands for minus infinity, which JSON lacks; the API's own word for "very unlikely".
const NEVER: f64 = -9999.0;

/// The bytes that each token adds to a text, by id.
pub(super) struct TokenBytes(Vec<Vec<u8>>);

impl TokenBytes {
    /// Of all tokens. One without bytes of its own, be it special or that no token of the tokenizer has them, is decoded
    /// alone.
    pub(super) fn of_all(tokenizer: &Tokenizer) -> Self {
        let bytes = tokenizer.token_bytes().unwrap_or_else(|_| vec![Vec::new(); tokenizer.vocabulary()]);
        let own = |(id, bytes): (TokenId, Vec<u8>)| match bytes.as_slice() {
            [] => tokenizer.decode_with_special(&[id]).into_bytes(),
            _ => bytes,
        };
        Self((0..).zip(bytes).map(own).collect())
    }

    /// The bytes of one token.
    pub(super) fn of(&self, token: TokenId) -> &[u8] {
        self.0.get(token as usize).map_or(&[], |bytes| bytes)
    }

    /// `logprobs` of a chat choice.
    pub(super) fn of_message(&self, choice: &Choice) -> Value {
        let scored = |token: TokenId, logprob: f64| {
            let text = self.text(token);
            json!({ "token": text, "logprob": finite(logprob), "bytes": self.of(token) })
        };
        let content = choice.scored(self).iter().map(|score| {
            let mut entry = scored(score.token, score.logprob);
            entry["top_logprobs"] = score.top.iter().map(|&(token, logprob)| scored(token, logprob)).collect();
            entry
        });
        json!({ "content": content.collect::<Value>(), "refusal": null })
    }

    /// `logprobs` of a completion's choice. `prompt`: the tokens of an echoed prompt, and the scores of all but its first.
    pub(super) fn of_text(&self, prompt: Option<(&[TokenId], &[TokenLogprobs])>, choice: &Choice) -> Value {
        let mut columns = Columns::default();
        if let Some((tokens, scores)) = prompt {
            let unscored = tokens.len() - scores.len();
            tokens[..unscored].iter().for_each(|&token| columns.push(self, token, None));
            scores.iter().for_each(|score| columns.push(self, score.token, Some(score)));
        }
        choice.scored(self).iter().for_each(|score| columns.push(self, score.token, Some(score)));
        json!({
            "tokens": columns.tokens,
            "token_logprobs": columns.token_logprobs,
            "top_logprobs": columns.top_logprobs,
            "text_offset": columns.text_offset,
        })
    }

    /// Half a character as `U+FFFD`.
    fn text(&self, token: TokenId) -> String {
        String::from_utf8_lossy(self.of(token)).into_owned()
    }
}

/// One entry a token in each.
#[derive(Default)]
struct Columns {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f64>>,
    top_logprobs: Vec<Option<Map<String, Value>>>,
    text_offset: Vec<usize>,
    /// Characters so far.
    characters: usize,
}

impl Columns {
    fn push(&mut self, texts: &TokenBytes, token: TokenId, score: Option<&TokenLogprobs>) {
        self.tokens.push(texts.text(token));
        self.token_logprobs.push(score.map(|score| finite(score.logprob)));
        self.top_logprobs.push(score.map(|score| {
            let mut top = Map::new();
            // The token itself is always there; of tokens that look alike the likeliest.
            for (token, logprob) in score.top.iter().copied().chain([(score.token, score.logprob)]) {
                top.entry(texts.text(token)).or_insert_with(|| finite(logprob).into());
            }
            top
        }));
        self.text_offset.push(self.characters);
        // A character counts with its first byte.
        self.characters += texts.of(token).iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
    }
}

fn finite(logprob: f64) -> f64 {
    if logprob.is_finite() { logprob } else { NEVER }
}

#[cfg(test)]
impl TokenBytes {
    /// Tokens 0, 1, ... with these texts.
    pub(super) fn fixed(texts: &[&str]) -> Self {
        Self(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
    }
}
