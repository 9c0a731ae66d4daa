//! What a forward pass costs: a curve over its rows, and what attention adds.
//!
//! ```text
//! time = speed * (curve(rows) + context * cached tokens of its sequences + row_context * cached tokens seen by its rows)
//! ```
//!
//! Reading weights and multiplying them by rows is the curve; each sequence's keys and values are read once, and every
//! row multiplies with them. The curve is measured at a few row counts and linear in between. Every pass corrects it:
//! `speed` follows the machine within a few passes, the curve's shape slowly, because a machine that slows down slows
//! all row counts alike and the choice of a draft's length depends on the shape alone.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Row counts that the curve is measured at.
pub const MEASURED_ROWS: [usize; 9] = [1, 2, 3, 4, 6, 8, 12, 16, 32];
/// How fast `speed` follows a pass.
const SPEED_RATE: f64 = 0.15;
/// How fast the curve follows a pass.
const CURVE_RATE: f64 = 0.02;

/// The time of a forward pass by what is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct CostModel {
    /// Rows, rising, and seconds.
    curve: Vec<(usize, f64)>,
    /// Seconds for a cached token of a sequence.
    context: f64,
    /// Seconds for a cached token seen by a row.
    row_context: f64,
    /// Time of late passes by what the rest says; `None` before the first.
    #[serde(skip)]
    speed: Option<f64>,
}

/// The fields of a [`CostModel`] as something that was read may have them.
#[derive(Deserialize)]
struct Fields {
    curve: Vec<(usize, f64)>,
    context: f64,
    row_context: f64,
}

impl TryFrom<Fields> for CostModel {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let Fields { curve, context, row_context } = fields;
        let model = Self { curve, context, row_context, speed: None };
        if model.is_sound() { Ok(model) } else { Err("the costs are no rising row counts with times in seconds") }
    }
}

/// What is in a forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Rows of all sequences.
    pub rows: usize,
    /// Cached tokens, summed over sequences.
    pub context: usize,
    /// Cached tokens, summed over rows.
    pub row_context: usize,
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            context: self.context + other.context,
            row_context: self.row_context + other.row_context,
        }
    }
}

impl Default for CostModel {
    /// A guess for a machine that was not measured: every further row costs a twentieth of the first. Only ratios of
    /// times matter, and passes correct them.
    fn default() -> Self {
        let curve = MEASURED_ROWS.map(|rows| (rows, 1.0 + (rows - 1) as f64 / 20.0));
        Self { curve: curve.to_vec(), context: 0.0, row_context: 0.0, speed: None }
    }
}

impl CostModel {
    /// A model from measured passes: the times of [`MEASURED_ROWS`] rows of one sequence without a context, and of 1 and
    /// `rows` rows behind `context` cached tokens.
    ///
    /// # Panics
    /// When `behind` has no context or less than two rows.
    pub fn fit(without_context: [Duration; MEASURED_ROWS.len()], behind: ContextTimes) -> Self {
        assert!(behind.context > 0 && behind.rows > 1, "passes behind a context, of one row and of several");
        let seconds = without_context.map(|time| time.as_secs_f64().max(1e-9));
        let curve: Vec<_> = MEASURED_ROWS.into_iter().zip(seconds).collect();
        let at = |rows| interpolate(&curve, rows);
        let added_one = (behind.one_row.as_secs_f64() - at(1)).max(0.0) / behind.context as f64;
        let added_many = (behind.many_rows.as_secs_f64() - at(behind.rows)).max(0.0) / behind.context as f64;
        let row_context = ((added_many - added_one) / (behind.rows - 1) as f64).clamp(0.0, added_one);
        Self { context: added_one - row_context, row_context, curve, speed: None }
    }

    /// Whether it is a curve at all: something that was read from a file may be anything.
    fn is_sound(&self) -> bool {
        // No pass takes a day.
        const MOST: f64 = 86_400.0;
        let rises = self.curve.is_sorted_by(|before, after| before.0 < after.0);
        let positive = self.curve.iter().all(|(_, seconds)| (1e-12..MOST).contains(seconds));
        let not_negative = |seconds: f64| (0.0..MOST).contains(&seconds);
        self.curve.len() > 1 && rises && positive && not_negative(self.context) && not_negative(self.row_context)
    }

    /// Seconds that a pass takes.
    pub fn time(&self, load: Load) -> f64 {
        self.shape(load) * self.speed.unwrap_or(1.0)
    }

    /// Hears how long a pass took.
    pub fn learn(&mut self, load: Load, time: Duration) {
        let shape = self.shape(load);
        if time.is_zero() || load.rows == 0 || shape <= 0.0 {
            return;
        }
        let found = time.as_secs_f64() / shape;
        let speed = self.speed.map_or(found, |speed| speed + SPEED_RATE * (found - speed));
        let residual = (found / speed).clamp(0.5, 2.0);
        self.speed = Some(speed);
        let upper = self.curve.partition_point(|&(rows, _)| rows < load.rows);
        let neighbours = upper.saturating_sub(1)..(upper + 1).min(self.curve.len());
        let share = CURVE_RATE / neighbours.len() as f64;
        self.curve[neighbours].iter_mut().for_each(|(_, seconds)| *seconds *= residual.powf(share));
    }

    fn shape(&self, load: Load) -> f64 {
        interpolate(&self.curve, load.rows)
            + self.context * load.context as f64
            + self.row_context * load.row_context as f64
    }
}

/// Passes behind a context, for [`CostModel::fit`].
#[derive(Clone, Copy, Debug)]
pub struct ContextTimes {
    /// Cached tokens, at least one.
    pub context: usize,
    /// Time of one row.
    pub one_row: Duration,
    /// Rows of the other pass, at least two.
    pub rows: usize,
    /// Its time.
    pub many_rows: Duration,
}

/// Between two points of the curve, or on the line through its last two.
fn interpolate(curve: &[(usize, f64)], rows: usize) -> f64 {
    let upper = curve.partition_point(|&(known, _)| known < rows).clamp(1, curve.len() - 1);
    let ((x0, y0), (x1, y1)) = (curve[upper - 1], curve[upper]);
    // A curve that was measured to fall at its end must not reach zero far out.
    let slope = ((y1 - y0) / (x1 - x0) as f64).max(0.0);
    if rows > x1 {
        y1 + slope * (rows - x1) as f64
    } else {
        y0 + (y1 - y0) * (rows as f64 - x0 as f64) / (x1 - x0) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: usize) -> Load {
        Load { rows, ..Load::default() }
    }

    fn milliseconds(times: [u64; MEASURED_ROWS.len()]) -> [Duration; MEASURED_ROWS.len()] {
        times.map(Duration::from_millis)
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 + 1e-6 * expected.abs(), "{found}, expected {expected}");
    }

    #[test]
    fn a_curve_is_linear_between_what_was_measured_and_behind_it() {
        let behind = ContextTimes {
            context: 1000,
            one_row: Duration::from_millis(14),
            rows: 8,
            many_rows: Duration::from_millis(31),
        };
        let model = CostModel::fit(milliseconds([10, 10, 11, 12, 14, 20, 24, 28, 60]), behind);
        close(model.time(rows(1)), 0.010);
        close(model.time(rows(5)), 0.013);
        close(model.time(rows(64)), 0.124);
        // 4 ms for one row, 11 ms for eight: 1 ms for each further row, so 3 ms are shared.
        close(model.time(Load { rows: 1, context: 1000, row_context: 1000 }), 0.014);
        close(model.time(Load { rows: 8, context: 1000, row_context: 8000 }), 0.031);
        close(model.time(Load { rows: 4, context: 500, row_context: 2000 }), 0.0155);
    }

    #[test]
    fn passes_teach_speed_at_once_and_shape_slowly() {
        let mut model = CostModel::default();
        model.learn(rows(1), Duration::from_millis(4));
        close(model.time(rows(1)), 0.004);
        // The machine slows down by half: the ratio of row counts stays nearly as it was.
        let ratio = |model: &CostModel| model.time(rows(8)) / model.time(rows(1));
        let before = ratio(&model);
        (0..50).for_each(|_| model.learn(rows(1), Duration::from_millis(6)));
        assert!((model.time(rows(1)) - 0.006).abs() < 1e-4);
        assert!((ratio(&model) / before - 1.0).abs() < 0.1, "{}", ratio(&model) / before);
        // Eight rows turn out to cost three times as much as one.
        for _ in 0..2000 {
            model.learn(rows(1), Duration::from_millis(6));
            model.learn(rows(8), Duration::from_millis(18));
        }
        assert!((ratio(&model) - 3.0).abs() < 0.2, "{}", ratio(&model));
    }

    #[test]
    fn what_is_no_curve_is_found_out() {
        let check = |text: &str, expected: bool| {
            assert_eq!(serde_json::from_str::<CostModel>(text).is_ok(), expected, "{text}");
        };
        check(r#"{"curve": [[1, 0.1], [2, 0.2]], "context": 0, "row_context": 0}"#, true);
        check(r#"{"curve": [], "context": 0, "row_context": 0}"#, false);
        check(r#"{"curve": [[2, 0.1], [1, 0.2]], "context": 0, "row_context": 0}"#, false);
        check(r#"{"curve": [[1, 0.1], [2, -0.2]], "context": 0, "row_context": 0}"#, false);
        check(r#"{"curve": [[1, 0.1], [2, 0.2]], "context": -1, "row_context": 0}"#, false);
        assert!(CostModel::default().is_sound());
    }

    #[test]
    fn no_time_teaches_nothing() {
        let mut model = CostModel::default();
        model.learn(rows(3), Duration::ZERO);
        model.learn(rows(0), Duration::from_millis(1));
        assert_eq!(model, CostModel::default());
    }
}
