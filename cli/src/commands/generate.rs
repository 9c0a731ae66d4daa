//! `veridraft generate`: one prompt in, its continuation out.

use anyhow::Result;

use super::generation::{Generated, Observers, generate};
use crate::arguments::GenerateArguments;
use crate::interrupt::Interrupt;
use crate::open_model::OpenModel;
use crate::output::{line, piece};
use crate::prompt::Prompt;
use crate::report::{Report, Subject, Trace, summary};

pub(crate) fn run(arguments: &GenerateArguments) -> Result<()> {
    let prompt = Prompt::read(arguments)?;
    let mut model = OpenModel::open(&arguments.generation)?;
    let prompt = prompt.encode(arguments, &model.folder)?;
    let id = model.engine.add(model.request(prompt.clone()))?;
    let mut trace = arguments.generation.trace.as_deref().map(Trace::create).transpose()?;
    let interrupt = Interrupt::install()?;
    let mut show_at_once = |text: &str| piece(text);
    let mut keep_for_later = |_: &str| Ok(true);
    let observers = Observers {
        interrupt: &interrupt,
        trace: trace.as_mut(),
        show: if arguments.json { &mut keep_for_later } else { &mut show_at_once },
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
        piece("\n")?;
    }
    eprintln!("{summary}");
    Ok(())
}

fn write_json(report: &Report) -> Result<()> {
    line(serde_json::to_string(report)?)
}
