//! Which guesses are worth their rows: those that give most tokens a second, over all sequences of a step.
//!
//! A pass over one row a sequence emits one token each. A guess on a path of probability `p` adds `p` tokens and one row.
//! Sorted by `p` over the price of a row of their sequence, guesses are taken as long as (tokens expected) / (time of the
//! pass) has its greatest value among all beginnings of the list; no node is likelier than its parent, so a beginning
//! never lacks one.
//!
//! The same rule chooses a draft's length, a tree's shape, the sequences that draft at all, and none of it.

/// One sequence's guesses.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// How likely each node is in the text, no more than what it follows.
    pub(crate) paths: Vec<f64>,
    /// The first nodes, taken whatever they cost.
    pub(crate) least: usize,
    /// Cached tokens that a row sees.
    pub(crate) context: usize,
}

/// What was chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selection {
    /// For each sequence the nodes to verify, rising.
    pub(crate) nodes: Vec<Vec<usize>>,
    /// Probability that a further row would have to have to pay for itself.
    pub(crate) price: f64,
}

/// Chooses at most `room` nodes. `time(rows, row_context)` are the seconds of a pass with so many further rows that see
/// so many cached tokens in all; without any it emits `emitted` tokens.
pub(crate) fn select(wanted: &[Wanted], room: usize, emitted: usize, time: impl Fn(usize, usize) -> f64) -> Selection {
    let order = order(wanted, room, &time);
    let forced = order.iter().take_while(|node| node.is_forced).count();
    let (mut tokens, mut row_context) = (emitted as f64, 0);
    let plain = time(0, 0);
    let (mut best, mut best_rate) = (0, if forced == 0 { tokens / plain } else { 0.0 });
    for (count, node) in (1..).zip(&order) {
        let sequence = &wanted[node.sequence];
        tokens += sequence.paths[node.index];
        row_context += sequence.context;
        let rate = tokens / time(count, row_context);
        if count <= forced || rate > best_rate {
            (best, best_rate) = (count, rate);
        }
    }
    let mut nodes = vec![Vec::new(); wanted.len()];
    order[..best].iter().for_each(|node| nodes[node.sequence].push(node.index));
    nodes.iter_mut().for_each(|nodes| nodes.sort_unstable());
    let contexts: usize = order[..best].iter().map(|node| wanted[node.sequence].context).sum();
    let mean_context = contexts.checked_div(best).unwrap_or(0);
    let further = time(best + 1, contexts + mean_context) - time(best, contexts);
    Selection { nodes, price: (best_rate * further).clamp(0.0, 1.0) }
}

/// A node and where it stands.
struct Place {
    is_forced: bool,
    sequence: usize,
    index: usize,
}

/// The nodes in the order in which they are taken, no more than `room`.
fn order(wanted: &[Wanted], room: usize, time: impl Fn(usize, usize) -> f64) -> Vec<Place> {
    // Several rows, because the first few may be free.
    const ROWS: usize = 8;
    let price = |wanted: &Wanted| (time(ROWS, ROWS * wanted.context) - time(0, 0)).max(f64::MIN_POSITIVE);
    let prices: Vec<f64> = wanted.iter().map(price).collect();
    let worth = |place: &Place| wanted[place.sequence].paths[place.index] / prices[place.sequence];
    let places = wanted.iter().enumerate().flat_map(|(sequence, wanted)| {
        let place = move |index| Place { is_forced: index < wanted.least, sequence, index };
        (0..wanted.paths.len()).map(place)
    });
    let mut order: Vec<_> = places.collect();
    order.sort_by(|a, b| {
        let forced = b.is_forced.cmp(&a.is_forced);
        let worth = worth(b).total_cmp(&worth(a));
        let places = (a.index, a.sequence).cmp(&(b.index, b.sequence));
        // Among those that must be verified everyone's first comes before anyone's second.
        forced.then(if a.is_forced && b.is_forced { places } else { worth.then(places) })
    });
    order.truncate(room);
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(paths: &[f64]) -> Wanted {
        Wanted { paths: paths.to_vec(), least: 0, context: 0 }
    }

    fn lengths(selection: &Selection) -> Vec<usize> {
        selection.nodes.iter().map(Vec::len).collect()
    }

    #[test]
    fn cheap_rows_are_taken_while_they_pay() {
        let time = |rows: usize, _| 1.0 + rows as f64 * 0.1;
        let choose = |paths: &[f64]| lengths(&select(&[wanted(paths)], 100, 1, time))[0];
        assert_eq!(choose(&[0.9, 0.8, 0.7, 0.6, 0.5]), 5);
        assert_eq!(choose(&[0.09, 0.05]), 0);
        assert_eq!(choose(&[0.9, 0.1, 0.01]), 1);
        assert_eq!(choose(&[]), 0);
    }

    #[test]
    fn a_step_in_the_curve_is_seen_past() {
        // Two rows cost as much as five.
        let time = |rows: usize, _| if rows == 0 { 1.0 } else { 1.4 };
        assert_eq!(lengths(&select(&[wanted(&[0.3, 0.2, 0.1])], 100, 1, time)), [3]);
    }

    #[test]
    fn the_surest_guesses_of_all_sequences_come_first() {
        let time = |rows: usize, _| if rows <= 3 { 1.0 } else { 100.0 };
        let all = [wanted(&[0.9, 0.2]), wanted(&[0.5, 0.4]), wanted(&[0.1])];
        assert_eq!(select(&all, 100, 3, time).nodes, [vec![0], vec![0, 1], vec![]]);
    }

    #[test]
    fn the_least_is_taken_whatever_it_costs_and_within_the_room() {
        let time = |rows: usize, _| 1.0 + rows as f64 * 100.0;
        let all = [Wanted { least: 2, ..wanted(&[0.1, 0.1, 0.1]) }, Wanted { least: 1, ..wanted(&[0.1]) }];
        assert_eq!(lengths(&select(&all, 100, 2, time)), [2, 1]);
        assert_eq!(lengths(&select(&all, 2, 2, time)), [1, 1]);
    }

    #[test]
    fn rows_that_see_more_cost_more() {
        let time = |rows: usize, context: usize| 1.0 + rows as f64 * 0.01 + context as f64 * 0.001;
        let all = [Wanted { context: 1000, ..wanted(&[0.5]) }, Wanted { context: 10, ..wanted(&[0.5]) }];
        assert_eq!(lengths(&select(&all, 100, 2, time)), [0, 1]);
    }

    proptest! {
        /// Against all beginnings of the sorted list, each computed anew.
        #[test]
        fn no_other_beginning_gives_more_tokens_a_second(
            chains in prop::collection::vec(prop::collection::vec(0.0f64..1.0, 0..6), 1..4),
            steps in prop::collection::vec(0.0f64..0.5, 20),
        ) {
            let all: Vec<_> = chains.iter().map(|chain| {
                let mut path = 1.0;
                wanted(&chain.iter().map(|next| { path *= next; path }).collect::<Vec<_>>())
            }).collect();
            let time = |rows: usize, _| 1.0 + steps[..rows].iter().sum::<f64>();
            let found = select(&all, 18, all.len(), time);
            let mut sorted: Vec<f64> = all.iter().flat_map(|wanted| wanted.paths.clone()).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let rate = |count: usize| (all.len() as f64 + sorted[..count].iter().sum::<f64>()) / time(count, 0);
            let best = (0..=sorted.len()).map(rate).fold(0.0, f64::max);
            let count = lengths(&found).iter().sum();
            prop_assert!(rate(count) >= best - 1e-9);
            for (nodes, wanted) in found.nodes.iter().zip(&all) {
                prop_assert!(nodes.iter().enumerate().all(|(at, &node)| at == node), "{nodes:?} of {wanted:?}");
            }
        }
    }
}
