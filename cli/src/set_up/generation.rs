//! One answer of an engine, with what each pass did and took.

use std::time::Duration;

use anyhow::Result;
use veridraft_engine::{Engine, Request, SequenceId, StepReport};
use veridraft_models::TokenId;

/// One answer and what each of its passes did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generation {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) text: String,
    /// Passes that produced tokens; the first of them ends the prefill.
    pub(crate) steps: Vec<Step>,
}

/// One pass that produced tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Step {
    /// Rows of the pass.
    pub(crate) rows: usize,
    /// Drafted tokens that were checked.
    pub(crate) proposed: usize,
    /// Those of them that stood one behind the other, at most: all of a chain.
    pub(crate) depth: usize,
    /// Drafted tokens that stand in the output.
    pub(crate) accepted: usize,
    /// Tokens produced.
    pub(crate) tokens: usize,
    /// Time of the whole step.
    pub(crate) duration: Duration,
    /// Time of the forward pass.
    pub(crate) forward: Duration,
    /// Time spent proposing.
    pub(crate) drafting: Duration,
}

/// A request under way, alone in its engine.
pub(crate) struct Answering {
    id: SequenceId,
    generation: Generation,
}

impl Generation {
    /// Runs one request to its end.
    pub(crate) fn run(engine: &mut Engine, request: Request) -> Result<Self> {
        let mut answering = Answering::start(engine, request)?;
        let outcome = answering.advance(engine, usize::MAX);
        let generation = answering.end(engine);
        outcome.map(|()| generation)
    }
}

impl Answering {
    /// Queues the request.
    pub(crate) fn start(engine: &mut Engine, request: Request) -> Result<Self> {
        let id = engine.add(request)?;
        Ok(Self { id, generation: Generation::default() })
    }

    /// Runs up to `passes` passes.
    pub(crate) fn advance(&mut self, engine: &mut Engine, passes: usize) -> Result<()> {
        for _ in 0..passes {
            if !engine.has_work() {
                break;
            }
            let report = engine.step()?;
            report.failures.iter().for_each(|failure| eprintln!("note: {failure}"));
            self.generation.steps.extend(step(&report, self.id));
            report.sequences.iter().for_each(|sequence| self.generation.text += &sequence.text);
        }
        Ok(())
    }

    /// Takes the request out of the engine, so that it does not go on beside the next, and returns what it gave.
    pub(crate) fn end(self, engine: &mut Engine) -> Generation {
        let finished = engine.remove(self.id).expect("the sequence was added and not removed");
        Generation { tokens: finished.token_ids, ..self.generation }
    }
}

/// A sequence's part of a step; `None` while its prompt is not computed to its end.
fn step(report: &StepReport, id: SequenceId) -> Option<Step> {
    let part = report.sequences.iter().find(|part| part.sequence == id && !part.tokens.is_empty())?;
    Some(Step {
        rows: report.rows,
        proposed: part.proposed,
        depth: part.depth,
        accepted: part.accepted,
        tokens: part.tokens.len(),
        duration: report.duration,
        forward: report.forward,
        drafting: report.drafting,
    })
}
