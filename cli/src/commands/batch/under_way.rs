//! A row in the engine, and what has come of its samples so far.

use veridraft_engine::{Engine, Request, SequenceId, SequenceStep};
use veridraft_models::TokenId;

use super::record::{Choice, Name};
use super::refusal::{Code, Refusal};
use super::row::Row;

/// A row in the engine.
pub(super) struct UnderWay {
    pub(super) name: Name,
    pub(super) row: Row,
    pub(super) prompt: Vec<TokenId>,
    pub(super) choices: Vec<Choice>,
    /// The row's line in the input.
    line: usize,
    /// The first sample that failed, in the order of samples, and why.
    failure: Option<(usize, String)>,
}

impl UnderWay {
    /// Nothing of it answered yet.
    pub(super) fn new(name: Name, line: usize, row: Row, requests: Vec<Request>) -> Self {
        let choices = vec![Choice::default(); requests.len()];
        // What an encoder reads is what was asked, and what its decoder starts with is not.
        let asked = |request: Request| request.source.unwrap_or(request.prompt);
        let prompt = requests.into_iter().next().map(asked).unwrap_or_default();
        Self { name, row, prompt, choices, line, failure: None }
    }

    /// Takes that a sample failed. Which one does so first in time depends on what runs beside it, so that does not count.
    pub(super) fn fail(&mut self, sample: usize, reason: String) {
        if self.failure.as_ref().is_none_or(|(first, _)| sample < *first) {
            self.failure = Some((sample, reason));
        }
    }

    /// Why there is no answer, if a sample failed.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let (_, reason) = self.failure.as_ref()?;
        Some(Refusal::new(Code::GenerationFailed, reason.as_str()).at(&format!("line {}", self.line)))
    }
}

impl Choice {
    /// Takes what a step gave.
    pub(super) fn add(&mut self, part: SequenceStep) {
        self.text += &part.text;
        self.logprobs.extend(part.logprobs);
        self.prompt_logprobs.extend(part.prompt_logprobs);
    }
}

/// Queues all samples of a row or none.
pub(super) fn add(engine: &mut Engine, requests: &[Request]) -> veridraft_engine::Result<Vec<SequenceId>> {
    let mut ids = Vec::new();
    for request in requests {
        match engine.add(request.clone()) {
            Ok(id) => ids.push(id),
            Err(error) => {
                ids.into_iter().for_each(|id| drop(engine.remove(id)));
                return Err(error);
            }
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::batch::row::{Asked, Settings, Shape};

    #[test]
    fn the_first_of_the_samples_that_fail_says_why() {
        let row = Row { shape: Shape::Chat, asked: Asked::Tokens(vec![1]), settings: Settings::default() };
        let requests = vec![Request::new(vec![1], 9); 3];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut under_way = UnderWay::new(Name::new(json!("a")), 7, row.clone(), requests.clone());
            assert_eq!(under_way.refusal(), None);
            order
                .into_iter()
                .filter(|&sample| sample > 0)
                .for_each(|sample| under_way.fail(sample, format!("reason {sample}")));
            let refusal = Refusal::new(Code::GenerationFailed, "line 7: reason 1");
            assert_eq!(under_way.refusal(), Some(refusal), "{order:?}");
        }
    }
}
