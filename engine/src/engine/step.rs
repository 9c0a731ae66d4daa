//! One step: plan, draft, run, verify, commit.

use std::time::Duration;

use veridraft_models::Batch;

use super::{Engine, batch};
use crate::choice::{Guesses, Load};
use crate::drafters::Draft;
use crate::plan::plan;
use crate::report::StepReport;
use crate::sequence::{Sequence, State};
use crate::{Result, SequenceId};

/// Rows of a prompt whose log-probabilities are wanted, at most: their logits take memory.
const SCORED_ROWS: usize = 128;

/// One sequence's part of a step under way.
pub(super) struct Part {
    pub(super) sequence: SequenceId,
    pub(super) rows: usize,
    /// Levels of a draft that may be used.
    pub(super) depth_max: usize,
    /// What each drafter proposed.
    pub(super) proposals: Vec<Proposal>,
    /// All of it as one tree.
    pub(super) merged: Guesses,
    /// What is verified of it.
    pub(super) guesses: Guesses,
    /// Where its logits are; `None` while there are none.
    pub(super) logits: Option<LogitRows>,
}

/// One drafter's proposal for one sequence.
pub(super) struct Proposal {
    pub(super) source: usize,
    pub(super) draft: Draft,
    pub(super) took: Duration,
}

/// Rows of a step's logits that belong to one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogitRows {
    /// Of the prompt, one for each token computed but the last.
    pub(super) prompt: Option<usize>,
    /// Of the last token and the draft behind it; `None` while the prompt is not computed to its end.
    pub(super) end: Option<usize>,
}

impl Engine {
    /// Runs one forward pass for all running sequences and commits what it gave.
    ///
    /// Does nothing when nothing waits or runs. After an error no sequence has new tokens, and the next step tries again.
    pub fn step(&mut self) -> Result<StepReport> {
        let start = (self.parts.clock)();
        self.admit();
        if let Some(mut failed) = self.encode_sources() {
            failed.duration = self.since(start);
            return Ok(failed);
        }
        let mut parts = self.planned();
        if parts.is_empty() {
            return Ok(StepReport::default());
        }
        let mut report = StepReport::default();
        let before = (self.parts.clock)();
        self.draft(&mut parts, &mut report);
        let batch = self.build(&mut parts);
        let drafted = (self.parts.clock)();
        let outcome = self.parts.model.forward(&batch);
        report.drafting = drafted.saturating_sub(before);
        report.forward = self.since(drafted);
        report.rows = batch.rows();
        let logits = match outcome {
            Ok(logits) => logits,
            Err(error) => {
                parts.iter().for_each(|part| self.trim(part.sequence));
                return Err(error.into());
            }
        };
        self.parts.costs.learn(self.load(&parts), report.forward);
        self.commit(&parts, &logits, &mut report);
        report.duration = self.since(start);
        for step in &report.sequences {
            let sequence = self.sequences.get_mut(&step.sequence).expect("a committed sequence exists");
            sequence.report.account(step, report.duration);
        }
        Ok(report)
    }

    /// Who computes how many rows, with blocks for them; nobody when nobody runs.
    fn planned(&mut self) -> Vec<Part> {
        loop {
            let mut parts = self.plan();
            let is_idle = parts.is_empty();
            self.reserve(&mut parts);
            // All that were planned may have been preempted for others that run and were not.
            if is_idle || !parts.is_empty() {
                return parts;
            }
        }
    }

    /// Who computes how many rows.
    fn plan(&self) -> Vec<Part> {
        let running: Vec<_> = self.sequences.values().filter(|sequence| sequence.is_running()).collect();
        let wanted = |sequence: &&Sequence| match sequence.logprobs.prompt {
            Some(_) => sequence.uncomputed().min(SCORED_ROWS),
            None => sequence.uncomputed(),
        };
        let uncomputed: Vec<_> = running.iter().map(wanted).collect();
        let rows = plan(&uncomputed, self.chunk_rows());
        let parts = running.iter().zip(rows).filter(|(_, rows)| *rows > 0);
        parts.map(|(sequence, rows)| self.part(sequence, rows)).collect()
    }

    fn part(&self, sequence: &Sequence, rows: usize) -> Part {
        // A draft is no longer than what could still be emitted, the bonus token aside.
        let reaches_end = rows == sequence.uncomputed();
        let most = (*sequence.draft_levels.end()).min(sequence.remaining().saturating_sub(1));
        let most = most.min(self.parts.model.limits().max_rows.saturating_sub(rows));
        Part {
            sequence: sequence.id,
            rows,
            depth_max: if reaches_end { most } else { 0 },
            proposals: Vec::new(),
            merged: Guesses::default(),
            guesses: Guesses::default(),
            logits: None,
        }
    }

    /// Takes blocks for drafts and lays the rows out. A draft that finds no block is cut.
    fn build(&mut self, parts: &mut [Part]) -> Batch {
        let block_tokens = self.cache().block_tokens;
        for part in parts.iter_mut() {
            let drafted = part.guesses.draft.nodes.len();
            let covered = self.extend_table(part.sequence, part.rows + drafted) - part.rows;
            if covered < drafted {
                part.guesses = part.guesses.prune(&(0..covered).collect::<Vec<_>>());
            }
        }
        let mut batch = Batch::default();
        for part in parts.iter_mut() {
            let sequence = &self.sequences[&part.sequence];
            part.logits = batch::append(&mut batch, sequence, part.rows, &part.guesses.draft, block_tokens);
        }
        batch::mask_trees(&mut batch, parts);
        batch
    }

    pub(super) fn load(&self, parts: &[Part]) -> Load {
        let mut load = Load::default();
        for part in parts {
            let context = self.sequences[&part.sequence].computed;
            let rows = part.rows + part.guesses.draft.nodes.len();
            load.rows += rows;
            load.context += context;
            load.row_context += rows * context;
        }
        load
    }

    pub(super) fn has_finished(&self, id: SequenceId) -> bool {
        matches!(self.sequences[&id].state, State::Finished(_))
    }
}
