//! What a forward pass costs by its number of rows: `T(k)`.
//!
//! The run has passes of few row counts, mostly of one row, so all counts are measured apart, at once, in turn. But the
//! machine may be another one then: what else runs on it changes not only its speed but also what a further row costs.
//! So the run's own passes correct the curve, each row count by the median of theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use veridraft_engine::measure::{Rounds, Spread, take_turns};
use veridraft_models::LanguageModel;

use super::one_sequence::OneSequence;

/// Passes of every row count.
const PASSES: Rounds = Rounds { least: 9, time: Duration::from_secs(2) };
/// Passes of a row count that tell its time from chance.
const ENOUGH: usize = 5;
/// Row counts that are all measured; of greater ones, every fourth.
const DENSE: usize = 17;

/// What passes cost behind any context: measured behind the least and the greatest of the run, linear in between, as
/// attention is.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    /// Cached tokens, and the curve behind them; the second has more.
    pub(super) ends: [(usize, CostCurve); 2],
}

impl Costs {
    /// Measures behind the two contexts.
    pub(super) fn measure(model: Box<dyn LanguageModel>, draft_max: usize, contexts: [usize; 2]) -> Result<Self> {
        let mut sequence = OneSequence::new(model)?;
        let [least, greatest] = contexts;
        // Further apart than noise.
        let greatest = greatest.max(least + 256);
        let mut end = |context: usize| -> Result<_> {
            let (context, curve) = CostCurve::measure(&mut sequence, draft_max, context)?;
            Ok((context, curve))
        };
        Ok(Self { ends: [end(least)?, end(greatest)?] })
    }

    /// The same, corrected by passes of the run: rows, cached tokens and time of each.
    pub(super) fn corrected(&self, passes: &[(usize, usize, Duration)]) -> Self {
        let mut found: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for &(rows, context, time) in passes {
            let expected = self.at(context).seconds(rows);
            found.entry(rows).or_default().push(time.as_secs_f64() / expected);
        }
        let known: Vec<_> =
            found.iter_mut().filter(|(_, all)| all.len() >= ENOUGH).map(|(&rows, all)| (rows, median(all))).collect();
        let scale = |(context, curve): &(usize, CostCurve)| {
            let point = |&(rows, time): &(usize, Duration)| (rows, time.mul_f64(factor(&known, rows)));
            (*context, CostCurve { points: curve.points.iter().map(point).collect() })
        };
        Self { ends: [scale(&self.ends[0]), scale(&self.ends[1])] }
    }

    /// The curve behind `context` cached tokens.
    pub(super) fn at(&self, context: usize) -> CostCurve {
        let [(least, near), (greatest, far)] = &self.ends;
        let span = greatest.saturating_sub(*least).max(1) as f64;
        let share = (context as f64 - *least as f64) / span;
        let point = |(&(rows, near), &(_, far)): (&(usize, Duration), &(usize, Duration))| {
            let seconds = near.as_secs_f64() + (far.as_secs_f64() - near.as_secs_f64()) * share;
            (rows, Duration::from_secs_f64(seconds.max(1e-9)))
        };
        CostCurve { points: near.points.iter().zip(&far.points).map(point).collect() }
    }
}

/// The median time of a pass at some row counts, the first being 1.
#[derive(Clone, Debug)]
pub(super) struct CostCurve {
    points: Vec<(usize, Duration)>,
}

impl CostCurve {
    /// Times passes of 1 to `draft_max + 1` rows behind `context` cached tokens, or as many as there is room for, and says
    /// how many that was.
    fn measure(
        sequence: &mut OneSequence<dyn LanguageModel>,
        draft_max: usize,
        context: usize,
    ) -> Result<(usize, Self)> {
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
        Ok((context, Self { points: rows.iter().copied().zip(medians).collect() }))
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

    /// T(rows) / T(1).
    pub(super) fn ratio(&self, rows: usize) -> f64 {
        self.seconds(rows) / self.single().as_secs_f64()
    }

    /// T(rows), in seconds: on the straight line between measured row counts, beyond the last as there.
    pub(super) fn seconds(&self, rows: usize) -> f64 {
        let line = self.points.windows(2).find(|ends| (ends[0].0..=ends[1].0).contains(&rows));
        match line {
            Some(&[(below, low), (above, high)]) => {
                let share = (rows - below) as f64 / (above - below) as f64;
                low.as_secs_f64() * (1.0 - share) + high.as_secs_f64() * share
            }
            _ => self.points[self.points.len() - 1].1.as_secs_f64(),
        }
    }
}

/// The correction of a row count: between known ones on a straight line, outside of them as at the nearest.
fn factor(known: &[(usize, f64)], rows: usize) -> f64 {
    let above = known.partition_point(|&(other, _)| other < rows);
    match (known.get(above.wrapping_sub(1)), known.get(above)) {
        (Some(&(below, low)), Some(&(above, high))) => {
            low + (high - low) * (rows - below) as f64 / (above - below) as f64
        }
        (Some(&(_, nearest)), None) | (None, Some(&(_, nearest))) => nearest,
        (None, None) => 1.0,
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_linear_in_the_context() {
        let curve = |one, two| CostCurve::known(vec![(1, Duration::from_millis(one)), (2, Duration::from_millis(two))]);
        let costs = Costs { ends: [(100, curve(10, 12)), (500, curve(20, 32))] };
        let check = |context: usize, expected: [u64; 2]| {
            let found: Vec<_> = costs.at(context).points().iter().map(|(_, time)| time.as_secs_f64() * 1e3).collect();
            assert!(
                found.iter().zip(expected).all(|(found, expected)| (found - expected as f64).abs() < 1e-9),
                "{found:?}"
            );
        };
        check(100, [10, 12]);
        check(300, [15, 22]);
        check(700, [25, 42]);
    }

    #[test]
    fn the_run_corrects_the_row_counts_that_it_had() {
        let milliseconds = Duration::from_millis;
        let curve = || CostCurve::known((1..=5).map(|rows| (rows, milliseconds(10))).collect());
        let costs = Costs { ends: [(0, curve()), (256, curve())] };
        let passes = |rows: usize, count: usize, time: u64| vec![(rows, 100, milliseconds(time)); count];
        let corrected = costs.corrected(&[passes(1, 9, 8), passes(3, 5, 12), passes(4, 2, 99)].concat());
        let found: Vec<_> = corrected.at(50).points().iter().map(|(_, time)| time.as_millis()).collect();
        assert_eq!(found, [8, 10, 12, 12, 12]);
        let found: Vec<_> = costs.corrected(&[]).at(50).points().iter().map(|(_, time)| time.as_millis()).collect();
        assert_eq!(found, [10; 5]);
    }

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
