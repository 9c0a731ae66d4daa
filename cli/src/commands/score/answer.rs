//! Answers as JSON lines. JSON has no infinities: minus infinity, of what the model excludes, is `null`.

use serde::Serialize;
use serde_json::Value;
use veridraft_engine::evaluation::Likelihood;

use crate::report::{TokenLikelihood, TokenTexts};

/// What is written for a row.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Value>,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// Its score, or why it has none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Score(Score),
    Refused { error: String },
}

/// What the model makes of the tokens that a row wants scored.
#[derive(Debug, Serialize)]
pub(super) struct Score {
    /// The natural logarithm of their probability.
    logprob: Option<f64>,
    token_count: usize,
    /// Whether greedy decoding would give them.
    is_greedy: bool,
    /// Tokens at the beginning of the context that the model was not given, where it was too long.
    #[serde(skip_serializing_if = "is_zero")]
    cut_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Vec<TokenLikelihood>>,
}

impl Score {
    /// `texts` is there where each token is to be shown.
    pub(super) fn new(likelihood: &Likelihood, cut: usize, texts: Option<&TokenTexts>) -> Self {
        let logprob = likelihood.logprob();
        let tokens = |texts: &TokenTexts| {
            likelihood.tokens.iter().map(|&(token, logprob)| texts.likelihood(token, logprob)).collect()
        };
        Self {
            logprob: logprob.is_finite().then_some(logprob),
            token_count: likelihood.tokens.len(),
            is_greedy: likelihood.is_greedy,
            cut_tokens: cut,
            tokens: texts.map(tokens),
        }
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::tests::fixed_texts;

    fn check(answer: &Answer, expected: &str) {
        assert_eq!(serde_json::to_string(answer).expect("an answer is JSON"), expected);
    }

    fn score(logprobs: [f64; 2], cut: usize, texts: Option<&TokenTexts>) -> Outcome {
        let tokens = (0..).zip(logprobs).collect();
        Outcome::Score(Score::new(&Likelihood { tokens, is_greedy: true }, cut, texts))
    }

    #[test]
    fn an_answer_says_what_there_is_to_say() {
        let plain = score([-0.5, -1.0], 0, None);
        check(&Answer { id: None, outcome: plain }, r#"{"logprob":-1.5,"token_count":2,"is_greedy":true}"#);
        let id = Some(json!({"doc": 1}));
        let cut = score([-0.5, -1.0], 3, None);
        let expected = r#"{"id":{"doc":1},"logprob":-1.5,"token_count":2,"is_greedy":true,"cut_tokens":3}"#;
        check(&Answer { id, outcome: cut }, expected);
        let refused = Outcome::Refused { error: "not JSON".to_owned() };
        check(&Answer { id: Some(json!(null)), outcome: refused }, r#"{"id":null,"error":"not JSON"}"#);
    }

    #[test]
    fn each_token_is_shown_on_demand_and_what_cannot_be_is_null() {
        let outcome = score([f64::NEG_INFINITY, -1.0], 0, Some(&fixed_texts(&["a", " b"])));
        let tokens = r#"{"token":0,"text":"a","logprob":null},{"token":1,"text":" b","logprob":-1.0}"#;
        let expected = format!(r#"{{"logprob":null,"token_count":2,"is_greedy":true,"tokens":[{tokens}]}}"#);
        check(&Answer { id: None, outcome }, &expected);
    }
}
