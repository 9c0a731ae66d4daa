//! Scores of one query in one chunk become weights.

use std::ops::Range;

use super::CHUNK;
use super::partial::State;
use crate::exp::exp;
use crate::lanes::{Job, LANES, Lanes, Vectors};

/// Turns scores into `exp(score - largest)`; zero where the query does not see.
///
/// Sums run by position mod 8 and are added in order, and a position that is not seen adds exactly zero, so neither its
/// lane nor the tile matters.
pub(super) struct Soften<'a> {
    pub(super) scores: &'a mut [f32; CHUNK],
    /// Positions that the query sees, counted from the chunk's first; not empty.
    pub(super) seen: Range<usize>,
    /// What scores are bent to stay below, each by itself.
    pub(super) softcap: Option<f32>,
}

impl Job for Soften<'_> {
    type Output = State;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> State {
        if let Some(softcap) = self.softcap {
            self.scores[self.seen.clone()].iter_mut().for_each(|score| *score = softcap * (*score / softcap).tanh());
        }
        let start = self.seen.start / LANES * LANES;
        let scores = &mut self.scores[start..self.seen.end.next_multiple_of(LANES)];
        scores[..self.seen.start - start].fill(f32::NEG_INFINITY);
        scores[self.seen.end - start..].fill(f32::NEG_INFINITY);
        let (scores, _) = scores.as_chunks_mut::<LANES>();
        let largest = largest(lanes, scores);
        let mut sums = lanes.splat(0.0);
        let (pairs, rest) = scores.as_chunks_mut::<2>();
        for scores in pairs {
            let scores = scores.as_flattened_mut().first_chunk_mut().expect("two vectors are a wide one");
            let [low, high] = lanes.halves(weigh(lanes.wide(), scores, largest));
            sums = lanes.add(lanes.add(sums, low), high);
        }
        for scores in rest {
            sums = lanes.add(sums, weigh(lanes, scores, largest));
        }
        State { largest, sum: numbers(lanes, sums).into_iter().sum() }
    }
}

/// Turns scores into weights, and gives them.
#[inline(always)]
fn weigh<V: Vectors<N>, const N: usize>(vectors: V, scores: &mut [f32; N], largest: f32) -> V::Vector {
    let weights = exp(vectors, vectors.subtract(vectors.load(scores), vectors.splat(largest)));
    vectors.store(weights, scores);
    weights
}

/// The largest score. Which are compared first does not matter; four comparisons run side by side, because each waits
/// for the one before it.
#[inline(always)]
fn largest<L: Lanes>(lanes: L, scores: &[[f32; LANES]]) -> f32 {
    let mut largest = [lanes.splat(f32::NEG_INFINITY); 4];
    let (fours, rest) = scores.as_chunks::<4>();
    for scores in fours {
        for (largest, scores) in largest.iter_mut().zip(scores) {
            *largest = lanes.larger(*largest, lanes.load(scores));
        }
    }
    for (largest, scores) in largest.iter_mut().zip(rest) {
        *largest = lanes.larger(*largest, lanes.load(scores));
    }
    let [a, b, c, d] = largest;
    let largest = lanes.larger(lanes.larger(a, b), lanes.larger(c, d));
    numbers(lanes, largest).into_iter().fold(f32::NEG_INFINITY, f32::max)
}

#[inline(always)]
fn numbers<L: Lanes>(lanes: L, vector: L::Vector) -> [f32; LANES] {
    let mut numbers = [0.0; LANES];
    lanes.store(vector, &mut numbers);
    numbers
}
