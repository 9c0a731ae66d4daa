//! What `veridraft bench speculate` reports: the object of `--json`, from which table and page are made.

use std::time::Duration;

use serde::Serialize;
use veridraft_engine::measure::Spread;

use super::super::cost::{CostCurve, Costs};
use super::hindsight::hindsight;
use super::measure::{Measured, Run, Totals, decoding, middle};
use super::statistics::{Pair, bootstrap_interval, speed_up};
use crate::figures::{milliseconds, rounded};
use crate::set_up::{Generation, Step};

/// The object of `--json`; times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SpeculateReport {
    #[serde(flatten)]
    pub(super) subject: Subject,
    /// Prompts measured; each is answered by every case.
    pub(super) prompts: usize,
    pub(super) baseline: Baseline,
    pub(super) set_ups: Vec<SetUpReport>,
    pub(super) forward: Vec<Pass>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Subject {
    pub(super) model: String,
    pub(super) weights: String,
    pub(super) path: String,
    pub(super) seed: u64,
    pub(super) max_tokens: usize,
    pub(super) draft_max: usize,
}

/// Plain decoding.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Baseline {
    pub(super) tokens_per_second: f64,
    pub(super) tokens: usize,
    pub(super) time_ms: TimeShares,
    pub(super) categories: Vec<BaselineCategory>,
}

/// Plain decoding of one category.
#[derive(Clone, Debug, Serialize)]
pub(super) struct BaselineCategory {
    pub(super) category: String,
    pub(super) prompts: usize,
    pub(super) tokens_per_second: f64,
}

/// One `--draft`, by the string typed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SetUpReport {
    pub(super) draft: String,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) positions: Vec<Position>,
    pub(super) categories: Vec<Category>,
}

/// One `--draft` on one category.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Category {
    pub(super) category: String,
    pub(super) prompts: usize,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// What drafting gave on some prompts.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// Tokens a second by that of plain decoding; none when an answer was too short to be timed.
    pub(super) speed_up: Option<f64>,
    /// 95 %, by bootstrap over prompts; none for a single prompt.
    pub(super) speed_up_interval: Option<[f64; 2]>,
    pub(super) tokens_per_second: f64,
    /// Tokens a forward pass (τ).
    pub(super) mean_acceptance_length: f64,
    /// Accepted by proposed.
    pub(super) acceptance_rate: f64,
    pub(super) time_ms: TimeShares,
    pub(super) allowed: Allowed,
}

/// Where the time of decoding went.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct TimeShares {
    /// Proposing.
    pub(super) draft: f64,
    /// Forward passes of the target.
    pub(super) verify: f64,
    /// Scheduling, sampling and bookkeeping.
    pub(super) other: f64,
}

/// What the run's own guesses and the measured costs allow; `hindsight.rs` has the formula.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Allowed {
    pub(super) speed_up: f64,
    pub(super) draft_length: usize,
    /// T(1 + draft length) / T(1).
    pub(super) cost_ratio: f64,
    /// Time of drafting a pass by T(1).
    pub(super) draft_cost: f64,
    /// For each draft length from 0 on.
    pub(super) by_draft_length: Vec<f64>,
}

/// The guesses at one place of a draft, the first being 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Position {
    pub(super) position: usize,
    /// Drafts that had a guess here.
    pub(super) proposed: usize,
    /// Drafts of which this guess and all before it were right.
    pub(super) accepted: usize,
}

/// Forward passes of one row count.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Pass {
    pub(super) rows: usize,
    /// Measured apart, in turn with the other row counts.
    pub(super) median_ms: f64,
    /// T(k)/T(1) of that.
    pub(super) ratio: f64,
    /// Passes of the run that had this many rows, all cases together, and their median.
    pub(super) run_passes: usize,
    pub(super) run_median_ms: Option<f64>,
}

impl SpeculateReport {
    /// `drafts` names the cases behind the first.
    pub(super) fn new(subject: Subject, drafts: &[String], run: &Run, costs: &Costs) -> Self {
        let all: Vec<_> = run.prompts.iter().collect();
        let baseline = totals(&all, 0);
        let categories = run.categories();
        let middle = costs.at(middle(&run.prompts));
        let set_up = |(case, draft): (usize, &String)| SetUpReport {
            draft: draft.clone(),
            figures: Figures::new(&all, case, subject.draft_max, costs),
            positions: positions(&all, case),
            categories: categories
                .iter()
                .map(|(name, prompts)| Category {
                    category: name.clone(),
                    prompts: prompts.len(),
                    figures: Figures::new(prompts, case, subject.draft_max, costs),
                })
                .collect(),
        };
        Self {
            prompts: all.len(),
            baseline: Baseline {
                tokens_per_second: tokens_per_second(baseline),
                tokens: baseline.emitted,
                time_ms: TimeShares::of(baseline),
                categories: categories
                    .iter()
                    .map(|(name, prompts)| BaselineCategory {
                        category: name.clone(),
                        prompts: prompts.len(),
                        tokens_per_second: tokens_per_second(totals(prompts, 0)),
                    })
                    .collect(),
            },
            set_ups: (1..).zip(drafts).map(set_up).collect(),
            forward: middle.points().iter().map(|&point| pass(point, run, &middle)).collect(),
            subject,
        }
    }
}

impl Figures {
    fn new(prompts: &[&Measured], case: usize, draft_max: usize, costs: &Costs) -> Self {
        let pairs: Vec<_> = prompts.iter().map(|prompt| Pair::new(prompt.totals(case), prompt.totals(0))).collect();
        let totals = totals(prompts, case);
        Self {
            speed_up: speed_up(pairs.iter().copied()).map(rounded),
            speed_up_interval: bootstrap_interval(&pairs).map(|interval| interval.map(rounded)),
            tokens_per_second: tokens_per_second(totals),
            mean_acceptance_length: rounded(ratio(totals.emitted, totals.passes)),
            acceptance_rate: rounded(ratio(totals.accepted, totals.proposed)),
            time_ms: TimeShares::of(totals),
            allowed: allowed(prompts, case, draft_max, costs),
        }
    }
}

impl TimeShares {
    fn of(totals: Totals) -> Self {
        let other = totals.decode.saturating_sub(totals.forward + totals.drafting);
        Self { draft: milliseconds(totals.drafting), verify: milliseconds(totals.forward), other: milliseconds(other) }
    }

    /// Percent of their sum: draft, verify, other.
    pub(super) fn percent(self) -> [f64; 3] {
        let sum = self.draft + self.verify + self.other;
        [self.draft, self.verify, self.other].map(|part| if sum == 0.0 { 0.0 } else { part / sum * 100.0 })
    }
}

fn totals(prompts: &[&Measured], case: usize) -> Totals {
    prompts.iter().map(|prompt| prompt.totals(case)).sum()
}

fn allowed(prompts: &[&Measured], case: usize, draft_max: usize, costs: &Costs) -> Allowed {
    let replayed: Vec<_> = prompts.iter().flat_map(|prompt| prompt.priced(case, costs)).collect();
    let totals = totals(prompts, case);
    let costs = costs.at(middle(prompts.iter().copied()));
    // The machine may be slower during the run than when the curve was taken, so both times are of the run.
    let single = run_median(prompts.iter().flat_map(|prompt| prompt.answers(0)), 1).unwrap_or(costs.single());
    let passes = totals.decode_passes.max(1) as f64;
    let draft_cost = totals.drafting.as_secs_f64() / passes / single.as_secs_f64();
    let best = hindsight(&replayed, draft_max, draft_cost);
    Allowed {
        speed_up: rounded(best.speed_up),
        draft_length: best.draft_length,
        cost_ratio: rounded(costs.ratio(1 + best.draft_length)),
        draft_cost: rounded(draft_cost),
        by_draft_length: best.speed_ups.into_iter().map(rounded).collect(),
    }
}

fn positions(prompts: &[&Measured], case: usize) -> Vec<Position> {
    let answers = prompts.iter().flat_map(|prompt| prompt.answers(case));
    let steps: Vec<&Step> = answers.flat_map(|answer| &answer.steps).collect();
    let deepest = steps.iter().map(|step| step.depth).max().unwrap_or(0);
    let count = |reaches: &dyn Fn(&Step) -> bool| steps.iter().filter(|step| reaches(step)).count();
    let position = |position| Position {
        position,
        proposed: count(&|step| step.depth >= position),
        accepted: count(&|step| step.accepted >= position),
    };
    (1..=deepest).map(position).collect()
}

fn pass((rows, median): (usize, Duration), run: &Run, costs: &CostCurve) -> Pass {
    let answers = || run.prompts.iter().flat_map(|prompt| &prompt.turns).flat_map(|turn| &turn.answers);
    Pass {
        rows,
        median_ms: milliseconds(median),
        ratio: rounded(costs.ratio(rows)),
        run_passes: answers().flat_map(decoding).filter(|step| step.rows == rows).count(),
        run_median_ms: run_median(answers(), rows).map(milliseconds),
    }
}

/// The median forward time of decoding passes of `rows` rows.
fn run_median<'a>(answers: impl Iterator<Item = &'a Generation>, rows: usize) -> Option<Duration> {
    let times: Vec<_> = answers.flat_map(decoding).filter(|step| step.rows == rows).map(|step| step.forward).collect();
    (!times.is_empty()).then(|| Spread::of(&times).median)
}

fn tokens_per_second(totals: Totals) -> f64 {
    let seconds = totals.decode.as_secs_f64();
    if seconds == 0.0 { 0.0 } else { rounded(totals.decode_tokens as f64 / seconds) }
}

fn ratio(numerator: usize, denominator: usize) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}

#[cfg(test)]
pub(super) mod tests;
