//! Who drafts how much: drafters are asked, their guesses merged into a tree a sequence, and the tree is cut where rows
//! no longer pay for themselves.
//!
//! A drafter that takes microseconds is asked for every sequence at every step and scored against the tokens that come,
//! whether its guesses were verified or not. A draft model is asked where it is expected to pay for its passes.
//!
//! Rejection sampling is exact only where nothing chooses among guesses by what was drawn: there a sequence verifies one
//! drafter's proposal, and one that was drawn is verified whole.

use std::collections::HashMap;
use std::time::Duration;

use super::Engine;
use super::step::{Part, Proposal};
use crate::choice::{Calibration, Guesses, Load, Wanted, expected, levels, select};
use crate::drafters::{Draft, DraftRequest, Effort};
use crate::report::StepReport;
use crate::sequence::Sequence;
use crate::verify::Verified;
use crate::{SequenceId, Verification};

/// Nodes that a tree of guesses has at most, for each level that it may have.
const NODES_A_LEVEL: usize = 2;
/// Alternatives behind one token, at most.
const CHILDREN: usize = 4;
/// Tokens that a draft model has to catch up with after a proposal of which some were right: the bonus token, and the
/// last guess, which it had no need to compute.
const USUAL_BACKLOG: usize = 2;
/// Confidence in what a constraint forces: another cut of the same text into tokens would be allowed too.
const FORCED: f32 = 0.98;
/// How fast the measured time of a proposal follows the latest.
const RATE: f64 = 0.2;
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

/// What a drafter is asked for.
struct Inquiry {
    source: usize,
    /// Levels, for those asked about.
    levels: HashMap<SequenceId, usize>,
    least_probability: f32,
    least_to_go_on: f32,
}

impl Engine {
    /// Fills in what each part verifies.
    pub(super) fn draft(&mut self, parts: &mut [Part], report: &mut StepReport) {
        if parts.iter().all(|part| part.depth_max == 0) {
            return;
        }
        parts.iter_mut().for_each(|part| self.force(part));
        for source in self.sources_of(Effort::Table) {
            let levels = parts.iter().map(|part| (part.sequence, part.depth_max)).collect();
            self.ask(&Inquiry { source, levels, least_probability: 0.0, least_to_go_on: 0.0 }, parts, report);
        }
        self.choose(parts);
        for source in self.sources_of(Effort::Model) {
            let inquiry = self.model_inquiry(source, parts);
            if inquiry.levels.values().all(|&levels| levels == 0) {
                self.sources[source].calibration.fade(FADE);
                continue;
            }
            self.ask(&inquiry, parts, report);
            self.choose(parts);
        }
    }

    /// Scores every proposal of a part against the tokens that came.
    pub(super) fn score(&mut self, part: &Part, verified: &Verified) {
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
        let took = (self.parts.clock)() - before;
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
        let took = (self.parts.clock)() - before;
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

    fn request(&self, inquiry: &Inquiry, part: &Part) -> Option<DraftRequest> {
        let max_depth = inquiry.levels.get(&part.sequence).copied().filter(|&levels| levels > 0)?;
        let grows = self.grows_tree(&self.sequences[&part.sequence]);
        Some(DraftRequest {
            sequence: part.sequence,
            max_depth,
            max_nodes: if grows { max_depth * NODES_A_LEVEL } else { max_depth },
            max_children: if grows { CHILDREN } else { 1 },
            least_probability: inquiry.least_probability,
            least_to_go_on: inquiry.least_to_go_on,
        })
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
            part.guesses = self.merge(part);
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
            // Of equals the first, which `max_by` would pass over.
            false => proposals.rev().max_by(|a, b| worth(a).total_cmp(&worth(b))),
        };
        if let Some(proposal) = best {
            guesses.add(proposal.source, &proposal.draft, &self.paths(sequence, proposal));
        }
        guesses
    }

    fn wanted(&self, part: &Part) -> Wanted {
        let sequence = &self.sequences[&part.sequence];
        let is_drawn = part.guesses.draft.nodes.iter().any(|node| node.drawn_from.is_some());
        let is_whole = is_drawn && sequence.verification == Verification::Rejection;
        let least = *sequence.draft_levels.start();
        Wanted {
            paths: part.guesses.guesses.iter().map(|guess| guess.path).collect(),
            least: if is_whole { part.guesses.guesses.len() } else { part.guesses.leading_chain(least) },
            context: sequence.computed + part.rows,
        }
    }

    fn grows_tree(&self, sequence: &Sequence) -> bool {
        self.parts.model.limits().tree && !sequence.has_fixed_drafts()
    }

    fn paths(&self, sequence: &Sequence, proposal: &Proposal) -> Vec<f64> {
        let adjustment = sequence.adjustments[proposal.source];
        self.sources[proposal.source].calibration.paths(&proposal.draft, adjustment)
    }

    /// What to ask a draft model for: as many levels as give more tokens a second than what was chosen without it.
    fn model_inquiry(&self, source: usize, parts: &[Part]) -> Inquiry {
        let base = self.base_load(parts);
        let level_seconds = self.sources[source].level_seconds;
        let drafting: Vec<_> = parts.iter().filter(|part| part.depth_max > 0).collect();
        let sure: Vec<f64> = drafting.iter().map(|part| self.typical(source, part)).collect();
        let most = drafting.iter().map(|part| part.depth_max).max().unwrap_or(0);
        let chosen: usize = drafting.iter().map(|part| part.guesses.guesses.len()).sum();
        let tokens: f64 = drafting.iter().map(|part| 1.0 + part.guesses.expected()).sum();
        let rate = tokens / self.decoding_time(base, chosen, 0);
        let seconds =
            |levels: usize| self.decoding_time(base, levels * drafting.len(), 0) + levels as f64 * level_seconds;
        let best = levels(&sure, most, rate, seconds);
        let row = self.decoding_time(base, 1, 0) - self.decoding_time(base, 0, 0);
        let bounds = [row, row + level_seconds / drafting.len().max(1) as f64].map(|seconds| best.rate * seconds);
        let is_forced = |part: &Part| *self.sequences[&part.sequence].draft_levels.start() > 0;
        let wanted = |part: &Part| {
            let sequence = &self.sequences[&part.sequence];
            // Where a table's guesses are as good already, no model is needed.
            let is_served = part.guesses.expected() >= expected(self.typical(source, part), best.levels);
            // Some more than expected, for a text that goes better than most; the bound ends the others.
            let chosen = if is_served { 0 } else { best.levels + best.levels.div_ceil(2) };
            let least = if part.guesses.guesses.is_empty() { *sequence.draft_levels.start() } else { 0 };
            (part.sequence, chosen.max(least).min(part.depth_max))
        };
        let draws = |part: &Part| self.sequences[&part.sequence].verification == Verification::Rejection;
        let is_bound = !parts.iter().any(|part| is_forced(part) || draws(part));
        let [least_probability, least_to_go_on] =
            bounds.map(|bound| if is_bound { bound.clamp(0.0, 0.9) as f32 } else { 0.0 });
        Inquiry { source, levels: parts.iter().map(wanted).collect(), least_probability, least_to_go_on }
    }

    /// How likely a draft model's guess is right on this sequence, by its record.
    fn typical(&self, source: usize, part: &Part) -> f64 {
        self.sources[source].calibration.mean(self.sequences[&part.sequence].adjustments[source])
    }

    /// Seconds of a step with so many drafted rows. Rows of prompts would be computed anyway, so they do not count.
    fn decoding_time(&self, base: BaseLoad, rows: usize, row_context: usize) -> f64 {
        let costs = &self.parts.costs;
        let load = Load { rows: base.all.rows + rows, row_context: base.all.row_context + row_context, ..base.all };
        costs.time(load) - costs.time(base.all) + costs.time(base.decoding)
    }

    fn base_load(&self, parts: &[Part]) -> BaseLoad {
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
struct BaseLoad {
    all: Load,
    /// Those of sequences that compute one token.
    decoding: Load,
}

impl Source {
    fn took(&mut self, took: Duration, levels: usize) {
        let found = took.as_secs_f64() / levels as f64;
        let is_first = self.level_seconds == 0.0;
        self.level_seconds = if is_first { found } else { self.level_seconds + RATE * (found - self.level_seconds) };
    }
}
