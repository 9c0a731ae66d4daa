//! `veridraft generate`: one prompt in, its continuation out.

use std::io::Write;

use anyhow::Result;

use super::generation::{Generated, Observers, generate};
use crate::arguments::GenerateArguments;
use crate::interrupt::Interrupt;
use crate::open_model::OpenModel;
use crate::output::line;
use crate::prompt::Prompt;
use crate::report::{Report, Subject, Trace, summary};

pub(crate) fn run(arguments: &GenerateArguments) -> Result<()> {
    let mut trace = arguments.generation.trace.as_deref().map(Trace::create).transpose()?;
    let prompt = Prompt::read(arguments)?;
    let mut model = OpenModel::open(&arguments.generation)?;
    let prompt = prompt.encode(arguments, &model.folder)?;
    let id = model.engine.add(model.request(prompt.clone()))?;
    let interrupt = Interrupt::install()?;
    let mut show = show_as_it_comes;
    let mut keep_for_later = |_: &str| true;
    let observers = Observers {
        interrupt: &interrupt,
        trace: trace.as_mut(),
        show: if arguments.json { &mut keep_for_later } else { &mut show },
    };
    let Generated { text, finished } = generate(&mut model.engine, id, observers)?;
    let summary = summary(prompt.len(), &finished, model.seed());
    if arguments.json {
        let subject = Subject {
            model: &model.name,
            weights: &model.weights,
            path: model.simd.to_string(),
            seed: model.seed(),
            prompt,
        };
        write_json(&Report::new(subject, text, finished))?;
    } else if !text.ends_with('\n') {
        show_as_it_comes("\n");
    }
    eprintln!("{summary}");
    Ok(())
}

/// Writes text to standard output at once; `false` when it is closed.
pub(super) fn show_as_it_comes(piece: &str) -> bool {
    let mut output = std::io::stdout().lock();
    output.write_all(piece.as_bytes()).and_then(|()| output.flush()).is_ok()
}

fn write_json(report: &Report) -> Result<()> {
    line(serde_json::to_string(report)?)
}
