//! One answer of an engine, with what each pass did and took.

use std::time::Duration;

use anyhow::Result;
use veridraft_engine::{DraftedToken, Engine, Request, SequenceId, SequenceStep, StepReport};
use veridraft_models::TokenId;

/// One answer and what each of its passes did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generation {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) text: String,
    /// Passes that produced tokens; the first of them ends the prefill.
    pub(crate) steps: Vec<Step>,
    /// For each of them the draft that it checked.
    pub(crate) drafts: Vec<Vec<DraftedToken>>,
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
            self.take(engine.step()?);
        }
        Ok(())
    }

    fn take(&mut self, mut report: StepReport) {
        report.all_failures().for_each(|failure| eprintln!("note: {failure}"));
        let parts = std::mem::take(&mut report.sequences);
        for part in parts.into_iter().filter(|part| part.sequence == self.id) {
            self.generation.text += &part.text;
            // There are none while the prompt is not computed to its end.
            if !part.tokens.is_empty() {
                self.generation.steps.push(step(&report, &part));
                self.generation.drafts.push(part.draft);
            }
        }
    }

    /// Takes the request out of the engine, so that it does not go on beside the next, and returns what it gave.
    pub(crate) fn end(self, engine: &mut Engine) -> Generation {
        let finished = engine.remove(self.id).expect("the sequence was added and not removed");
        Generation { tokens: finished.token_ids, ..self.generation }
    }
}

/// A sequence's part of a step.
fn step(report: &StepReport, part: &SequenceStep) -> Step {
    Step {
        rows: report.rows,
        proposed: part.proposed,
        depth: part.depth,
        accepted: part.accepted,
        tokens: part.tokens.len(),
        duration: report.duration,
        forward: report.forward,
        drafting: report.drafting,
    }
}
