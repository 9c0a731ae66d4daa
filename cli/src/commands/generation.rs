//! Steps the engine until one sequence ends, showing its text as it comes.

use anyhow::Result;
use veridraft_engine::{Engine, Finished, SequenceId};

use crate::interrupt::Interrupt;
use crate::report::Trace;

/// A sequence that ran to its end, and its text.
pub(crate) struct Generated {
    pub(crate) text: String,
    pub(crate) finished: Finished,
}

/// What happens beside the steps.
pub(crate) struct Observers<'a> {
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) trace: Option<&'a mut Trace>,
    /// Takes each piece of text; `false` when nobody reads any more.
    pub(crate) show: &'a mut dyn FnMut(&str) -> Result<bool>,
}

/// Runs until `id` ends, is interrupted, or nobody reads; the sequence stays in the engine.
pub(crate) fn generate(engine: &mut Engine, id: SequenceId, observers: Observers) -> Result<Generated> {
    let interrupt = observers.interrupt;
    interrupt.begin();
    let generated = run(engine, id, observers);
    interrupt.end();
    generated
}

fn run(engine: &mut Engine, id: SequenceId, observers: Observers) -> Result<Generated> {
    let Observers { interrupt, mut trace, show } = observers;
    let mut text = String::new();
    while engine.has_work() {
        let mut piece = String::new();
        if interrupt.is_set() {
            piece += &engine.cancel(id);
        } else {
            let report = engine.step()?;
            if let Some(trace) = &mut trace {
                trace.step(&report)?;
            }
            report.failures.iter().for_each(|failure| eprintln!("note: {failure}"));
            report.sequences.iter().for_each(|sequence| piece += &sequence.text);
        }
        text += &piece;
        if !piece.is_empty() && !show(&piece)? {
            engine.cancel(id);
        }
    }
    let finished = engine.inspect(id).expect("the sequence was added and not removed");
    Ok(Generated { text, finished })
}
