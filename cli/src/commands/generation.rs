//! Steps the engine until its sequences end, showing their text as it comes.

use std::time::Duration;

use anyhow::Result;
use veridraft_engine::{Engine, Finished, SequenceId, SequenceStep, TokenLogprobs};

use crate::interrupt::Interrupt;
use crate::report::Trace;

/// Sequences that ran to their end.
pub(crate) struct Generated {
    /// In the order in which the sequences were named.
    pub(crate) answers: Vec<Answer>,
    /// Time of all steps.
    pub(crate) duration: Duration,
}

/// A sequence that ran to its end, its text and the log-probabilities that it was asked for.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) finished: Finished,
    /// One a token.
    pub(crate) logprobs: Vec<TokenLogprobs>,
    /// One a token of the prompt from the second on.
    pub(crate) prompt_logprobs: Vec<TokenLogprobs>,
}

/// What happens beside the steps.
pub(crate) struct Observers<'a> {
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) trace: Option<&'a mut Trace>,
    /// Takes each piece of text; `false` when nobody reads any more.
    pub(crate) show: &'a mut dyn FnMut(&str) -> Result<bool>,
}

/// Runs until all of `ids` end, are interrupted, or nobody reads; the sequences stay in the engine.
pub(crate) fn generate(engine: &mut Engine, ids: &[SequenceId], observers: Observers) -> Result<Generated> {
    let interrupt = observers.interrupt;
    interrupt.begin();
    let generated = run(engine, ids, observers);
    interrupt.end();
    generated
}

/// What has come of a sequence so far.
#[derive(Default)]
struct UnderWay {
    text: String,
    logprobs: Vec<TokenLogprobs>,
    prompt_logprobs: Vec<TokenLogprobs>,
}

fn run(engine: &mut Engine, ids: &[SequenceId], observers: Observers) -> Result<Generated> {
    let Observers { interrupt, mut trace, show } = observers;
    let mut all: Vec<_> = ids.iter().map(|_| UnderWay::default()).collect();
    let mut duration = Duration::ZERO;
    while engine.has_work() {
        let mut piece = String::new();
        if interrupt.is_set() {
            for (id, under_way) in ids.iter().zip(&mut all) {
                let rest = engine.cancel(*id);
                under_way.text += &rest;
                piece += &rest;
            }
        } else {
            let report = engine.step()?;
            if let Some(trace) = &mut trace {
                trace.step(&report)?;
            }
            report.all_failures().for_each(|failure| eprintln!("note: {failure}"));
            duration += report.duration;
            for step in report.sequences {
                piece += &step.text;
                let index = ids.iter().position(|id| *id == step.sequence);
                all[index.expect("only these sequences run")].add(step);
            }
        }
        if !piece.is_empty() && !show(&piece)? {
            ids.iter().for_each(|id| drop(engine.cancel(*id)));
        }
    }
    let answers = ids.iter().zip(all).map(|(id, under_way)| under_way.end(engine, *id)).collect();
    Ok(Generated { answers, duration })
}

impl UnderWay {
    fn add(&mut self, step: SequenceStep) {
        self.text += &step.text;
        self.logprobs.extend(step.logprobs);
        self.prompt_logprobs.extend(step.prompt_logprobs);
    }

    fn end(self, engine: &Engine, id: SequenceId) -> Answer {
        let Self { text, logprobs, prompt_logprobs } = self;
        let finished = engine.inspect(id).expect("the sequence was added and not removed");
        Answer { text, finished, logprobs, prompt_logprobs }
    }
}
