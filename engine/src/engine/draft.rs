//! Who drafts how much: drafters are asked, their guesses merged into a tree a sequence, and the tree is cut where rows
//! no longer pay for themselves.
//!
//! A drafter that takes microseconds is asked for every sequence at every step and scored against the tokens that come,
//! whether its guesses were verified or not. A draft model is asked where it is expected to pay for its passes.
//!
//! Rejection sampling is exact only where nothing chooses among guesses by what was drawn: there a sequence verifies one
//! drafter's proposal, and one that was drawn is verified whole, whatever else is proposed: whoever draws was asked
//! because it was expected to do better, before it drew.

use std::collections::HashMap;
use std::time::Duration;

use super::Engine;
use super::inquiry::Inquiry;
use super::step::{Part, Proposal};
use crate::Verification;
use crate::choice::{Adjustment, Calibration, Guesses, Load, Wanted, select};
use crate::drafters::{Draft, DraftRequest, Effort};
use crate::report::StepReport;
use crate::sequence::Sequence;
use crate::verify::Verified;

/// Nodes that a tree of guesses has at most, for each level that it may have.
pub(super) const NODES_A_LEVEL: usize = 2;
/// Alternatives behind one token, at most.
pub(super) const CHILDREN: usize = 4;
/// Tokens that a draft model has to catch up with after a proposal of which some were right: the bonus token, and the
/// last guess, which it had no need to compute.
const USUAL_BACKLOG: usize = 2;
/// Confidence in what a constraint forces: another cut of the same text into tokens would be allowed too.
const FORCED: f32 = 0.98;
/// How fast the measured time of a proposal follows the latest.
const RATE: f64 = 0.2;
/// How many times its usual time a proposal counts for, at most.
const MOST_SLOWER: f64 = 4.0;
/// What is left of a draft model's record after a step that did not ask it.
const FADE: f64 = 0.995;

/// What is known of a drafter.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    calibration: Calibration,
    /// Seconds of a level of a proposal for all sequences of a step.
    level_seconds: f64,
    /// It failed.
    is_retired: bool,
}

impl Engine {
    /// Fills in what each part verifies.
    pub(super) fn draft(&mut self, parts: &mut [Part], report: &mut StepReport) {
        if parts.iter().all(|part| part.depth_max == 0) {
            return;
        }
        parts.iter_mut().for_each(|part| self.force(part));
        for source in self.sources_of(Effort::Table) {
            self.ask(&self.table_inquiry(source, parts), parts, report);
        }
        self.choose(parts);
        for source in self.sources_of(Effort::Model) {
            let inquiry = self.model_inquiry(source, parts);
            if inquiry.is_empty() {
                self.sources[source].rest();
                continue;
            }
            self.ask(&inquiry, parts, report);
            self.choose(parts);
        }
    }

    /// Scores every proposal of a part against the tokens that came.
    pub(super) fn score(&mut self, part: &Part, verified: &Verified) {
        self.path_record.score(&part.merged, &verified.tokens);
        let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
        for proposal in &part.proposals {
            let adjustment = &mut sequence.adjustments[proposal.source];
            self.sources[proposal.source].calibration.score(&proposal.draft, &verified.tokens, adjustment);
        }
    }

    /// The name of a drafter, or of what constraints force.
    pub(super) fn source_name(&self, source: usize) -> &'static str {
        self.parts.drafters.get(source).map_or("grammar", |drafter| drafter.name())
    }

    /// Proposes the tokens that a sequence's constraint leaves no choice about.
    fn force(&mut self, part: &mut Part) {
        let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
        let Some(constraint) = sequence.constraint.as_mut().filter(|_| part.depth_max > 0) else { return };
        let before = (self.parts.clock)();
        let draft = Draft::chain(constraint.forced(part.depth_max).into_iter().map(|token| (token, FORCED)));
        let took = (self.parts.clock)().saturating_sub(before);
        part.proposals.push(Proposal { source: self.parts.drafters.len(), draft, took });
    }

    fn sources_of(&self, effort: Effort) -> Vec<usize> {
        let asked =
            |&source: &usize| !self.sources[source].is_retired && self.parts.drafters[source].effort() == effort;
        (0..self.parts.drafters.len()).filter(asked).collect()
    }

    /// Lets a drafter propose; one that fails is not asked again.
    fn ask(&mut self, inquiry: &Inquiry, parts: &mut [Part], report: &mut StepReport) {
        let wanted: Vec<_> = parts.iter().filter_map(|part| self.request(inquiry, part)).collect();
        if wanted.is_empty() {
            return;
        }
        let source = inquiry.source;
        let backlog = wanted.iter().map(|request| self.parts.drafters[source].backlog(request.sequence)).max();
        let before = (self.parts.clock)();
        let proposed = self.propose(source, &wanted);
        let took = self.since(before);
        let drafts = match proposed {
            Ok(drafts) => drafts,
            Err(reason) => {
                let name = self.parts.drafters[source].name();
                report.failures.push(format!("drafter `{name}` failed and is not asked again: {reason}"));
                self.sources[source].is_retired = true;
                return;
            }
        };
        if backlog <= Some(USUAL_BACKLOG) {
            let levels = drafts.iter().map(Draft::depth).max().unwrap_or(0).max(1);
            self.sources[source].took(took, levels);
        }
        let share = took / u32::try_from(wanted.len()).unwrap_or(u32::MAX);
        let mut drafts: HashMap<_, _> = wanted.iter().map(|request| request.sequence).zip(drafts).collect();
        for part in parts {
            if let Some(mut draft) = drafts.remove(&part.sequence) {
                let sequence = self.sequences.get_mut(&part.sequence).expect("a planned sequence exists");
                if let Some(constraint) = &mut sequence.constraint {
                    draft.keep_paths(|tokens| constraint.accepts(tokens));
                }
                part.proposals.push(Proposal { source, draft, took: share });
            }
        }
    }

    fn propose(&mut self, source: usize, wanted: &[DraftRequest]) -> Result<Vec<Draft>, String> {
        let vocabulary = self.parts.model.vocabulary();
        let mut drafts = self.parts.drafters[source].propose(wanted).map_err(|error| error.to_string())?;
        if drafts.len() != wanted.len() {
            return Err(format!("it gave {} drafts, expected {}", drafts.len(), wanted.len()));
        }
        drafts.iter().try_for_each(|draft| draft.check(vocabulary))?;
        for (draft, request) in drafts.iter_mut().zip(wanted) {
            draft.truncate(request);
        }
        Ok(drafts)
    }

    /// Merges each part's proposals and keeps what is worth its rows.
    fn choose(&mut self, parts: &mut [Part]) {
        for part in parts.iter_mut() {
            part.merged = self.merge(part);
            part.guesses = part.merged.clone();
            self.path_record.correct(&mut part.guesses);
        }
        let wanted: Vec<_> = parts.iter().map(|part| self.wanted(part)).collect();
        let base = self.base_load(parts);
        let room = self.parts.model.limits().max_rows.saturating_sub(base.all.rows);
        let time = |rows: usize, row_context: usize| self.decoding_time(base, rows, row_context);
        let selection = select(&wanted, room, base.decoding.rows.max(1), time);
        self.price = selection.price;
        for (part, nodes) in parts.iter_mut().zip(selection.nodes) {
            part.guesses = part.guesses.prune(&nodes);
        }
    }

    fn merge(&self, part: &Part) -> Guesses {
        let sequence = &self.sequences[&part.sequence];
        let proposals = part.proposals.iter().filter(|proposal| !proposal.draft.nodes.is_empty());
        let mut guesses = Guesses::default();
        if self.grows_tree(sequence) && sequence.verification != Verification::Rejection {
            for proposal in proposals {
                guesses.add(proposal.source, &proposal.draft, &self.paths(sequence, proposal));
            }
            return guesses;
        }
        let worth = |proposal: &&Proposal| {
            let paths = self.paths(sequence, proposal);
            paths.iter().map(|path| (path - self.price).max(0.0)).sum::<f64>()
        };
        let best = match sequence.has_fixed_drafts() {
            true => { proposals }.next(),
            false => {
                let drawn = proposals.clone().find(|proposal| proposal.draft.is_drawn());
                // Of equals the first, which `max_by` would pass over.
                drawn.or_else(|| proposals.rev().max_by(|a, b| worth(a).total_cmp(&worth(b))))
            }
        };
        if let Some(proposal) = best {
            guesses.add(proposal.source, &proposal.draft, &self.paths(sequence, proposal));
        }
        guesses
    }

    fn wanted(&self, part: &Part) -> Wanted {
        let sequence = &self.sequences[&part.sequence];
        let is_whole = part.guesses.draft.is_drawn() && sequence.verification == Verification::Rejection;
        let least = *sequence.draft_levels.start();
        Wanted {
            paths: part.guesses.guesses.iter().map(|guess| guess.path).collect(),
            least: if is_whole { part.guesses.guesses.len() } else { part.guesses.leading_chain(least) },
            context: sequence.computed + part.rows,
        }
    }

    pub(super) fn grows_tree(&self, sequence: &Sequence) -> bool {
        self.parts.model.limits().tree && !sequence.has_fixed_drafts()
    }

    fn paths(&self, sequence: &Sequence, proposal: &Proposal) -> Vec<f64> {
        let adjustment = sequence.adjustments[proposal.source];
        self.sources[proposal.source].calibration.paths(&proposal.draft, adjustment)
    }

    /// Seconds of a step with so many drafted rows. Rows of prompts would be computed anyway, so they do not count.
    pub(super) fn decoding_time(&self, base: BaseLoad, rows: usize, row_context: usize) -> f64 {
        let costs = &self.parts.costs;
        let load = Load { rows: base.all.rows + rows, row_context: base.all.row_context + row_context, ..base.all };
        costs.time(load) - costs.time(base.all) + costs.time(base.decoding)
    }

    pub(super) fn base_load(&self, parts: &[Part]) -> BaseLoad {
        let mut base = BaseLoad::default();
        for part in parts {
            let context = self.sequences[&part.sequence].computed;
            let load = Load { rows: part.rows, context, row_context: part.rows * context };
            base.all = base.all + load;
            if part.rows == 1 {
                base.decoding = base.decoding + load;
            }
        }
        base.decoding.rows = base.decoding.rows.max(1);
        base
    }
}

/// The rows of a step without drafts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BaseLoad {
    all: Load,
    /// Those of sequences that compute one token.
    decoding: Load,
}

impl Source {
    /// How likely a guess is right on a sequence, whatever its confidence.
    pub(super) fn mean(&self, adjustment: Adjustment) -> f64 {
        self.calibration.mean(adjustment)
    }

    /// Seconds of a level of a proposal for all sequences of a step.
    pub(super) fn level_seconds(&self) -> f64 {
        self.level_seconds
    }

    fn took(&mut self, took: Duration, levels: usize) {
        let found = took.as_secs_f64() / levels as f64;
        let is_first = self.level_seconds == 0.0;
        // One slow call, of a page read from disk or a machine that paused, must not decide for long.
        let found = if is_first { found } else { found.min(MOST_SLOWER * self.level_seconds) };
        self.level_seconds = if is_first { found } else { self.level_seconds + RATE * (found - self.level_seconds) };
    }

    /// Forgets a little, of its record and of what it takes, so that a source that was given up is tried again some day.
    fn rest(&mut self) {
        self.calibration.fade(FADE);
        self.level_seconds *= FADE;
    }
}
