//! From what was observed and measured to the figures of the report.

use veridraft_engine::evaluation::fitness::{
    AtPosition, Fitness, GuessedStep, at_positions, mean_acceptance_length, speed_up,
};

use super::super::cost::Costs;
use super::report::{Best, DraftLength, DraftReport, Pass, Position};
use super::timing::Timed;
use crate::figures::{milliseconds, rounded};

/// What passes cost.
pub(super) struct Measured<'a> {
    pub(super) costs: &'a Costs,
    /// Cached tokens behind which a pass of the report is.
    pub(super) context: usize,
    pub(super) draft_max: usize,
}

/// What a `--draft` would do.
pub(super) fn predictions(draft: String, fitness: &Fitness, timed: &Timed, measured: &Measured) -> DraftReport {
    let lengths: Vec<_> = (1..=measured.draft_max).map(|length| at_length(length, fitness, timed, measured)).collect();
    let plain = Best { draft_length: 0, speed_up: 1.0 };
    let best = lengths.iter().fold(plain, |best, length| match length.speed_up {
        Some(speed_up) if speed_up > best.speed_up => Best { draft_length: length.draft_length, speed_up },
        _ => best,
    });
    let positions = at_positions(&fitness.texts, measured.draft_max);
    DraftReport {
        draft,
        guessed: share(fitness.guessed, fitness.tokens),
        overlap: rounded(fitness.overlap),
        same_best: rounded(fitness.same_best),
        acceptance: rounded(fitness.accepted),
        positions: (1..).zip(&positions).map(position).collect(),
        draft_lengths: lengths,
        best,
    }
}

/// The passes of the report.
pub(super) fn forward(measured: &Measured) -> Vec<Pass> {
    let curve = measured.costs.at(measured.context);
    let points = curve.points().iter();
    points
        .map(|&(rows, time)| Pass { rows, median_ms: milliseconds(time), ratio: rounded(curve.ratio(rows)) })
        .collect()
}

fn at_length(length: usize, fitness: &Fitness, timed: &Timed, measured: &Measured) -> DraftLength {
    let (tables, model) = (timed.tables[length - 1], timed.model[length - 1]);
    let passes = |guessed: bool| if guessed { tables + model } else { tables };
    let step = |step: &GuessedStep| {
        let curve = measured.costs.at(step.cached());
        curve.seconds(step.rows()) + curve.seconds(1) * passes(step.guessed.is_of_model)
    };
    let plain = |cached: usize| measured.costs.at(cached).seconds(1);
    let steps: Vec<_> = fitness.texts.iter().flat_map(|text| text.steps(length)).collect();
    let of_model = steps.iter().filter(|step| step.guessed.is_of_model).count();
    let single = measured.costs.at(measured.context).single();
    DraftLength {
        draft_length: length,
        mean_acceptance_length: rounded(mean_acceptance_length(&fitness.texts, length).unwrap_or(1.0)),
        draft_ms: milliseconds(single.mul_f64(tables + model * of_model as f64 / steps.len().max(1) as f64)),
        speed_up: speed_up(&fitness.texts, length, step, plain).map(rounded),
    }
}

fn position((position, at): (usize, &AtPosition)) -> Position {
    let AtPosition { proposed, decided, accepted } = *at;
    Position { position, proposed, accepted, agreement: (decided > 0).then(|| share(accepted, decided)) }
}

fn share(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { rounded(part as f64 / all as f64) }
}
