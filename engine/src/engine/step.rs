//! One step: plan, draft, run, verify, commit.

use std::time::Duration;

use veridraft_models::{Batch, Logits, TokenId};

use super::{Engine, batch};
use crate::drafters::DraftRequest;
use crate::plan::{Demand, plan};
use crate::report::{SequenceStep, StepReport};
use crate::sequence::{Sequence, State};
use crate::verify::{Verified, verify};
use crate::{Result, SequenceId};

/// One sequence's part of a step under way.
struct Part {
    sequence: SequenceId,
    rows: usize,
    /// Draft rows that may be used.
    draft_max: usize,
    draft: Vec<TokenId>,
    source: Option<&'static str>,
    /// Index of its first row of logits; `None` while its prompt is not computed to the end.
    logits: Option<usize>,
}

impl Engine {
    /// Runs one forward pass for all running sequences and commits what it gave.
    ///
    /// Does nothing when nothing waits or runs. After an error no sequence has new tokens, and the next step tries again.
    pub fn step(&mut self) -> Result<StepReport> {
        let start = (self.parts.clock)();
        self.admit();
        let mut parts = self.plan();
        if parts.is_empty() {
            return Ok(StepReport::default());
        }
        self.draft(&mut parts)?;
        let batch = self.build(&mut parts);
        let before = (self.parts.clock)();
        let outcome = self.parts.model.forward(&batch);
        let forward = (self.parts.clock)() - before;
        let logits = match outcome {
            Ok(logits) => logits,
            Err(error) => {
                self.roll_back(&parts);
                return Err(error.into());
            }
        };
        let sequences: Vec<_> = parts.iter().map(|part| self.commit(part, &logits)).collect();
        let duration = (self.parts.clock)() - start;
        for step in &sequences {
            self.account(step, duration);
        }
        Ok(StepReport { duration, forward, rows: batch.rows(), sequences })
    }

    /// Who computes how many rows.
    fn plan(&self) -> Vec<Part> {
        let limits = self.parts.model.limits();
        let running: Vec<_> = self.sequences.values().filter(|sequence| sequence.is_running()).collect();
        let demands: Vec<_> = running.iter().map(|sequence| self.demand(sequence)).collect();
        let shares = plan(&demands, limits.max_rows.min(self.config.chunk_rows).max(1));
        let parts = running.iter().zip(shares).filter(|(_, share)| share.rows > 0);
        let part = |(sequence, share): (&&Sequence, crate::plan::Share)| Part {
            sequence: sequence.id,
            rows: share.rows,
            draft_max: share.draft_max,
            draft: Vec::new(),
            source: None,
            logits: None,
        };
        parts.map(part).collect()
    }

    /// A draft is no longer than what could still be emitted, the bonus token aside.
    fn demand(&self, sequence: &Sequence) -> Demand {
        let draft_max = if self.parts.drafters.is_empty() { 0 } else { sequence.draft_max };
        Demand { uncomputed: sequence.uncomputed(), draft_max: draft_max.min(sequence.remaining().saturating_sub(1)) }
    }

    /// Asks the drafters in order; a later one drafts for the sequences that the earlier ones had nothing for.
    fn draft(&mut self, parts: &mut [Part]) -> Result<()> {
        for index in 0..self.parts.drafters.len() {
            let mut open: Vec<_> =
                parts.iter_mut().filter(|part| part.draft_max > 0 && part.draft.is_empty()).collect();
            if open.is_empty() {
                break;
            }
            let wanted: Vec<_> = open.iter().map(|part| DraftRequest::chain(part.sequence, part.draft_max)).collect();
            let before = (self.parts.clock)();
            let drafter = &mut self.parts.drafters[index];
            let name = drafter.name();
            let drafts = drafter.propose(&wanted)?;
            let spent = ((self.parts.clock)() - before) / u32::try_from(wanted.len()).unwrap_or(u32::MAX);
            for (part, draft) in open.iter_mut().zip(drafts) {
                part.draft = draft.nodes.iter().map(|node| node.token).take(part.draft_max).collect();
                part.source = (!part.draft.is_empty()).then_some(name);
                self.drafting_took(part.sequence, name, spent);
            }
        }
        Ok(())
    }

    fn drafting_took(&mut self, id: SequenceId, source: &'static str, spent: Duration) {
        let sequence = self.sequences.get_mut(&id).expect("a planned sequence exists");
        sequence.report.sources.entry(source).or_default().duration += spent;
    }

    /// Takes blocks for all rows, everyone's own first, and lays the rows out. A draft that finds no block is cut.
    fn build(&mut self, parts: &mut [Part]) -> Batch {
        let block_tokens = self.cache().block_tokens;
        for part in parts.iter() {
            let covered = self.extend_table(part.sequence, part.rows);
            assert!(covered >= part.rows, "admission promised the blocks of {:?}", part.sequence);
        }
        let mut batch = Batch::default();
        for part in parts {
            let covered = self.extend_table(part.sequence, part.rows + part.draft.len());
            part.draft.truncate(covered - part.rows);
            let sequence = &self.sequences[&part.sequence];
            part.logits = batch::append(&mut batch, sequence, part.rows, &part.draft, block_tokens);
        }
        batch
    }

    /// Lengthens a block table for `rows` rows behind the computed ones; returns the rows that it covers now.
    fn extend_table(&mut self, id: SequenceId, rows: usize) -> usize {
        let block_tokens = self.cache().block_tokens;
        let sequence = self.sequences.get_mut(&id).expect("a planned sequence exists");
        while sequence.block_table.len() * block_tokens < sequence.computed + rows {
            let Some(block) = self.pool.allocate() else { break };
            sequence.block_table.push(block);
        }
        rows.min(sequence.block_table.len() * block_tokens - sequence.computed)
    }

    fn commit(&mut self, part: &Part, logits: &Logits) -> SequenceStep {
        let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
        let verified = match part.logits {
            Some(first) => verify(sequence, &part.draft, logits, first, &*self.parts.decoder),
            None => Verified { accepted: 0, tokens: Vec::new(), text: String::new() },
        };
        // The last token produced has no key and value yet, and an accepted draft that ended the sequence needs none.
        sequence.computed = (sequence.computed + part.rows + verified.accepted).min(sequence.tokens.len() - 1);
        let finish = match sequence.state {
            State::Finished(reason) => Some(reason),
            State::Waiting | State::Running => None,
        };
        self.trim(part.sequence);
        for drafter in &mut self.parts.drafters {
            drafter.extend(part.sequence, &verified.tokens);
        }
        SequenceStep {
            sequence: part.sequence,
            rows: part.rows,
            source: part.source.filter(|_| !part.draft.is_empty()),
            proposed: part.draft.len(),
            accepted: verified.accepted,
            tokens: verified.tokens,
            text: verified.text,
            finish,
        }
    }

    /// Returns the blocks behind the computed tokens: those of rejected drafts.
    fn trim(&mut self, id: SequenceId) {
        let block_tokens = self.cache().block_tokens;
        let sequence = self.sequences.get_mut(&id).expect("a planned sequence exists");
        let keep = sequence.computed.div_ceil(block_tokens);
        sequence.release_behind(keep, &mut self.pool);
    }

    fn roll_back(&mut self, parts: &[Part]) {
        for part in parts {
            self.trim(part.sequence);
        }
    }

    fn account(&mut self, step: &SequenceStep, duration: Duration) {
        let sequence = self.sequences.get_mut(&step.sequence).expect("a committed sequence exists");
        sequence.report.account(step, duration);
    }
}
