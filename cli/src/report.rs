//! What a generation reports: the JSON object here, the summary line and the trace beside it.

mod logprobs;
mod summary;
mod trace;

pub(crate) use logprobs::{TokenLikelihood, TokenTexts, token_bytes};
pub(crate) use summary::summary;
pub(crate) use trace::Trace;

use std::collections::BTreeMap;

use serde::Serialize;
use veridraft_engine::{FinishReason, Request, SequenceReport, TokenLogprobs};
use veridraft_models::TokenId;

use self::logprobs::Scored;
use crate::commands::Answer;
use crate::figures::milliseconds;

/// The object of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    model: String,
    weights: String,
    path: String,
    #[serde(flatten)]
    answers: Answers,
    /// What an encoder read, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_token_ids: Option<Vec<TokenId>>,
    prompt_token_ids: Vec<TokenId>,
    /// One a token of the prompt, where wanted; nothing stands before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<Vec<Option<Scored>>>,
    seed: u64,
}

/// One answer's fields stand in the object itself; those of several in a list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answers {
    One(AnswerReport),
    Several { samples: Vec<SampleReport> },
}

#[derive(Debug, Serialize)]
struct SampleReport {
    sample_index: usize,
    #[serde(flatten)]
    answer: AnswerReport,
}

#[derive(Debug, Serialize)]
struct AnswerReport {
    text: String,
    token_ids: Vec<TokenId>,
    finish_reason: FinishReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Scored>>,
    timings: Timings,
    speculation: Speculation,
}

#[derive(Debug, Serialize)]
struct Timings {
    prefill_ms: f64,
    decode_ms: f64,
    tokens_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Speculation {
    mean_acceptance_length: f64,
    acceptance_rate: f64,
    sources: BTreeMap<&'static str, Source>,
}

#[derive(Debug, Serialize)]
struct Source {
    proposed: usize,
    accepted: usize,
    mean_acceptance_length: f64,
    ms: f64,
    gain_ms: f64,
}

/// What the model was and what it was given, for a report.
pub(crate) struct Subject<'a> {
    pub(crate) model: &'a str,
    pub(crate) weights: &'a str,
    pub(crate) path: String,
    pub(crate) seed: u64,
    pub(crate) asked: Request,
}

impl Report {
    /// `answers`: one or more samples, in the order of their indices, of which the first has the prompt's
    /// log-probabilities. `texts`: there where log-probabilities are wanted.
    pub(crate) fn new(subject: Subject, answers: Vec<Answer>, texts: Option<&TokenTexts>) -> Self {
        let prompt_logprobs = answers.first().map_or(&[][..], |answer| &answer.prompt_logprobs);
        Self {
            model: subject.model.to_owned(),
            weights: subject.weights.to_owned(),
            path: subject.path,
            prompt_logprobs: texts.map(|texts| behind_the_first(prompt_logprobs, texts)),
            answers: Answers::new(answers, texts),
            source_token_ids: subject.asked.source,
            prompt_token_ids: subject.asked.prompt,
            seed: subject.seed,
        }
    }
}

impl Answers {
    fn new(answers: Vec<Answer>, texts: Option<&TokenTexts>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().map(|answer| AnswerReport::new(answer, texts)).collect();
        if answers.len() == 1 {
            return Self::One(answers.remove(0));
        }
        let sample = |(sample_index, answer)| SampleReport { sample_index, answer };
        Self::Several { samples: answers.into_iter().enumerate().map(sample).collect() }
    }
}

fn behind_the_first(scores: &[TokenLogprobs], texts: &TokenTexts) -> Vec<Option<Scored>> {
    [None].into_iter().chain(texts.scored(scores).into_iter().map(Some)).collect()
}

impl AnswerReport {
    fn new(answer: Answer, texts: Option<&TokenTexts>) -> Self {
        let Answer { text, finished, logprobs, .. } = answer;
        let report = &finished.report;
        Self {
            text,
            logprobs: texts.map(|texts| texts.scored(&logprobs)),
            timings: Timings {
                prefill_ms: milliseconds(report.prefill),
                decode_ms: milliseconds(report.decode),
                tokens_per_second: report.tokens_per_second(),
            },
            speculation: Speculation::new(report),
            token_ids: finished.token_ids,
            finish_reason: finished.reason,
        }
    }
}

impl Speculation {
    fn new(report: &SequenceReport) -> Self {
        let source = |source: &veridraft_engine::SourceReport| Source {
            proposed: source.proposed,
            accepted: source.accepted,
            mean_acceptance_length: source.mean_acceptance_length(),
            ms: milliseconds(source.duration),
            gain_ms: (source.gain * 1e6).round() / 1e3,
        };
        Self {
            mean_acceptance_length: report.mean_acceptance_length(),
            acceptance_rate: report.acceptance_rate(),
            sources: report.sources.iter().map(|(name, report)| (*name, source(report))).collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};
    use veridraft_engine::{Finished, SourceReport};

    pub(crate) use super::logprobs::tests::fixed_texts;
    use std::time::Duration;

    use super::*;

    /// Two tokens in two passes, with the numbers that the tests of this module expect.
    pub(crate) fn fixed_answer(text: &str, reason: FinishReason) -> Answer {
        let source = SourceReport { proposed: 4, accepted: 1, ..SourceReport::default() };
        let report = SequenceReport {
            prefill: Duration::from_millis(100),
            decode: Duration::from_millis(20),
            decode_tokens: 1,
            forwards: 2,
            emitted: 2,
            sources: [("lookup", source)].into(),
            ..SequenceReport::default()
        };
        let score = |token| TokenLogprobs { token, logprob: -0.5, top: Vec::new() };
        Answer {
            text: text.to_owned(),
            finished: Finished { token_ids: vec![1, 0], reason, report },
            logprobs: vec![score(1), score(0)],
            prompt_logprobs: vec![score(1)],
        }
    }

    fn object(answers: Vec<Answer>, texts: Option<&TokenTexts>) -> Value {
        object_for(Request::new(vec![0, 1], 9), answers, texts)
    }

    fn object_for(asked: Request, answers: Vec<Answer>, texts: Option<&TokenTexts>) -> Value {
        let subject = Subject { model: "m", weights: "q4", path: "avx2".to_owned(), seed: 3, asked };
        serde_json::to_value(Report::new(subject, answers, texts)).expect("a report is JSON")
    }

    fn names(object: &Value) -> Vec<&str> {
        object.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    #[test]
    fn one_answer_stands_in_the_object_itself() {
        let found = object(vec![fixed_answer("hi", FinishReason::Complete)], None);
        let answer = ["text", "token_ids", "finish_reason", "timings", "speculation"];
        assert_eq!(names(&found), [&["model", "weights", "path"], &answer[..], &["prompt_token_ids", "seed"]].concat());
        assert_eq!(found["text"], "hi");
        assert_eq!(found["finish_reason"], "complete");
        assert_eq!(found["timings"]["tokens_per_second"], 50.0);
        assert_eq!(found["speculation"]["sources"]["lookup"]["accepted"], 1);
    }

    #[test]
    fn a_source_stands_before_what_the_decoder_started_with() {
        let asked = Request { source: Some(vec![5, 6]), ..Request::new(vec![0], 9) };
        let found = object_for(asked, vec![fixed_answer("hi", FinishReason::Eos)], None);
        assert_eq!((&found["source_token_ids"], &found["prompt_token_ids"]), (&json!([5, 6]), &json!([0])));
    }

    #[test]
    fn several_answers_stand_in_a_list_beside_what_they_share() {
        let answers = vec![fixed_answer("a", FinishReason::Eos), fixed_answer("b", FinishReason::Failed)];
        let found = object(answers, None);
        assert_eq!(names(&found), ["model", "weights", "path", "samples", "prompt_token_ids", "seed"]);
        let samples = found["samples"].as_array().expect("a list");
        let fields = ["sample_index", "text", "token_ids", "finish_reason", "timings", "speculation"];
        assert!(samples.iter().all(|sample| names(sample) == fields));
        let part = |sample: &Value| json!([sample["sample_index"], sample["text"], sample["finish_reason"]]);
        assert_eq!(samples.iter().map(part).collect::<Vec<_>>(), [json!([0, "a", "eos"]), json!([1, "b", "failed"])]);
    }

    #[test]
    fn logprobs_stand_beside_their_tokens_and_the_prompt_has_none_for_its_first() {
        let texts = fixed_texts(&["x", "y"]);
        let score = |token: usize| json!({"token": token, "text": (["x", "y"][token]), "logprob": -0.5, "top": []});
        let found = object(vec![fixed_answer("yx", FinishReason::Length)], Some(&texts));
        assert_eq!(found["logprobs"], json!([score(1), score(0)]));
        assert_eq!(found["prompt_logprobs"], json!([null, score(1)]));
        let answers = vec![fixed_answer("yx", FinishReason::Length), fixed_answer("yx", FinishReason::Length)];
        let found = object(answers, Some(&texts));
        assert_eq!(found["prompt_logprobs"], json!([null, score(1)]));
        assert_eq!(found["samples"][1]["logprobs"], json!([score(1), score(0)]));
        assert!(found.get("logprobs").is_none());
    }
}
