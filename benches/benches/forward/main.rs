//! 4-bit matmuls, attention and forward passes at the sizes of SmolLM2-135M: ONNX Runtime's, with random weights, beside
//! Veridraft's.
//!
//! `cargo bench -p veridraft-benches --bench forward -- [--seconds N] [--subject matmuls|attention|forward]`
//!
//! Everything runs in one process and in turn, on two threads that do not spin while they wait, with weights, keys and
//! values of its own in every layer and logits for every row of a decoding pass. Within a subject, contenders are
//! compared with the first. Prints a Markdown table. A further contender is a struct that implements [`Contender`], added
//! to its subject below.

mod sizes;
mod contender;
mod subject;
mod session;
mod quantised;
mod matmul_graph;
mod veridraft_matmuls;
mod grouped_attention;
mod attention_graph;
mod veridraft_attention;
mod forward_graph;
mod veridraft_forward;
mod plain_read;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use veridraft_engine::measure::{Rounds, Spread, take_turns};
use veridraft_models::runtime::{LibraryChoice, Runtime};

use crate::sizes::Pass;
use crate::subject::Subject;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1).filter(|argument| argument != "--bench"))?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let folder = tempfile::tempdir()?;
    let mut subjects = Vec::new();
    for name in Subject::NAMES.into_iter().filter(|name| options.is_wanted(name)) {
        subjects.push(Subject::create(name, &runtime, folder.path())?);
    }
    println!(
        "| subject | context | sequences | rows | who | median ms | quartiles ms | T(k)/T(1) | bytes | GB/s | time by the first's |"
    );
    println!("|---|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|");
    let time = Duration::from_secs(options.seconds);
    let decoding = measure(&mut subjects, |pass| !pass.is_prompt(), Rounds { least: 15, time })?;
    let prompts = measure(&mut subjects, Pass::is_prompt, Rounds { least: 5, time })?;
    for (index, subject) in subjects.iter().enumerate() {
        print(subject, &[&decoding[index][..], &prompts[index]].concat());
    }
    Ok(())
}

struct Options {
    seconds: u64,
    /// The only subject wanted.
    subject: Option<String>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { seconds: 10, subject: None };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().with_context(|| format!("`{argument}`, expected a value behind it"))?;
            match argument.as_str() {
                "--seconds" => options.seconds = value.parse().context("expected a number")?,
                "--subject" if Subject::NAMES.contains(&value.as_str()) => options.subject = Some(value),
                other => {
                    bail!("`{other} {value}`, expected `--seconds N` or `--subject` and one of {:?}", Subject::NAMES)
                }
            }
        }
        Ok(options)
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.subject.as_deref().is_none_or(|subject| subject == name)
    }
}

/// Prints a line for each pass and contender; prompts come last, as they do in a subject's passes.
fn print(subject: &Subject, spreads: &[Vec<Spread>]) {
    for (pass, contenders) in subject.passes.iter().zip(spreads) {
        for (place, contender) in subject.contenders.iter().enumerate() {
            let (spread, alone, first) = (contenders[place], spreads[0][place], contenders[0]);
            let columns = Row { spread, alone, first, bytes: contender.bytes(*pass) }.columns();
            let Pass { sequences, rows, context, .. } = pass;
            println!("| {} | {context} | {sequences} | {rows} | {} | {columns} |", subject.name, contender.name());
        }
    }
}

/// For each subject, wanted pass and contender, how long the pass takes; all of them take turns.
fn measure(
    subjects: &mut [Subject],
    is_wanted: impl Fn(Pass) -> bool,
    rounds: Rounds,
) -> Result<Vec<Vec<Vec<Spread>>>> {
    let passes = |subject: &Subject| subject.passes.iter().copied().filter(|pass| is_wanted(*pass));
    let mut cases = Vec::new();
    for (subject, content) in subjects.iter().enumerate() {
        for pass in passes(content) {
            cases.extend((0..content.contenders.len()).map(|contender| (subject, pass, contender)));
        }
    }
    let mut run = |case: usize| {
        let (subject, pass, contender) = cases[case];
        let start = Instant::now();
        subjects[subject].contenders[contender].run(pass)?;
        anyhow::Ok(start.elapsed())
    };
    (0..cases.len()).try_for_each(|case| run(case).map(drop))?;
    let times = take_turns(cases.len(), rounds, run)?;
    let mut spreads = times.iter().map(|times| Spread::of(times));
    let mut of_contenders = |subject: &Subject| spreads.by_ref().take(subject.contenders.len()).collect();
    let of_passes = |subject: &Subject| passes(subject).map(|_| of_contenders(subject)).collect();
    Ok(subjects.iter().map(of_passes).collect())
}

/// One contender's numbers for one pass.
struct Row {
    spread: Spread,
    /// Its own pass of one row.
    alone: Spread,
    /// The same pass of the subject's first contender.
    first: Spread,
    bytes: u64,
}

impl Row {
    fn columns(&self) -> String {
        let Spread { lower_quartile, median, upper_quartile } = self.spread;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let ratio = |other: Spread| median.as_secs_f64() / other.median.as_secs_f64();
        format!(
            "{:.2} | {:.2} - {:.2} | {:.2} | {} | {:.1} | {:.2}",
            milliseconds(median),
            milliseconds(lower_quartile),
            milliseconds(upper_quartile),
            ratio(self.alone),
            self.bytes,
            self.bytes as f64 / median.as_secs_f64() / 1e9,
            ratio(self.first),
        )
    }
}
