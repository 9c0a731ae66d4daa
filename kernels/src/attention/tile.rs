//! The two inner loops: products of some queries with some keys, and sums of some weighted values.
//!
//! Up to six queries by sixteen positions, or by sixteen numbers of the head, keep twelve sums in registers, so that a
//! key or value is loaded once for all of them. Each sum is its own chain of multiply-adds in a fixed order; the shape
//! of the tile decides which chains run side by side and nothing else.

use std::ops::Range;

use super::CHUNK;
use crate::lanes::{Job, LANES, Lanes};

/// Queries in the largest tile.
pub(super) const TILE: usize = 6;

/// Scores of `QUERIES` queries for `VECTORS * 8` positions.
pub(super) struct Scores<'a, const QUERIES: usize, const VECTORS: usize> {
    /// `[head_dim, QUERIES]`
    pub(super) queries: &'a [[f32; QUERIES]],
    /// The keys' numbers of one dimension behind those of another, `stride` apart, from the first key on.
    pub(super) keys: &'a [f32],
    pub(super) stride: usize,
    /// Keys in the same layout that come after these, or nothing.
    pub(super) next: &'a [f32],
    /// What products are multiplied by.
    pub(super) scale: f32,
    /// The first of the positions, counted from the chunk's first.
    pub(super) start: usize,
    pub(super) scores: &'a mut [[f32; CHUNK]; QUERIES],
}

impl<const QUERIES: usize, const VECTORS: usize> Job for Scores<'_, QUERIES, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let mut sums = [[lanes.splat(0.0); VECTORS]; QUERIES];
        let mut keys = self.keys;
        let mut next = self.next;
        for queries in self.queries {
            next = prefetch::<L, VECTORS>(lanes, next, self.stride);
            let vectors = load::<L, VECTORS>(lanes, keys);
            for (sums, query) in sums.iter_mut().zip(queries) {
                multiply_add(lanes, sums, *query, vectors);
            }
            keys = keys.get(self.stride..).unwrap_or(&[]);
        }
        for (sums, scores) in sums.iter().zip(self.scores) {
            let (places, _) = scores[self.start..][..VECTORS * LANES].as_chunks_mut::<LANES>();
            for (sum, place) in sums.iter().zip(places) {
                // Where scores are numbers they are kept finite: the difference of two infinite ones would be none.
                let scaled = lanes.multiply(*sum, lanes.splat(self.scale));
                let bounded = lanes.larger(lanes.splat(f32::MIN), lanes.smaller(lanes.splat(f32::MAX), scaled));
                lanes.store(bounded, place);
            }
        }
    }
}

/// `outputs[q] += weights[q][j] * values[j]` over `j` in order, in columns of `VECTORS * 8` and what is left.
pub(super) struct AddValues<'a, const QUERIES: usize, const VECTORS: usize> {
    /// `[positions.len(), head_dim]`, or more rows.
    pub(super) values: &'a [f32],
    /// Values in the same layout that come after these, or nothing.
    pub(super) next: &'a [f32],
    pub(super) weights: &'a [[f32; CHUNK]; QUERIES],
    /// Positions of the chunk that the values belong to.
    pub(super) positions: Range<usize>,
    /// `[QUERIES, head_dim]`
    pub(super) outputs: &'a mut [f32],
}

impl<const QUERIES: usize, const VECTORS: usize> Job for AddValues<'_, QUERIES, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let head_dim = self.outputs.len() / QUERIES;
        let mut column = 0;
        while column + VECTORS * LANES <= head_dim {
            self.add_columns::<L, VECTORS>(lanes, head_dim, column);
            column += VECTORS * LANES;
        }
        while column < head_dim {
            self.add_columns::<L, 1>(lanes, head_dim, column);
            column += LANES;
        }
    }
}

impl<const QUERIES: usize, const VECTORS: usize> AddValues<'_, QUERIES, VECTORS> {
    #[inline(always)]
    fn add_columns<L: Lanes, const WIDTH: usize>(&mut self, lanes: L, head_dim: usize, column: usize) {
        assert!(self.positions.end <= CHUNK, "positions are in the chunk");
        let mut sums = [[lanes.splat(0.0); WIDTH]; QUERIES];
        for (query, sums) in sums.iter_mut().enumerate() {
            *sums = load::<L, WIDTH>(lanes, &self.outputs[query * head_dim + column..]);
        }
        let mut values = &self.values[column..];
        let mut next = self.next.get(column..).unwrap_or(&[]);
        for position in self.positions.clone() {
            next = prefetch::<L, WIDTH>(lanes, next, head_dim);
            let vectors = load::<L, WIDTH>(lanes, values);
            for (sums, weights) in sums.iter_mut().zip(self.weights) {
                multiply_add(lanes, sums, weights[position], vectors);
            }
            values = values.get(head_dim..).unwrap_or(&[]);
        }
        for (query, sums) in sums.iter().enumerate() {
            let (places, _) = self.outputs[query * head_dim + column..][..WIDTH * LANES].as_chunks_mut::<LANES>();
            for (sum, place) in sums.iter().zip(places) {
                lanes.store(*sum, place);
            }
        }
    }
}

/// The first `VECTORS * 8` numbers.
#[inline(always)]
fn load<L: Lanes, const VECTORS: usize>(lanes: L, numbers: &[f32]) -> [L::Vector; VECTORS] {
    let mut vectors = [lanes.splat(0.0); VECTORS];
    for (vector, numbers) in vectors.iter_mut().zip(numbers[..VECTORS * LANES].as_chunks::<LANES>().0) {
        *vector = lanes.load(numbers);
    }
    vectors
}

/// Prefetches the first `VECTORS * 8` numbers and gives those behind the first `stride`.
#[inline(always)]
fn prefetch<L: Lanes, const VECTORS: usize>(lanes: L, numbers: &[f32], stride: usize) -> &[f32] {
    if numbers.len() < stride {
        return &[];
    }
    for number in numbers[..stride].iter().take(VECTORS * LANES).step_by(2 * LANES) {
        lanes.prefetch(number);
    }
    &numbers[stride..]
}

/// `sums += factor * vectors`
#[inline(always)]
fn multiply_add<L: Lanes, const VECTORS: usize>(
    lanes: L,
    sums: &mut [L::Vector; VECTORS],
    factor: f32,
    vectors: [L::Vector; VECTORS],
) {
    let factor = lanes.splat(factor);
    for (sum, vector) in sums.iter_mut().zip(vectors) {
        *sum = lanes.multiply_add(factor, vector, *sum);
    }
}
