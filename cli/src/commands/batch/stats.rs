//! OUT.stats.json: what a run took and how its drafts did. Times belong here alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use veridraft_engine::{Finished, StepReport};

use crate::figures::rounded;

/// Counts of this process; rows that an earlier one finished are counted in `resumed` alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Rows of the journal when this process began.
    pub(super) resumed: usize,
    /// Rows that this process refused.
    pub(super) refused: usize,
    prompt_tokens: usize,
    cached_tokens: usize,
    /// New tokens, passes that gave some to a sequence, and passes at all.
    tokens: usize,
    emitting: usize,
    forwards: usize,
    preemptions: usize,
    drafters: BTreeMap<&'static str, Drafter>,
    /// Time of forward passes, of drafting, and of the journal.
    forward: Duration,
    drafting: Duration,
    pub(super) journal: Duration,
}

/// What came of one drafter's tokens.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Drafter {
    proposed: usize,
    accepted: usize,
}

/// The file.
#[derive(Debug, Serialize)]
pub(super) struct Stats<'a> {
    /// Digest of all that the output depends on.
    run: &'a str,
    rows: usize,
    errors: usize,
    /// Bytes of OUT.
    out_bytes: u64,
    /// Rows that an earlier process had finished; the counts and times below are without them.
    resumed_rows: usize,
    prompt_tokens: usize,
    cached_prompt_tokens: usize,
    completion_tokens: usize,
    seconds: f64,
    tokens_per_second: f64,
    mean_acceptance_length: f64,
    drafters: &'a BTreeMap<&'static str, Drafter>,
    preemptions: usize,
    forwards: usize,
    forward_seconds: f64,
    drafting_seconds: f64,
    journal_seconds: f64,
}

/// What OUT is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output<'a> {
    /// Digest of all that it depends on.
    pub(super) run: &'a str,
    /// Rows of the run.
    pub(super) rows: usize,
    /// Rows of them that have an error.
    pub(super) errors: usize,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

/// What a file of statistics says of OUT.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Proof {
    /// Digest of all that OUT depends on.
    pub(super) run: String,
    /// Bytes of OUT.
    pub(super) out_bytes: u64,
}

impl Proof {
    /// `None` where the text is not that of a file of statistics.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

impl Tally {
    /// Nothing done yet, behind rows that an earlier process finished.
    pub(super) fn behind(resumed: usize) -> Self {
        Self { resumed, ..Self::default() }
    }

    pub(super) fn step(&mut self, report: &StepReport) {
        self.forwards += usize::from(report.rows > 0);
        self.forward += report.forward;
        self.drafting += report.drafting;
        for part in &report.sequences {
            self.tokens += part.tokens.len();
            self.emitting += usize::from(!part.tokens.is_empty());
            for (name, outcome) in &part.sources {
                let drafter = self.drafters.entry(name).or_default();
                drafter.proposed += outcome.proposed;
                drafter.accepted += outcome.accepted;
            }
        }
    }

    pub(super) fn sequence(&mut self, prompt_tokens: usize, finished: &Finished) {
        self.prompt_tokens += prompt_tokens;
        self.cached_tokens += finished.report.cached;
        self.preemptions += finished.report.preemptions;
    }

    /// New tokens.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// New tokens a pass and sequence (τ); 0 before the first.
    pub(super) fn mean_acceptance_length(&self) -> f64 {
        if self.emitting == 0 { 0.0 } else { self.tokens as f64 / self.emitting as f64 }
    }

    /// One line for a person.
    pub(super) fn summary(&self, answers: usize, took: Duration) -> String {
        let seconds = took.as_secs_f64();
        let drafters: String = self
            .drafters
            .iter()
            .map(|(name, drafter)| format!(", {name} {}/{} accepted", drafter.accepted, drafter.proposed))
            .collect();
        let resumed = if self.resumed > 0 { format!(" ({} from before)", self.resumed) } else { String::new() };
        format!(
            "{answers} answers{resumed}, {} tokens in {seconds:.2} s at {:.1} tokens/s, {:.2} tokens a pass{drafters}",
            self.tokens,
            self.tokens as f64 / seconds.max(1e-9),
            self.mean_acceptance_length(),
        )
    }

    /// The file's text.
    pub(super) fn file(&self, output: &Output, took: Duration) -> Vec<u8> {
        let seconds = took.as_secs_f64();
        let stats = Stats {
            run: output.run,
            rows: output.rows,
            errors: output.errors,
            out_bytes: output.bytes,
            resumed_rows: self.resumed,
            prompt_tokens: self.prompt_tokens,
            cached_prompt_tokens: self.cached_tokens,
            completion_tokens: self.tokens,
            seconds: rounded(seconds),
            tokens_per_second: rounded(if seconds > 0.0 { self.tokens as f64 / seconds } else { 0.0 }),
            mean_acceptance_length: rounded(self.mean_acceptance_length()),
            drafters: &self.drafters,
            preemptions: self.preemptions,
            forwards: self.forwards,
            forward_seconds: rounded(self.forward.as_secs_f64()),
            drafting_seconds: rounded(self.drafting.as_secs_f64()),
            journal_seconds: rounded(self.journal.as_secs_f64()),
        };
        let mut text = serde_json::to_vec_pretty(&stats).expect("numbers and names are JSON");
        text.push(b'\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_statistics_names_its_run() {
        let tally = Tally::behind(3);
        let output = Output { run: "c0ffee", rows: 9, errors: 1, bytes: 77 };
        let file = tally.file(&output, Duration::from_millis(1500));
        assert_eq!(Proof::read(&file), Some(Proof { run: "c0ffee".to_owned(), out_bytes: 77 }));
        let stats: serde_json::Value = serde_json::from_slice(&file).expect("it is JSON");
        assert_eq!(stats["rows"], 9);
        assert_eq!(stats["seconds"], 1.5);
        assert_eq!(stats["tokens_per_second"], 0.0);
        let line = "8 answers (3 from before), 0 tokens in 1.50 s at 0.0 tokens/s, 0.00 tokens a pass";
        assert_eq!(tally.summary(8, Duration::from_millis(1500)), line);
        assert_eq!(Proof::read(b"{}"), None);
        assert_eq!(Proof::read(b"no"), None);
    }
}
