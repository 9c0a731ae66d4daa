//! A row in the engine, and what has come of its samples so far.

use veridraft_engine::{Engine, Request, SequenceId, SequenceStep};
use veridraft_models::TokenId;

use super::record::{Choice, Name};
use super::refusal::Refusal;
use super::row::Row;

/// A row in the engine.
pub(super) struct UnderWay {
    pub(super) name: Name,
    pub(super) row: Row,
    pub(super) prompt: Vec<TokenId>,
    pub(super) choices: Vec<Choice>,
    /// Why one of the samples failed.
    pub(super) failure: Option<Refusal>,
}

impl UnderWay {
    /// Nothing of it answered yet.
    pub(super) fn new(name: Name, row: Row, requests: Vec<Request>) -> Self {
        let choices = vec![Choice::default(); requests.len()];
        // What an encoder reads is what was asked, and what its decoder starts with is not.
        let asked = |request: Request| request.source.unwrap_or(request.prompt);
        let prompt = requests.into_iter().next().map(asked).unwrap_or_default();
        Self { name, row, prompt, choices, failure: None }
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
