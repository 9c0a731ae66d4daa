//! What a forward pass costs by its number of rows, measured beside the run: `T(k)`.

use std::time::Duration;

use anyhow::Result;
use veridraft_engine::measure::{Rounds, Spread, take_turns};
use veridraft_models::{CausalModel, LanguageModel};

use super::super::one_sequence::OneSequence;

/// Passes of every row count.
const PASSES: Rounds = Rounds { least: 9, time: Duration::from_millis(1500) };
/// Row counts that are all measured; of greater ones, every fourth.
const DENSE: usize = 17;

/// What passes cost: behind the mean context of all prompts, and of each category.
pub(super) struct Costs {
    pub(super) all: CostCurve,
    /// In the order of the categories.
    pub(super) categories: Vec<CostCurve>,
}

impl Costs {
    /// Measures a curve for the contexts of all prompts, and one for those of each category.
    pub(super) fn measure(model: CausalModel, draft_max: usize, all: usize, categories: &[usize]) -> Result<Self> {
        let mut sequence = OneSequence { model };
        let mut curve = |&context: &usize| CostCurve::measure(&mut sequence, draft_max, context);
        Ok(Self { all: curve(&all)?, categories: categories.iter().map(curve).collect::<Result<_>>()? })
    }
}

/// The median time of a pass at some row counts, the first being 1.
#[derive(Clone, Debug)]
pub(super) struct CostCurve {
    points: Vec<(usize, Duration)>,
}

impl CostCurve {
    /// Times passes of 1 to `draft_max + 1` rows behind `context` cached tokens, or as many as there is room for.
    pub(super) fn measure(sequence: &mut OneSequence, draft_max: usize, context: usize) -> Result<Self> {
        let most = (1 + draft_max).min(sequence.model.limits().max_rows).min(sequence.room());
        let context = context.min(sequence.room() - most);
        let rows: Vec<_> = (1..=most).filter(|rows| *rows <= DENSE || rows % 4 == 0 || *rows == most).collect();
        sequence.fill(context)?;
        let mut pass = |rows| sequence.time(context..context + rows, rows);
        for &rows in &rows {
            pass(rows)?;
        }
        let times = take_turns(rows.len(), PASSES, |case| pass(rows[case]))?;
        let medians = times.iter().map(|times| Spread::of(times).median);
        Ok(Self { points: rows.iter().copied().zip(medians).collect() })
    }

    /// A curve through times that are known already; the first is of one row.
    #[cfg(test)]
    pub(super) fn known(points: Vec<(usize, Duration)>) -> Self {
        Self { points }
    }

    /// Row counts and times that were measured.
    pub(super) fn points(&self) -> &[(usize, Duration)] {
        &self.points
    }

    /// T(1).
    pub(super) fn single(&self) -> Duration {
        self.points[0].1
    }

    /// T(rows) / T(1): on the straight line between measured row counts, beyond the last as there.
    pub(super) fn ratio(&self, rows: usize) -> f64 {
        let line = self.points.windows(2).find(|ends| (ends[0].0..=ends[1].0).contains(&rows));
        let seconds = match line {
            Some(&[(below, low), (above, high)]) => {
                let share = (rows - below) as f64 / (above - below) as f64;
                low.as_secs_f64() * (1.0 - share) + high.as_secs_f64() * share
            }
            _ => self.points[self.points.len() - 1].1.as_secs_f64(),
        };
        seconds / self.single().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_lie_on_lines_between_points() {
        let milliseconds = Duration::from_millis;
        let curve = CostCurve::known(vec![(1, milliseconds(4)), (2, milliseconds(6)), (6, milliseconds(14))]);
        let check = |rows: usize, expected: f64| assert!((curve.ratio(rows) - expected).abs() < 1e-12, "{rows}");
        check(1, 1.0);
        check(2, 1.5);
        check(4, 2.5);
        check(6, 3.5);
        check(9, 3.5);
    }
}
