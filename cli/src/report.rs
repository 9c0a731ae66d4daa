//! What a generation reports: the JSON object, the summary line, the trace.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use veridraft_engine::{FinishReason, Finished, Outcome, SequenceReport, StepReport};
use veridraft_models::TokenId;

/// The object of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) model: String,
    pub(crate) weights: String,
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) token_ids: Vec<TokenId>,
    pub(crate) prompt_token_ids: Vec<TokenId>,
    pub(crate) finish_reason: FinishReason,
    pub(crate) seed: u64,
    timings: Timings,
    speculation: Speculation,
}

#[derive(Debug, Serialize)]
struct Timings {
    prefill_ms: f64,
    decode_ms: f64,
    tokens_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Speculation {
    mean_acceptance_length: f64,
    acceptance_rate: f64,
    sources: BTreeMap<&'static str, Source>,
}

#[derive(Debug, Serialize)]
struct Source {
    proposed: usize,
    accepted: usize,
    mean_acceptance_length: f64,
    ms: f64,
    gain_ms: f64,
}

/// What the model was and what it was given, for a report.
pub(crate) struct Subject<'a> {
    pub(crate) model: &'a str,
    pub(crate) weights: &'a str,
    pub(crate) path: String,
    pub(crate) seed: u64,
    pub(crate) prompt: Vec<TokenId>,
}

impl Report {
    pub(crate) fn new(subject: Subject, text: String, finished: Finished) -> Self {
        let report = &finished.report;
        Self {
            model: subject.model.to_owned(),
            weights: subject.weights.to_owned(),
            path: subject.path,
            text,
            timings: Timings {
                prefill_ms: milliseconds(report.prefill),
                decode_ms: milliseconds(report.decode),
                tokens_per_second: report.tokens_per_second(),
            },
            speculation: Speculation::new(report),
            token_ids: finished.token_ids,
            prompt_token_ids: subject.prompt,
            finish_reason: finished.reason,
            seed: subject.seed,
        }
    }
}

impl Speculation {
    fn new(report: &SequenceReport) -> Self {
        let source = |source: &veridraft_engine::SourceReport| Source {
            proposed: source.proposed,
            accepted: source.accepted,
            mean_acceptance_length: source.mean_acceptance_length(),
            ms: milliseconds(source.duration),
            gain_ms: (source.gain * 1e6).round() / 1e3,
        };
        Self {
            mean_acceptance_length: report.mean_acceptance_length(),
            acceptance_rate: report.acceptance_rate(),
            sources: report.sources.iter().map(|(name, report)| (*name, source(report))).collect(),
        }
    }
}

/// One line for a person: how much, how fast, how well drafted, why it ended.
pub(crate) fn summary(prompt_tokens: usize, finished: &Finished, seed: u64) -> String {
    let report = &finished.report;
    let drafts: String = report
        .sources
        .iter()
        .map(|(name, source)| format!(", {name} {}/{} accepted", source.accepted, source.proposed))
        .collect();
    format!(
        "{} tokens at {:.1} tokens/s, prompt of {prompt_tokens} in {:.2} s, {:.2} tokens a pass{drafts}, seed {seed}, {}",
        finished.token_ids.len(),
        report.tokens_per_second(),
        report.prefill.as_secs_f64(),
        report.mean_acceptance_length(),
        reason(finished.reason),
    )
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos => "ended by the model",
        FinishReason::StopToken => "ended at a stop token",
        FinishReason::StopString => "ended at a stop string",
        FinishReason::Complete => "complete",
        FinishReason::Failed => "ended by an error",
        FinishReason::Length => "ended at the token limit",
        FinishReason::ContextFull => "ended with the context full",
        FinishReason::Cancelled => "interrupted",
    }
}

/// `--trace FILE`: a JSON line a step.
pub(crate) struct Trace {
    path: PathBuf,
    file: BufWriter<File>,
    steps: usize,
}

#[derive(Serialize)]
struct TraceLine {
    step: usize,
    rows: usize,
    sources: BTreeMap<&'static str, TraceSource>,
    proposed: usize,
    accepted: usize,
    depth: usize,
    tokens: Vec<TokenId>,
    drafting_ms: f64,
    forward_ms: f64,
    time_ms: f64,
}

#[derive(Serialize)]
struct TraceSource {
    proposed: usize,
    accepted: usize,
}

impl From<&Outcome> for TraceSource {
    fn from(outcome: &Outcome) -> Self {
        Self { proposed: outcome.proposed, accepted: outcome.accepted }
    }
}

impl Trace {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot create `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), steps: 0 })
    }

    /// Adds a line for each sequence of a step, flushed, so that a reader can follow.
    pub(crate) fn step(&mut self, report: &StepReport) -> Result<()> {
        self.steps += 1;
        for sequence in &report.sequences {
            let line = TraceLine {
                step: self.steps,
                rows: sequence.rows + sequence.proposed,
                sources: sequence.sources.iter().map(|(name, outcome)| (*name, outcome.into())).collect(),
                proposed: sequence.proposed,
                accepted: sequence.accepted,
                depth: sequence.depth,
                tokens: sequence.tokens.clone(),
                drafting_ms: milliseconds(report.drafting),
                forward_ms: milliseconds(report.forward),
                time_ms: milliseconds(report.duration),
            };
            self.write(&line).with_context(|| format!("cannot write `{}`", self.path.display()))?;
        }
        Ok(())
    }

    fn write(&mut self, line: &TraceLine) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")?;
        self.file.flush()
    }
}

/// Milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
