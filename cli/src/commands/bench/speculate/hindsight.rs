//! What a drafter's own guesses would have given at each draft length, and which length was best.
//!
//! The run is replayed with drafts cut to `k` tokens. A pass that proposed `p` tokens and accepted `a` of them emitted
//! `a + 1`; cut to `k`, the same tokens take one or more passes, of which each proposes what was left of the draft, `k`
//! at most. A tree cut to `k` levels has its rows in proportion. With `T(r)` the measured time of a forward pass of `r`
//! rows behind as many cached tokens as the pass had, and `d` the time that drafting took a pass,
//!
//! ```text
//! speed-up(k) = sum over tokens of T(1) / sum over passes of (T(1 + proposed) + d)        and 1 at k = 0
//! ```
//!
//! At the run's own length this is the run itself, as if passes cost what they were measured to. It assumes that a
//! drafter asked again inside its draft proposes the rest of it, as copying drafters do. Scheduling and sampling, which
//! plain decoding pays as well, are left out. The form is that of Leviathan et al. 2023, theorem 3.8, with measured
//! costs and acceptance in the places of their models.

use super::super::cost::CostCurve;
use crate::set_up::Step;

/// The best draft length and what each would have given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hindsight {
    /// Drafted tokens a pass, at most, with which the run would have been fastest; 0 is plain decoding.
    pub(super) draft_length: usize,
    /// The speed-up that it allows.
    pub(super) speed_up: f64,
    /// For each draft length from 0 on.
    pub(super) speed_ups: Vec<f64>,
}

/// A pass of the run and what passes behind its context cost.
#[derive(Clone, Debug)]
pub(super) struct Priced {
    pub(super) step: Step,
    pub(super) costs: CostCurve,
}

/// Replays passes at each draft length up to `draft_max`; drafting takes `draft_cost` times T(1) a pass.
pub(super) fn hindsight(passes: &[Priced], draft_max: usize, draft_cost: f64) -> Hindsight {
    let predicted = |length| predicted(passes, length, draft_cost);
    let speed_ups: Vec<f64> = (0..=draft_max).map(predicted).collect();
    let (draft_length, &speed_up) = speed_ups
        .iter()
        .enumerate()
        // Of equal lengths the first, which is the cheapest.
        .max_by(|(one, a), (other, b)| a.total_cmp(b).then(other.cmp(one)))
        .expect("there is a length of 0");
    Hindsight { draft_length, speed_up, speed_ups }
}

fn predicted(passes: &[Priced], length: usize, draft_cost: f64) -> f64 {
    if length == 0 || passes.is_empty() {
        return 1.0;
    }
    let (mut plain, mut cost) = (0.0, 0.0);
    for Priced { step, costs } in passes {
        let single = costs.single().as_secs_f64();
        let mut emitted = 0;
        while emitted <= step.accepted {
            let levels = length.min(step.depth - emitted.min(step.depth));
            let rows = if levels == 0 { 0 } else { (step.proposed * levels).div_ceil(step.depth) };
            let accepted = length.min(step.accepted - emitted);
            cost += single * (costs.ratio(1 + rows) + draft_cost);
            emitted += accepted + 1;
        }
        plain += single * emitted as f64;
    }
    plain / cost
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn step(proposed: usize, accepted: usize) -> Step {
        Step { proposed, depth: proposed, accepted, tokens: accepted + 1, ..Step::default() }
    }

    /// T(1) is 10 ms and a further row costs `row` ms.
    fn curve(row: u64) -> CostCurve {
        let time = |rows: u64| Duration::from_millis(10 + row * (rows - 1));
        CostCurve::known((1..20).map(|rows| (rows as usize, time(rows))).collect())
    }

    fn replay(steps: &[Step], draft_max: usize, costs: &CostCurve, draft_cost: f64) -> Hindsight {
        let passes: Vec<_> = steps.iter().map(|&step| Priced { step, costs: costs.clone() }).collect();
        hindsight(&passes, draft_max, draft_cost)
    }

    fn check(steps: &[(usize, usize)], draft_cost: f64, expected: &[f64]) -> Hindsight {
        let steps: Vec<_> = steps.iter().map(|&(proposed, accepted)| step(proposed, accepted)).collect();
        let found = replay(&steps, expected.len() - 1, &curve(1), draft_cost);
        close(&found.speed_ups, expected);
        found
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (length, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 1e-9, "place {length}: {found}, expected {expected}");
        }
    }

    #[test]
    fn guesses_that_are_all_right_pay_for_their_rows() {
        // At 1: two passes of two rows for four tokens, T = 1.1; at 3: one pass of four rows, T = 1.3.
        let best = check(&[(3, 3)], 0.0, &[1.0, 4.0 / 2.2, 4.0 / (1.2 + 1.0), 4.0 / 1.3]);
        assert_eq!(best.draft_length, 3);
    }

    #[test]
    fn wrong_guesses_cost_rows_and_drafting() {
        let best = check(&[(2, 0), (0, 0)], 0.5, &[1.0, 2.0 / (1.6 + 1.5), 2.0 / (1.7 + 1.5)]);
        assert_eq!((best.draft_length, best.speed_up), (0, 1.0));
    }

    #[test]
    fn the_best_length_stops_before_the_guesses_that_fail() {
        let best = check(&[(4, 1)], 0.0, &[1.0, 2.0 / 1.1, 2.0 / 1.2, 2.0 / 1.3, 2.0 / 1.4]);
        assert_eq!(best.draft_length, 1);
    }

    #[test]
    fn a_tree_is_cut_by_levels() {
        let tree = Step { proposed: 6, depth: 3, accepted: 2, tokens: 3, ..Step::default() };
        let found = replay(&[tree], 3, &curve(10), 0.0);
        // At 1 a level has two rows: two passes of three rows; at 2 one pass of five; at 3 one of seven.
        close(&found.speed_ups, &[1.0, 3.0 / 6.0, 3.0 / 5.0, 3.0 / 7.0]);
    }

    #[test]
    fn each_pass_has_costs_of_its_own() {
        let (cheap, dear, steps) = (curve(1), curve(10), [step(1, 1), step(1, 1)]);
        let passes = [Priced { step: steps[0], costs: cheap }, Priced { step: steps[1], costs: dear }];
        assert!((hindsight(&passes, 1, 0.0).speed_ups[1] - 40.0 / (11.0 + 20.0)).abs() < 1e-12);
    }

    #[test]
    fn a_run_without_passes_allows_plain_speed() {
        check(&[], 0.3, &[1.0, 1.0]);
    }

    #[test]
    fn a_cut_draft_takes_more_passes() {
        let found = replay(&[step(8, 8)], 8, &curve(0), 0.0);
        // Two passes of 5 and 4 tokens at 4, three at 3 and 2; at 8 one pass of 9.
        close(&[1, 4, 8].map(|length| found.speed_ups[length]), &[9.0 / 5.0, 4.5, 9.0]);
    }
}
