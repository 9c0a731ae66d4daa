//! Measuring by rounds: cases take turns, so that a machine that slows down slows all of them, and quartiles sum up.
//!
//! No clock is read here: whoever runs a case says how long it took.

use std::time::Duration;

/// How often the cases take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// Rounds, at least.
    pub least: usize,
    /// Further rounds start while what was measured adds up to less than this.
    pub time: Duration,
}

/// Runs cases `0..cases` one after the other, round by round; returns what each case took in each round.
pub fn take_turns<E>(
    cases: usize,
    rounds: Rounds,
    mut measure: impl FnMut(usize) -> Result<Duration, E>,
) -> Result<Vec<Vec<Duration>>, E> {
    let mut taken = vec![Vec::new(); cases];
    let mut total = Duration::ZERO;
    let mut round = 0;
    while round < rounds.least || (cases > 0 && total < rounds.time) {
        for (case, taken) in taken.iter_mut().enumerate() {
            let time = measure(case)?;
            total += time;
            taken.push(time);
        }
        round += 1;
    }
    Ok(taken)
}

/// The middle of some times and how far they spread: half of them lie between the quartiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// A quarter of the times are below.
    pub lower_quartile: Duration,
    /// Half of the times are below.
    pub median: Duration,
    /// A quarter of the times are above.
    pub upper_quartile: Duration,
}

impl Spread {
    /// The spread of at least one time. Between two times, quantiles are interpolated (Hyndman and Fan 1996, type 7).
    pub fn of(times: &[Duration]) -> Self {
        assert!(!times.is_empty(), "a spread is of at least one time");
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let quantile = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below).mul_f64(place.fract())
        };
        Self { lower_quartile: quantile(0.25), median: quantile(0.5), upper_quartile: quantile(0.75) }
    }
}

/// The line through points `(x, y)`, each `x` once, as its value at 0 and its slope: the median of the slopes between all
/// pairs, so that up to a quarter of the points may be far off (Theil 1950; Sen 1968). A single point has a level line.
pub fn robust_line(points: &[(f64, f64)]) -> (f64, f64) {
    let pairs =
        points.iter().enumerate().flat_map(|(index, one)| points[..index].iter().map(move |other| (one, other)));
    let slope = median(pairs.map(|(one, other)| (one.1 - other.1) / (one.0 - other.0)).collect());
    (median(points.iter().map(|(x, y)| y - slope * x).collect()), slope)
}

/// The middle of some numbers, or between the middle two; 0 of none.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let upper = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        count if count % 2 == 1 => numbers[upper],
        _ => f64::midpoint(numbers[upper - 1], numbers[upper]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_passes_by_what_is_far_off() {
        let check = |points: &[(f64, f64)], expected: (f64, f64)| {
            let found = robust_line(points);
            assert!(
                (found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9,
                "{points:?}: {found:?}"
            );
        };
        check(&[(3.0, 7.0)], (7.0, 0.0));
        check(&[(1.0, 5.0), (2.0, 7.0)], (3.0, 2.0));
        let mut points: Vec<_> = (1..=8).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        check(&points, (3.0, 2.0));
        (points[3].1, points[6].1) = (0.5, 900.0);
        check(&points, (3.0, 2.0));
    }

    fn check(times: &[u64], expected: [u64; 3]) {
        let times: Vec<_> = times.iter().map(|&time| Duration::from_micros(time)).collect();
        let spread = Spread::of(&times);
        let found = [spread.lower_quartile, spread.median, spread.upper_quartile];
        assert_eq!(found, expected.map(Duration::from_micros), "{times:?}");
    }

    #[test]
    fn quartiles_are_of_the_sorted_times_and_interpolated() {
        check(&[7], [7, 7, 7]);
        check(&[30, 10], [15, 20, 25]);
        check(&[50, 10, 40, 20, 30], [20, 30, 40]);
        check(&[10, 18, 30, 1010], [16, 24, 275]);
    }

    #[test]
    fn one_slow_time_does_not_move_the_median() {
        check(&[10, 10, 10, 10, 9999], [10, 10, 10]);
    }

    #[test]
    fn cases_take_turns_until_there_are_enough_rounds_and_time() {
        let count = |least: usize, time: u64, each: u64| {
            let mut order = Vec::new();
            let rounds = Rounds { least, time: Duration::from_secs(time) };
            let taken = take_turns(2, rounds, |case| {
                order.push(case);
                Ok::<_, ()>(Duration::from_secs(each))
            });
            let taken = taken.expect("no case fails");
            assert!(order.iter().enumerate().all(|(turn, &case)| case == turn % 2), "{order:?}");
            assert_eq!([taken[0].len(), taken[1].len()], [order.len() / 2; 2]);
            taken[0].len()
        };
        assert_eq!(count(3, 0, 1), 3);
        assert_eq!(count(3, 100, 10), 5);
        assert_eq!(count(3, 100, 60), 3);
    }

    #[test]
    fn a_case_that_fails_ends_the_measuring() {
        let rounds = Rounds { least: 3, time: Duration::ZERO };
        assert_eq!(take_turns(2, rounds, |case| if case == 1 { Err(case) } else { Ok(Duration::ZERO) }), Err(1));
    }
}
