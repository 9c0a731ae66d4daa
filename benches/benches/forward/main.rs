//! 4-bit matmuls and forward passes at the sizes of SmolLM2-135M: ONNX Runtime's, with random weights, beside Veridraft's.
//!
//! `cargo bench -p veridraft-benches --bench forward -- [--seconds N]`
//!
//! Everything runs in one process and in turn, on two threads that do not spin while they wait, with weights of its own
//! in every layer and logits for every row of a decoding pass. Within a subject, contenders are compared with the first.
//! Prints a Markdown table. A further contender is a struct that implements [`Contender`], added to its subject below.

mod contender;
mod forward_graph;
mod matmul_graph;
mod quantised;
mod session;
mod sizes;
mod veridraft_forward;
mod veridraft_matmuls;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use veridraft_engine::measure::{Rounds, Spread, take_turns};
use veridraft_models::Simd;
use veridraft_models::runtime::{LibraryChoice, Runtime};

use crate::contender::Contender;
use crate::forward_graph::OrtForward;
use crate::matmul_graph::OrtMatmuls;
use crate::sizes::{DECODING, PREFILL, Pass};
use crate::veridraft_forward::VeridraftForward;
use crate::veridraft_matmuls::VeridraftMatmuls;

/// Contenders that do the same work.
struct Subject {
    name: &'static str,
    contenders: Vec<Box<dyn Contender>>,
}

fn main() -> Result<()> {
    let seconds = seconds(std::env::args().skip(1).filter(|argument| argument != "--bench"))?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let environment = runtime.environment();
    let folder = tempfile::tempdir()?;
    let mut matmuls: Vec<Box<dyn Contender>> = vec![Box::new(OrtMatmuls::create(environment, folder.path())?)];
    let mut forward: Vec<Box<dyn Contender>> = vec![Box::new(OrtForward::create(environment, folder.path())?)];
    // The portable path is an oracle, tens of times slower.
    for simd in Simd::available().filter(|simd| *simd != Simd::Portable) {
        matmuls.push(Box::new(VeridraftMatmuls::create(simd)?));
        forward.push(Box::new(VeridraftForward::create(&runtime, simd)?));
    }
    let mut subjects =
        [Subject { name: "matmuls", contenders: matmuls }, Subject { name: "forward", contenders: forward }];
    println!(
        "| subject | rows | who | median ms | quartiles ms | T(k)/T(1) | weights, bytes | GB/s | time by the first's |"
    );
    println!("|---|---:|---|---:|---:|---:|---:|---:|---:|");
    let rounds = Rounds { least: 15, time: Duration::from_secs(seconds) };
    let decoding = measure(&mut subjects, &DECODING, rounds)?;
    let prefill = measure(&mut subjects, &[PREFILL], Rounds { least: 5, time: Duration::from_secs(seconds) })?;
    for (index, subject) in subjects.iter().enumerate() {
        let spreads = [&decoding[index][..], &prefill[index][..]].concat();
        for (pass, contenders) in DECODING.iter().chain([&PREFILL]).zip(&spreads) {
            for (place, contender) in subject.contenders.iter().enumerate() {
                let alone = spreads[0][place];
                let row =
                    Row { spread: contenders[place], alone, first: contenders[0], bytes: contender.weight_bytes() };
                println!("| {} | {} | {} | {} |", subject.name, pass.rows, contender.name(), row.columns());
            }
        }
    }
    Ok(())
}

fn seconds(mut arguments: impl Iterator<Item = String>) -> Result<u64> {
    match arguments.next().as_deref() {
        None => Ok(10),
        Some("--seconds") => arguments.next().context("a number is missing")?.parse().context("expected a number"),
        Some(other) => bail!("`{other}`, expected `--seconds N`"),
    }
}

/// For each subject, pass and contender, how long the pass takes; all of them take turns.
fn measure(subjects: &mut [Subject], passes: &[Pass], rounds: Rounds) -> Result<Vec<Vec<Vec<Spread>>>> {
    let mut cases = Vec::new();
    for (subject, content) in subjects.iter().enumerate() {
        for &pass in passes {
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
    let of_passes = |subject: &Subject| passes.iter().map(|_| of_contenders(subject)).collect();
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
