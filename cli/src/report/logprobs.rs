//! Log-probabilities as `--json` shows them: each with the text of its token.
//!
//! JSON has no infinities: minus infinity, of a token that the model excludes, is `null`.

use serde::Serialize;
use veridraft_engine::TokenLogprobs;
use veridraft_models::{TokenId, Tokenizer};

/// One token of the text or of the prompt.
#[derive(Debug, Serialize)]
pub(super) struct Scored {
    #[serde(flatten)]
    token: TokenLikelihood,
    /// The likeliest tokens in its place, the best first.
    top: Vec<TokenLikelihood>,
}

/// How likely a token was.
#[derive(Debug, Serialize)]
pub(crate) struct TokenLikelihood {
    token: TokenId,
    text: String,
    logprob: Option<f64>,
}

/// The bytes that each token adds to a text, by id. A token without bytes of its own, be it special or that no token of the
/// tokenizer has them, is decoded alone.
pub(crate) fn token_bytes(tokenizer: &Tokenizer) -> Vec<Vec<u8>> {
    let bytes = tokenizer.token_bytes().unwrap_or_else(|_| vec![Vec::new(); tokenizer.vocabulary()]);
    let own = |(id, bytes): (TokenId, Vec<u8>)| {
        if bytes.is_empty() { tokenizer.decode_with_special(&[id]).into_bytes() } else { bytes }
    };
    (0..).zip(bytes).map(own).collect()
}

/// The text of each token by itself, by id.
pub(crate) struct TokenTexts(Vec<String>);

impl TokenTexts {
    /// Half a character as `U+FFFD`.
    pub(crate) fn of(tokenizer: &Tokenizer) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self(token_bytes(tokenizer).into_iter().map(text).collect())
    }

    /// A token beside its text.
    pub(crate) fn likelihood(&self, token: TokenId, logprob: f64) -> TokenLikelihood {
        let text = self.0.get(token as usize).cloned().unwrap_or_default();
        TokenLikelihood { token, text, logprob: logprob.is_finite().then_some(logprob) }
    }

    pub(super) fn scored(&self, scores: &[TokenLogprobs]) -> Vec<Scored> {
        let scored = |score: &TokenLogprobs| Scored {
            token: self.likelihood(score.token, score.logprob),
            top: score.top.iter().map(|&(token, logprob)| self.likelihood(token, logprob)).collect(),
        };
        scores.iter().map(scored).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Texts of the tokens 0, 1, ...
    pub(crate) fn fixed_texts(texts: &[&str]) -> TokenTexts {
        TokenTexts(texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_logprob_is_valid_json_beside_the_text_of_its_token() {
        let score = TokenLogprobs { token: 1, logprob: f64::NEG_INFINITY, top: vec![(0, 0.0), (9, -2.5)] };
        let found = serde_json::to_string(&fixed_texts(&["a", " b"]).scored(&[score])).expect("it is JSON");
        let top = r#"{"token":0,"text":"a","logprob":0.0},{"token":9,"text":"","logprob":-2.5}"#;
        assert_eq!(found, format!(r#"[{{"token":1,"text":" b","logprob":null,"top":[{top}]}}]"#));
    }
}
