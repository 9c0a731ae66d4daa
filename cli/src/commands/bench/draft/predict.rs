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
    let step = |step: &GuessedStep| {
        let curve = measured.costs.at(step.cached());
        let drafting = if step.guessed.is_of_model { tables + model } else { tables };
        curve.seconds(step.rows()) + curve.seconds(1) * drafting
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

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use veridraft_engine::evaluation::fitness::{Guessed, GuessedText};

    use super::*;
    use crate::commands::bench::cost::CostCurve;

    /// A pass takes 10 ms and 1 ms for each further row; tables take a tenth of a pass, a model half a pass a token.
    pub(in super::super) fn fixed_draft() -> (DraftReport, Vec<Pass>) {
        let curve = || CostCurve::known((1..=4).map(|rows| (rows, Duration::from_millis(9 + rows as u64))).collect());
        let costs = Costs { ends: [(0, curve()), (256, curve())] };
        let measured = Measured { costs: &costs, context: 100, draft_max: 3 };
        let guess = |(proposed, accepted, is_of_model)| Guessed { proposed, accepted, is_of_model };
        let all = [(0, 0, false), (3, 1, true), (0, 0, false), (2, 2, false), (0, 0, false), (0, 0, false)];
        let texts = vec![GuessedText { context: 20, guesses: all.map(guess).to_vec() }];
        let fitness = Fitness { texts, tokens: 6, guessed: 2, overlap: 0.75, same_best: 0.5, accepted: 1.0 };
        let timed = Timed { tables: vec![0.1; 3], model: vec![0.5, 1.0, 1.5] };
        (predictions("suffix+model=small".to_owned(), &fitness, &timed, &measured), forward(&measured))
    }

    #[test]
    fn costs_and_steps_make_the_figures() {
        let (report, passes) = fixed_draft();
        let found = serde_json::to_value(&report).expect("plain data");
        assert_eq!(found["guessed"], 0.333);
        assert_eq!(
            found["positions"][0],
            serde_json::json!({"position": 1, "proposed": 2, "accepted": 2, "agreement": 1.0})
        );
        assert_eq!(found["positions"][2]["agreement"], serde_json::Value::Null);
        // Steps of 1, 2, 2 and 1 tokens; without the first, five tokens in passes of 2, 2 and 1 rows, one draft of the model's.
        let seconds = 11.0 + 6.0 + 11.0 + 1.0 + 10.0 + 1.0;
        assert_eq!(found["draft_lengths"][0]["mean_acceptance_length"], 1.5);
        assert_eq!(found["draft_lengths"][0]["speed_up"], rounded(50.0 / seconds));
        assert_eq!(found["draft_lengths"][0]["draft_ms"], rounded(1.0 + 5.0 / 4.0));
        // Steps of 1, 2 and 3 tokens at a draft length of 2.
        let seconds = 12.0 + 11.0 + 12.0 + 1.0;
        assert_eq!(found["draft_lengths"][1]["speed_up"], rounded(50.0 / seconds));
        assert_eq!(report.best, Best { draft_length: 2, speed_up: rounded(50.0 / seconds) });
        assert_eq!(passes.iter().map(|pass| pass.ratio).collect::<Vec<_>>(), [1.0, 1.1, 1.2, 1.3]);
    }
}
