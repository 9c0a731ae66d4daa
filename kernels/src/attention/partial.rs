//! The outcome of some chunks of some queries' walks, and how two outcomes become one.

use crate::exp::exp_one;
use crate::lanes::{Job, LANES, Lanes};

/// Online softmax states of the queries of a group.
#[derive(Debug)]
pub(super) struct Partials {
    head_dim: usize,
    states: Vec<State>,
    /// `[queries, head_dim]`: sums of `exp(score - largest) * value`.
    outputs: Vec<f32>,
}

/// What a query has seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Largest score.
    pub(super) largest: f32,
    /// Sum of `exp(score - largest)`, at least 1; 0 as long as nothing was seen.
    pub(super) sum: f32,
}

impl Partials {
    /// Nothing seen yet.
    pub(super) fn new(queries: usize, head_dim: usize) -> Self {
        let nothing = State { largest: f32::NEG_INFINITY, sum: 0.0 };
        Self { head_dim, states: vec![nothing; queries], outputs: vec![0.0; queries * head_dim] }
    }

    /// Adds the outcome of the next chunk to a query. The first one is taken as it is.
    pub(super) fn add<L: Lanes>(&mut self, lanes: L, query: usize, next: State, next_output: &[f32]) {
        let state = &mut self.states[query];
        let output = &mut self.outputs[query * self.head_dim..][..self.head_dim];
        if state.sum == 0.0 {
            *state = next;
            output.copy_from_slice(next_output);
        } else {
            lanes.run(Rescale { state, output, next, next_output });
        }
    }

    /// Adds the outcome of the next chunk to every query that has seen something of it.
    pub(super) fn merge<L: Lanes>(&mut self, lanes: L, next: &Self) {
        for (query, state) in next.states.iter().enumerate() {
            if state.sum != 0.0 {
                self.add(lanes, query, *state, &next.outputs[query * self.head_dim..][..self.head_dim]);
            }
        }
    }

    /// The attention output of a query: the mean of values weighted by softmax, `[head_dim]`.
    pub(super) fn finish(&self, query: usize, output: &mut [f32]) {
        let scale = 1.0 / self.states[query].sum;
        let numbers = &self.outputs[query * self.head_dim..][..self.head_dim];
        output.iter_mut().zip(numbers).for_each(|(place, number)| *place = number * scale);
    }
}

/// Adds an outcome to another, both rescaled to the larger maximum.
struct Rescale<'a> {
    state: &'a mut State,
    output: &'a mut [f32],
    next: State,
    next_output: &'a [f32],
}

impl Job for Rescale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { state, output, next, next_output } = self;
        let largest = state.largest.max(next.largest);
        let before = exp_one(lanes, state.largest - largest);
        let after = exp_one(lanes, next.largest - largest);
        *state = State { largest, sum: state.sum * before + next.sum * after };
        let (before, after) = (lanes.splat(before), lanes.splat(after));
        for (place, next) in output.as_chunks_mut::<LANES>().0.iter_mut().zip(next_output.as_chunks::<LANES>().0) {
            let kept = lanes.multiply(lanes.load(place), before);
            lanes.store(lanes.multiply_add(lanes.load(next), after, kept), place);
        }
    }
}
