//! What `veridraft verify` found: lines for people, one object for programs.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;
use veridraft_models::TokenId;

/// The object of `--json`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct VerifyReport {
    /// Prompts that were asked, each of plain decoding and of every set-up.
    pub(super) prompts: usize,
    /// Tokens that were compared, or sampled.
    pub(super) tokens: usize,
    /// `--draft` as it was typed.
    pub(super) drafts: Vec<String>,
    /// Answers that differ.
    pub(super) differences: Vec<Difference>,
    /// Tests of distributions; only for `--verify rejection` above temperature 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) distributions: Vec<Distribution>,
}

/// Where an answer parts from that of plain decoding.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Difference {
    /// The prompt's id.
    pub(super) prompt: String,
    pub(super) category: String,
    /// From 1 on.
    pub(super) turn: usize,
    pub(super) draft: String,
    /// Index in the answer, from 0 on.
    pub(super) position: usize,
    /// The token there; none where the answer has ended.
    pub(super) plain: Option<TokenId>,
    pub(super) speculative: Option<TokenId>,
    /// The model's scores of both tokens there, by passes without drafts.
    pub(super) logits: Option<[f32; 2]>,
    /// How far apart they are.
    pub(super) margin: Option<f32>,
}

/// The test of one set-up.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Distribution {
    pub(super) draft: String,
    /// Samples of each prompt, plain and as many drafted.
    pub(super) samples: usize,
    /// How likely so great a difference is where there is none.
    pub(super) p_value: f64,
    pub(super) differs: bool,
}

impl Display for VerifyReport {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        for difference in &self.differences {
            writeln!(formatter, "{difference}")?;
        }
        let (prompts, tokens, drafts) = (self.prompts, self.tokens, self.drafts.join(", "));
        for Distribution { draft, samples, p_value, differs } in &self.distributions {
            let verdict = if *differs { "differs from" } else { "is not told from" };
            writeln!(formatter, "{draft}: {verdict} plain decoding, p = {p_value:.4}, {samples} samples a prompt")?;
        }
        if self.distributions.is_empty() {
            let count = self.differences.len();
            write!(formatter, "{prompts} prompts, {tokens} tokens compared, {count} answers differ: {drafts}")
        } else {
            write!(formatter, "{prompts} prompts, {tokens} tokens sampled: {drafts}")
        }
    }
}

impl Display for Difference {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Self { prompt, category, turn, draft, position, .. } = self;
        write!(formatter, "prompt `{prompt}` of `{category}`, turn {turn}, {draft}: token {position} ")?;
        let token = |token: Option<TokenId>| token.map_or("the end".to_owned(), |token| token.to_string());
        let (plain, speculative) = (token(self.plain), token(self.speculative));
        write!(formatter, "is {speculative}, plain {plain}")?;
        match (self.logits, self.margin) {
            (Some([plain, speculative]), Some(margin)) => {
                write!(formatter, "; logits {speculative:.4}, plain {plain:.4}, margin {margin:.4}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in super::super) fn fixed_difference() -> Difference {
        Difference {
            prompt: "81".to_owned(),
            category: "writing".to_owned(),
            turn: 2,
            draft: "lookup".to_owned(),
            position: 17,
            plain: Some(5),
            speculative: Some(9),
            logits: Some([2.5, 2.25]),
            margin: Some(0.25),
        }
    }

    pub(in super::super) fn fixed_distribution(p_value: f64) -> Distribution {
        Distribution { draft: "lookup".to_owned(), samples: 64, p_value, differs: p_value < 0.001 }
    }

    fn report() -> VerifyReport {
        VerifyReport { prompts: 3, tokens: 120, drafts: vec!["lookup".to_owned()], ..VerifyReport::default() }
    }

    #[test]
    fn a_difference_is_told_with_both_logits_and_their_margin() {
        let report = VerifyReport { differences: vec![fixed_difference()], ..report() };
        let expected = "prompt `81` of `writing`, turn 2, lookup: token 17 is 9, plain 5; \
            logits 2.2500, plain 2.5000, margin 0.2500\n\
            3 prompts, 120 tokens compared, 1 answers differ: lookup";
        assert_eq!(report.to_string(), expected);
        let difference = json!({
            "prompt": "81", "category": "writing", "turn": 2, "draft": "lookup", "position": 17,
            "plain": 5, "speculative": 9, "logits": [2.5, 2.25], "margin": 0.25,
        });
        let object = serde_json::to_value(report).expect("plain data");
        let expected = json!({ "prompts": 3, "tokens": 120, "drafts": ["lookup"], "differences": [difference] });
        assert_eq!(object, expected);
    }

    #[test]
    fn an_answer_that_ended_earlier_has_no_logits() {
        let difference = Difference { speculative: None, logits: None, margin: None, ..fixed_difference() };
        let expected = "prompt `81` of `writing`, turn 2, lookup: token 17 is the end, plain 5";
        assert_eq!(difference.to_string(), expected);
    }

    #[test]
    fn a_test_of_distributions_says_its_p_value() {
        let report = VerifyReport { distributions: vec![fixed_distribution(0.42)], ..report() };
        let expected = "lookup: is not told from plain decoding, p = 0.4200, 64 samples a prompt\n\
            3 prompts, 120 tokens sampled: lookup";
        assert_eq!(report.to_string(), expected);
    }
}
