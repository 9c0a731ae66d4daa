//! What followed a substring: each next token with the state that it leads to and how often it came.
//!
//! Edges stand in the order of their counts, of equal counts the one seen last first, so that the likeliest
//! continuations are the first of a slice. A count that rises by one passes at most its equals, which takes two swaps.

use std::collections::HashMap;

use veridraft_models::TokenId;

/// Edges that are searched one by one; more are found by a map.
const SCANNED: usize = 16;

/// A token behind a state's substrings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::drafters) struct Edge {
    /// The token.
    pub(in crate::drafters) token: TokenId,
    /// The state of the substrings with the token behind them.
    pub(in crate::drafters) target: u32,
    /// How often the token followed them.
    pub(in crate::drafters) count: u32,
}

/// The edges of one state. Most states have one; a list for each would be most of the memory.
#[derive(Clone, Debug)]
pub(super) enum Edges {
    None,
    One(Edge),
    Many(Box<Branches>),
}

#[derive(Clone, Debug)]
pub(super) struct Branches {
    /// The sum of the counts.
    total: u32,
    edges: Vec<Edge>,
    /// Where in `edges` a token stands; only where they are more than [`SCANNED`].
    #[expect(clippy::box_collection, reason = "a map in place would make most lists twice as large")]
    places: Option<Box<HashMap<TokenId, u32>>>,
}

impl Edges {
    /// All edges, the most frequent first.
    pub(super) fn as_slice(&self) -> &[Edge] {
        match self {
            Self::None => &[],
            Self::One(edge) => std::slice::from_ref(edge),
            Self::Many(branches) => &branches.edges,
        }
    }

    /// How often anything followed: the sum of the counts.
    pub(super) fn total(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::One(edge) => edge.count,
            Self::Many(branches) => branches.total,
        }
    }

    /// The state that `token` leads to.
    pub(super) fn get(&self, token: TokenId) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(edge) => (edge.token == token).then_some(edge.target),
            Self::Many(branches) => branches.find(token).map(|place| branches.edges[place].target),
        }
    }

    /// Adds an edge, seen once, for a token that has none.
    pub(super) fn insert(&mut self, token: TokenId, target: u32) {
        let edge = Edge { token, target, count: 1 };
        match self {
            Self::None => *self = Self::One(edge),
            Self::One(first) => {
                let mut branches = Branches { total: first.count, edges: vec![*first], places: None };
                branches.insert(edge);
                *self = Self::Many(Box::new(branches));
            }
            Self::Many(branches) => branches.insert(edge),
        }
    }

    /// Leads the edge of `token`, which there is, to another state.
    pub(super) fn redirect(&mut self, token: TokenId, target: u32) {
        match self {
            Self::None => {}
            Self::One(edge) => edge.target = target,
            Self::Many(branches) => {
                let place = branches.find(token).expect("an edge that is redirected exists");
                branches.edges[place].target = target;
            }
        }
    }

    /// Counts the edge of `token` once more; returns its target, or `None` where there is no such edge.
    pub(super) fn count(&mut self, token: TokenId) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(edge) if edge.token != token => None,
            Self::One(edge) => {
                edge.count += 1;
                Some(edge.target)
            }
            Self::Many(branches) => {
                let place = branches.find(token)?;
                branches.edges[place].count += 1;
                branches.total += 1;
                Some(branches.raise(place))
            }
        }
    }
}

impl Branches {
    fn find(&self, token: TokenId) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&token).map(|&place| place as usize),
            None => self.edges.iter().position(|edge| edge.token == token),
        }
    }

    fn insert(&mut self, edge: Edge) {
        let place = self.edges.len();
        self.edges.push(edge);
        self.total += edge.count;
        match &mut self.places {
            None if place >= SCANNED => {
                let places = (0..).zip(&self.edges).map(|(place, edge)| (edge.token, place));
                self.places = Some(Box::new(places.collect()));
            }
            _ => self.placed(place),
        }
        self.raise(place);
    }

    /// Moves an edge whose count has just risen by one to the first of its equals; returns its target.
    ///
    /// ```text
    ///         equal   less    place       x, risen from 4 to 5, takes the place of the first 5,
    /// 9   9 | 5   5 | 4   4   x 4 ...     that 5 the place of the first 4, and that 4 the place of x
    /// ```
    fn raise(&mut self, place: usize) -> u32 {
        let Edge { count, target, .. } = self.edges[place];
        let less = self.edges[..place].partition_point(|edge| edge.count >= count);
        let equal = self.edges[..less].partition_point(|edge| edge.count > count);
        self.edges.swap(place, less);
        self.edges.swap(less, equal);
        [place, less, equal].into_iter().for_each(|place| self.placed(place));
        target
    }

    /// Notes in the map, where there is one, what stands at `place` now.
    fn placed(&mut self, place: usize) {
        if let Some(places) = &mut self.places {
            places.insert(self.edges[place].token, u32::try_from(place).expect("a vocabulary has fewer than 2^32"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn edges_stand_by_count_and_then_by_recency(tokens in prop::collection::vec(0u32..40, 1..300)) {
            let mut edges = Edges::None;
            let mut model: HashMap<TokenId, (u32, usize)> = HashMap::new();
            for (time, &token) in tokens.iter().enumerate() {
                if edges.count(token).is_none() {
                    edges.insert(token, token + 100);
                }
                let known = model.entry(token).or_default();
                *known = (known.0 + 1, time);
                let best = model.iter().max_by_key(|(_, known)| **known).map(|(&token, known)| (token, known.0));
                prop_assert_eq!(edges.as_slice().first().map(|edge| (edge.token, edge.count)), best);
            }
            prop_assert!(edges.as_slice().is_sorted_by_key(|edge| Reverse(edge.count)));
            let mut found: Vec<_> = edges.as_slice().iter().map(|edge| (edge.token, edge.count)).collect();
            let mut expected: Vec<_> = model.iter().map(|(&token, known)| (token, known.0)).collect();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(edges.total() as usize, tokens.len());
            for token in 0..40 {
                prop_assert_eq!(edges.get(token), model.contains_key(&token).then_some(token + 100));
            }
        }
    }
}
