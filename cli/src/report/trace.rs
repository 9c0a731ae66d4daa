//! `--trace FILE`: a JSON line for each sequence of each step.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use veridraft_engine::{DraftedToken, Outcome, StepReport};
use veridraft_models::TokenId;

use crate::figures::milliseconds;

/// The file, and where in it we are.
pub(crate) struct Trace {
    path: PathBuf,
    file: BufWriter<File>,
    steps: usize,
}

#[derive(Serialize)]
struct TraceLine {
    step: usize,
    /// In `generate` the sample, in `chat` the turn, both from 0: an engine numbers its sequences.
    sequence: u64,
    rows: usize,
    sources: BTreeMap<&'static str, TraceSource>,
    proposed: usize,
    accepted: usize,
    depth: usize,
    draft: Vec<TraceDraft>,
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

/// A drafted token; `parent` is the place in the list of the one that it follows.
#[derive(Serialize)]
struct TraceDraft {
    token: TokenId,
    parent: Option<usize>,
    source: &'static str,
    accepted: bool,
}

impl From<&DraftedToken> for TraceDraft {
    fn from(drafted: &DraftedToken) -> Self {
        let DraftedToken { token, parent, source, is_accepted } = *drafted;
        Self { token, parent, source, accepted: is_accepted }
    }
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
                sequence: sequence.sequence.0,
                rows: sequence.rows + sequence.proposed,
                sources: sequence.sources.iter().map(|(name, outcome)| (*name, outcome.into())).collect(),
                proposed: sequence.proposed,
                accepted: sequence.accepted,
                depth: sequence.depth,
                draft: sequence.draft.iter().map(TraceDraft::from).collect(),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use veridraft_engine::{SequenceId, SequenceStep};

    use super::*;

    fn drafted(token: TokenId, parent: Option<usize>, is_accepted: bool) -> DraftedToken {
        DraftedToken { token, parent, source: "lookup", is_accepted }
    }

    fn step(sequence: u64, token: TokenId) -> SequenceStep {
        SequenceStep {
            sequence: SequenceId(sequence),
            rows: 1,
            sources: [("lookup", Outcome { proposed: 2, accepted: 1 })].into(),
            proposed: 2,
            accepted: 1,
            depth: 2,
            draft: vec![drafted(3, None, true), drafted(4, Some(0), false)],
            tokens: vec![token],
            text: String::new(),
            logprobs: Vec::new(),
            prompt_logprobs: Vec::new(),
            finish: None,
            failure: None,
        }
    }

    #[test]
    fn each_sequence_of_a_step_has_a_line_with_its_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.jsonl");
        let mut trace = Trace::create(&path).expect("created");
        let both = StepReport { sequences: vec![step(0, 7), step(1, 8)], ..StepReport::default() };
        trace.step(&both).expect("written");
        trace.step(&StepReport { sequences: vec![step(1, 9)], ..StepReport::default() }).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        let found: Vec<_> = lines.iter().map(|line| json!([line["step"], line["sequence"], line["tokens"]])).collect();
        assert_eq!(found, [json!([1, 0, [7]]), json!([1, 1, [8]]), json!([2, 1, [9]])]);
        assert_eq!(lines[0]["rows"], 3);
        assert_eq!(lines[0]["sources"]["lookup"], json!({"proposed": 2, "accepted": 1}));
        let expected = json!([
            {"token": 3, "parent": null, "source": "lookup", "accepted": true},
            {"token": 4, "parent": 0, "source": "lookup", "accepted": false},
        ]);
        assert_eq!(lines[0]["draft"], expected);
    }
}
