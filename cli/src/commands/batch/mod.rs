//! `veridraft batch`: many requests from a file, answered in order, whatever happens on the way.
//!
//! Two passes over the input: one finds what the run is, the other feeds the engine, so that the file is never held.
//! Every answered row goes to the journal, and OUT is made of the journal when all rows are in it. Law: OUT is a function
//! of input, model and flags. For row-exact models and coupled verification it is the same whoever drafts, whatever runs
//! beside a row, and however often the run was killed and resumed.

mod arguments;
mod selection;
mod rows;
mod survey;
mod row;
mod body;
mod fields;
mod refusal;
mod ask;
mod answering;
mod under_way;
mod record;
mod logprobs;
mod identity;
mod stats;
mod places;
mod lock;
mod complete;
mod journal;
mod publish;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use veridraft_engine::EngineConfig;
use veridraft_models::{ChatTemplate, Message};

pub(crate) use self::arguments::BatchArguments;

use self::answering::{Answering, End, Plan};
use self::ask::Asker;
use self::complete::is_complete;
use self::identity::Identity;
use self::journal::{Journal, Kind};
use self::lock::OutputLock;
use self::places::{Places, is_same};
use self::publish::publish;
use self::record::{Created, RecordWriter, columns};
use self::row::RowFormat;
use self::rows::Rows;
use self::selection::Selection;
use self::stats::{Output, Tally};
use self::survey::Survey;
use crate::arguments::VerifyRule;
use crate::interrupt::Interrupt;
use crate::open_model::OpenModel;
use crate::report::Trace;
use crate::usage::UsageError;

/// Runs the command.
pub(crate) fn run(arguments: &BatchArguments) -> Result<()> {
    let places = Places::of(&arguments.output)?;
    check_input(&arguments.input)?;
    check_apart(arguments, &places)?;
    let selection = Selection { limit: arguments.limit, shard: arguments.shard };
    let format = RowFormat { field: arguments.field.clone(), raw: arguments.raw };
    let survey = Survey::of(&arguments.input, selection, &format)?;
    // Behind what is mistyped most often, for a lock leaves its file.
    let lock = OutputLock::acquire(&places)?;
    places.try_out()?;
    note_rule(arguments.generation.draft.verify);
    let mut open = OpenModel::open(&arguments.generation)?;
    note_company(&open);
    let identity = Identity::of(arguments, &open, survey.digest)?;
    if is_complete(&places, &identity)? {
        // A crash between OUT's appearance and the end of the journal leaves both.
        if places.journal.try_exists()? {
            Journal::open(&places.journal, &identity.part, survey.rows)?.remove()?;
        }
        eprintln!("`{}` is complete, nothing to do", places.out.display());
        return lock.release();
    }
    let journal = Journal::open(&places.journal, &identity.part, survey.rows)?;
    if journal.finished() > 0 {
        eprintln!("going on behind {} of {} rows", journal.finished(), survey.rows);
    }
    open.engine.configure(EngineConfig { max_sequences: arguments.concurrency.get(), ..EngineConfig::default() });
    let asker = asker(arguments, &open);
    let created = arguments.created.unwrap_or(Created::At(0));
    let text_ids = places.format.has_columns();
    let writer = RecordWriter { run: identity.whole, model: open.name.clone(), created, text_ids };
    let plan = Plan { selection, format, survey, writer, concurrency: arguments.concurrency.get() };
    let start = Instant::now();
    let (journal, tally, survey) = answer(arguments, Answering::new(plan, open, asker, journal))?;
    finish(&places, &identity, journal, &Outcome { tally, survey, took: start.elapsed() })?;
    lock.release()
}

/// Refuses what cannot be read twice.
fn check_input(input: &Path) -> Result<()> {
    let metadata = input.metadata().with_context(|| format!("cannot read `{}`", input.display()))?;
    if !metadata.is_file() {
        bail!("`{}` is not a regular file, expected one: it is read twice", input.display());
    }
    Ok(())
}

/// Refuses files that would overwrite each other.
fn check_apart(arguments: &BatchArguments, places: &Places) -> Result<()> {
    places.check_apart(&arguments.input, "the input")?;
    let Some(trace) = &arguments.generation.trace else { return Ok(()) };
    if is_same(trace, &arguments.input) {
        let message = format!("`{}` is the input, but also the trace, expected two files", trace.display());
        return Err(UsageError::new(message).into());
    }
    places.check_apart(trace, "the trace")
}

/// A run whose rows all have a record.
struct Outcome {
    tally: Tally,
    survey: Survey,
    took: Duration,
}

/// Answers what the journal lacks; an error if that was interrupted.
fn answer(arguments: &BatchArguments, mut answering: Answering) -> Result<(Journal, Tally, Survey)> {
    let selection = Selection { limit: arguments.limit, shard: arguments.shard };
    let mut rows = Rows::open(&arguments.input, selection)?;
    let mut trace = arguments.generation.trace.as_deref().map(Trace::create).transpose()?;
    let interrupt = Interrupt::install()?;
    let end = answering.run(&mut rows, &interrupt, trace.as_mut())?;
    let (journal, tally, survey) = answering.into_parts();
    if end == End::Interrupted {
        bail!(
            "interrupted with {} of {} rows finished; the same command goes on behind them",
            journal.finished(),
            survey.rows
        );
    }
    if rows.digest() != survey.digest {
        bail!("`{}` changed while it was read, expected the same rows in both passes", arguments.input.display());
    }
    Ok((journal, tally, survey))
}

fn finish(places: &Places, identity: &Identity, mut journal: Journal, outcome: &Outcome) -> Result<()> {
    let Outcome { tally, survey, took } = outcome;
    let mut errors = tally.refused;
    if tally.resumed > 0 {
        errors = 0;
        for record in journal.records()? {
            errors += usize::from(record?.1 == Kind::Error);
        }
    }
    let run = identity.hexadecimal();
    let stats = |bytes| tally.file(&Output { run: &run, rows: survey.rows, errors, bytes }, *took);
    publish(places, &columns(survey.has_requests, survey.has_others), journal, stats)?;
    eprintln!("{}", tally.summary(survey.rows - errors, *took));
    match errors {
        0 => {}
        1 => eprintln!("note: 1 row has no answer, see `{}`", places.errors.display()),
        _ => eprintln!("note: {errors} rows have no answer, see `{}`", places.errors.display()),
    }
    Ok(())
}

fn asker(arguments: &BatchArguments, open: &OpenModel) -> Asker {
    let time = match arguments.created {
        Some(Created::Now) => SystemTime::now(),
        Some(Created::At(seconds)) => UNIX_EPOCH + Duration::from_secs(seconds),
        None => {
            if open.folder.chat_template.as_ref().is_some_and(writes_the_date) {
                eprintln!("note: the chat template writes the date, which is that of 1970 without `--created=SECONDS`");
            }
            UNIX_EPOCH
        }
    };
    let names = arguments.generation.model.model.iter().chain([&open.name]);
    let mut names: Vec<_> = names.cloned().collect();
    names.dedup();
    Asker::new(arguments.generation.system.clone(), time, arguments.check_model.then_some(names))
}

/// Whether what a template makes of a message depends on the day.
fn writes_the_date(template: &ChatTemplate) -> bool {
    let messages = [Message::new("user", "?")];
    let text = |day: u64| template.render(&messages, true, UNIX_EPOCH + Duration::from_secs(day * 86400)).ok();
    text(0) != text(400)
}

/// Says of rules that depend on drafts that they do.
fn note_rule(rule: VerifyRule) {
    if rule != VerifyRule::Coupled {
        eprintln!(
            "note: without `--verify coupled` texts depend on what was drafted: a resumed run is not the undisturbed one"
        );
    }
}

/// Says of models whose texts depend on what runs beside them that they do.
fn note_company(open: &OpenModel) {
    if !open.is_row_exact {
        eprintln!(
            "note: the products of `{}` are not row-exact; what runs beside a row may change its text, so a resumed run \
             may not be the undisturbed one",
            open.name
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_writes_the_date_is_noticed() {
        let template = |source: &str| ChatTemplate::new(source, Vec::new()).expect("it compiles");
        assert!(writes_the_date(&template("{{ strftime_now('%Y-%m-%d') }} {{ messages[0].content }}")));
        assert!(!writes_the_date(&template("{{ messages[0].content }}")));
    }
}
