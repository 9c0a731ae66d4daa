//! What a pass gave becomes the sequences' state.

use std::collections::BTreeMap;

use veridraft_models::Logits;

use super::Engine;
use super::batch::slot;
use super::step::Part;
use crate::choice::{Guesses, Load};
use crate::report::{DraftedToken, Outcome, SequenceStep, StepReport};
use crate::sampling::TokenLogprobs;
use crate::sequence::{Sequence, State};
use crate::verify::{Verified, verify};

impl Engine {
    /// Verifies every part and commits its tokens, text and blocks.
    pub(super) fn commit(&mut self, parts: &[Part], logits: &Logits, report: &mut StepReport) {
        let verified: Vec<_> = parts.iter().map(|part| self.verify(part, logits)).collect();
        let moved = self.compact(parts, &verified);
        if let Err(error) = &moved {
            report.failures.push(format!("accepted rows could not be moved and are computed again: {error}"));
        }
        let plain = self.plain_load(parts);
        for (part, (verified, prompt_logprobs)) in parts.iter().zip(verified) {
            self.score(part, &verified);
            let step = self.settle(part, verified, prompt_logprobs, moved.is_ok());
            self.credit(part, &step, plain, report.rows);
            report.sequences.push(step);
        }
    }

    fn verify(&mut self, part: &Part, logits: &Logits) -> (Verified, Vec<TokenLogprobs>) {
        let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
        let Some(rows) = part.logits else { return <_>::default() };
        let prompt = rows.prompt.map(|first| score_prompt(sequence, part.rows, logits, first, rows.end));
        let verified = rows.end.map(|first| verify(sequence, &part.guesses.draft, logits, first, &*self.parts.decoder));
        (verified.unwrap_or_default(), prompt.unwrap_or_default())
    }

    /// Moves the accepted rows of trees to the slots of their positions.
    fn compact(&mut self, parts: &[Part], verified: &[(Verified, Vec<TokenLogprobs>)]) -> veridraft_models::Result<()> {
        let block_tokens = self.cache().block_tokens;
        let mut copies = Vec::new();
        for (part, (verified, _)) in parts.iter().zip(verified) {
            let sequence = &self.sequences[&part.sequence];
            let first = sequence.computed + part.rows;
            let moved = verified.path.iter().enumerate().filter(|(depth, node)| depth != *node);
            copies.extend(moved.map(|(depth, node)| {
                (slot(sequence, first + node, block_tokens), slot(sequence, first + depth, block_tokens))
            }));
        }
        if copies.is_empty() { Ok(()) } else { self.parts.model.copy_slots(&copies) }
    }

    fn settle(
        &mut self,
        part: &Part,
        verified: Verified,
        prompt_logprobs: Vec<TokenLogprobs>,
        is_compact: bool,
    ) -> SequenceStep {
        let in_place = verified.path.iter().enumerate().take_while(|(depth, node)| depth == *node).count();
        let standing = if is_compact { verified.path.len() } else { in_place };
        let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
        // The last token produced has no key and value yet, and an accepted draft that ended the sequence needs none.
        sequence.computed = (sequence.computed + part.rows + standing).min(sequence.tokens.len() - 1);
        self.settle_blocks(part);
        for drafter in &mut self.parts.drafters {
            drafter.extend(part.sequence, &verified.tokens);
        }
        let sequence = &self.sequences[&part.sequence];
        let finish = match sequence.state {
            State::Finished(reason) => Some(reason),
            State::Waiting | State::Running => None,
        };
        let draft = self.drafted(&part.guesses, &verified.path);
        SequenceStep {
            sequence: part.sequence,
            rows: part.rows,
            sources: outcomes(&draft),
            proposed: draft.len(),
            accepted: verified.path.len(),
            depth: part.guesses.draft.depth(),
            draft,
            tokens: verified.tokens,
            text: verified.text,
            logprobs: verified.logprobs,
            prompt_logprobs,
            finish,
            failure: verified.failure.map(|error| error.to_string()),
        }
    }

    /// Enters full blocks into the prefix cache and returns what is not needed.
    fn settle_blocks(&mut self, part: &Part) {
        let shares = self.parts.model.limits().share_blocks;
        let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
        if shares && sequence.source.is_none() {
            let Sequence { tokens, block_table, cached, computed, .. } = sequence;
            self.prefixes.enter(&tokens[..*computed], block_table, cached, &mut self.pool);
        }
        if self.has_finished(part.sequence) {
            let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
            sequence.release(&mut self.pool, &mut self.prefixes);
        } else {
            self.trim(part.sequence);
        }
    }

    /// What was verified, with the nodes of `path` accepted.
    fn drafted(&self, guesses: &Guesses, path: &[usize]) -> Vec<DraftedToken> {
        let nodes = guesses.draft.nodes.iter().zip(&guesses.guesses).enumerate();
        let drafted = nodes.map(|(place, (node, guess))| DraftedToken {
            token: node.token,
            parent: node.parent,
            source: self.source_name(guess.source),
            is_accepted: path.contains(&place),
        });
        drafted.collect()
    }

    /// The pass as it would have been without drafts.
    fn plain_load(&self, parts: &[Part]) -> Load {
        let mut load = self.load(parts);
        for part in parts {
            let drafted = part.guesses.draft.nodes.len();
            load.rows -= drafted;
            load.row_context -= drafted * self.sequences[&part.sequence].computed;
        }
        load
    }

    /// Books what each drafter saved and took: an accepted token saves a sequence its share of a pass without drafts, a
    /// row takes its share of what drafts added to this one.
    fn credit(&mut self, part: &Part, step: &SequenceStep, plain: Load, rows: usize) {
        let costs = &self.parts.costs;
        let share = Load { rows: 1, context: plain.context / plain.rows, row_context: plain.row_context / plain.rows };
        let drafted = rows - plain.rows;
        let token = if plain.rows == part.rows { costs.time(share) } else { costs.time(plain) / plain.rows as f64 };
        let added = costs.time(Load { rows, ..plain }) - costs.time(plain);
        let row = if drafted == 0 { 0.0 } else { added / drafted as f64 };
        let names: Vec<_> = (0..self.sources.len()).map(|source| self.source_name(source)).collect();
        let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
        for (name, outcome) in &step.sources {
            let source = sequence.report.sources.entry(name).or_default();
            source.gain += outcome.accepted as f64 * token - outcome.proposed as f64 * row;
        }
        for proposal in &part.proposals {
            let source = sequence.report.sources.entry(names[proposal.source]).or_default();
            source.duration += proposal.took;
            source.gain -= proposal.took.as_secs_f64();
        }
    }
}

fn outcomes(draft: &[DraftedToken]) -> BTreeMap<&'static str, Outcome> {
    let mut outcomes: BTreeMap<_, Outcome> = BTreeMap::new();
    for token in draft {
        let outcome = outcomes.entry(token.source).or_default();
        outcome.proposed += 1;
        outcome.accepted += usize::from(token.is_accepted);
    }
    outcomes
}

/// Log-probabilities of the prompt's tokens behind the rows just computed, those given before left out.
fn score_prompt(
    sequence: &mut Sequence,
    rows: usize,
    logits: &Logits,
    first: usize,
    end: Option<usize>,
) -> Vec<TokenLogprobs> {
    let Some(top) = sequence.logprobs.prompt else { return Vec::new() };
    let count = rows - usize::from(end.is_some());
    let mut scores = Vec::new();
    for (row, position) in (first..first + count).zip(sequence.computed + 1..sequence.prompt_length) {
        if position >= sequence.scored {
            scores.push(TokenLogprobs::new(logits.row(row), sequence.tokens[position], top));
            sequence.scored = position + 1;
        }
    }
    scores
}
