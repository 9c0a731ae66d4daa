//! The two inner loops: products of some queries with some keys, and sums of some weighted values.
//!
//! Up to six queries by sixteen positions, or by sixteen numbers of the head, keep twelve sums in registers, so that a
//! key or value is loaded once for all of them. Each sum is its own chain of multiply-adds in a fixed order; the shape
//! of the tile decides which chains run side by side and nothing else.

use std::ops::Range;

use super::CHUNK;
use super::blocks::Block;
use super::pages::Element;
use crate::lanes::{Job, LANES, Lanes};

/// Queries in the largest tile.
pub(super) const TILE: usize = 6;

/// Scores of `QUERIES` queries for some positions of a chunk.
pub(super) struct Scores<'a, E: Element, const QUERIES: usize> {
    /// `[head_dim, QUERIES]`
    pub(super) queries: &'a [[f32; QUERIES]],
    pub(super) blocks: &'a [Block<'a, E>],
    /// Positions wanted, as far as they are in the blocks; up to seven more on either side are scored as well.
    pub(super) positions: Range<usize>,
    /// What products are multiplied by.
    pub(super) scale: f32,
    pub(super) scores: &'a mut [[f32; CHUNK]; QUERIES],
}

/// `outputs[q] += weights[q][j] * values[j]` over positions `j` in order, in columns of `VECTORS * 8` and what is left.
pub(super) struct AddValues<'a, E: Element, const QUERIES: usize, const VECTORS: usize> {
    pub(super) blocks: &'a [Block<'a, E>],
    pub(super) weights: &'a [[f32; CHUNK]; QUERIES],
    /// Positions wanted, as far as they are in the blocks.
    pub(super) positions: Range<usize>,
    /// `[QUERIES, head_dim]`
    pub(super) outputs: &'a mut [f32],
}

impl<E: Element, const QUERIES: usize> Job for Scores<'_, E, QUERIES> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        for block in self.blocks {
            let mut position = block.positions.start.max(self.positions.start / LANES * LANES);
            let end = block.positions.end.min(self.positions.end);
            while position < end && position + 2 * LANES <= block.positions.end {
                self.score::<L, 2>(lanes, block, position);
                position += 2 * LANES;
            }
            while position < end {
                self.score::<L, 1>(lanes, block, position);
                position += LANES;
            }
        }
    }
}

impl<E: Element, const QUERIES: usize> Scores<'_, E, QUERIES> {
    /// Scores of `VECTORS * 8` keys of a block.
    #[inline(always)]
    fn score<L: Lanes, const VECTORS: usize>(&mut self, lanes: L, block: &Block<E>, position: usize) {
        let first = position - block.positions.start;
        let mut sums = [[lanes.splat(0.0); VECTORS]; QUERIES];
        let mut ahead = first;
        for (queries, codes) in self.queries.iter().zip(block.keys[first..].chunks(block.key_stride)) {
            prefetch(lanes, block.next_keys, ahead);
            ahead += block.key_stride;
            let vectors = load::<L, E, VECTORS>(lanes, codes);
            for (sums, query) in sums.iter_mut().zip(queries) {
                multiply_add(lanes, sums, lanes.splat(*query), vectors);
            }
        }
        for (sums, scores) in sums.iter().zip(self.scores.iter_mut()) {
            let (places, _) = scores[position..][..VECTORS * LANES].as_chunks_mut::<LANES>();
            for (index, (sum, place)) in sums.iter().zip(places).enumerate() {
                let mut scaled = lanes.multiply(*sum, lanes.splat(self.scale));
                if E::IS_SCALED {
                    let scales = block.key_scales[first + index * LANES..].first_chunk();
                    scaled = lanes.multiply(scaled, lanes.load(scales.expect("each key has a scale")));
                }
                // Where scores are numbers they are kept finite: the difference of two infinite ones would be none.
                let bounded = lanes.larger(lanes.splat(f32::MIN), lanes.smaller(lanes.splat(f32::MAX), scaled));
                lanes.store(bounded, place);
            }
        }
    }
}

impl<E: Element, const QUERIES: usize, const VECTORS: usize> Job for AddValues<'_, E, QUERIES, VECTORS> {
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

impl<E: Element, const QUERIES: usize, const VECTORS: usize> AddValues<'_, E, QUERIES, VECTORS> {
    #[inline(always)]
    fn add_columns<L: Lanes, const WIDTH: usize>(&mut self, lanes: L, head_dim: usize, column: usize) {
        let mut sums = [[lanes.splat(0.0); WIDTH]; QUERIES];
        for (query, sums) in sums.iter_mut().enumerate() {
            let (numbers, _) = self.outputs[query * head_dim + column..][..WIDTH * LANES].as_chunks::<LANES>();
            for (sum, numbers) in sums.iter_mut().zip(numbers) {
                *sum = lanes.load(numbers);
            }
        }
        for block in self.blocks {
            let start = block.positions.start.max(self.positions.start);
            let end = block.positions.end.min(self.positions.end).min(CHUNK);
            let mut place = start.saturating_sub(block.positions.start) * head_dim + column;
            for position in start..end {
                for line in (0..WIDTH * LANES).step_by(64 / size_of::<E::Code>()) {
                    prefetch(lanes, block.next_values, place + line);
                }
                add_value::<L, E, QUERIES, WIDTH>(lanes, &mut sums, self.weights, position, &block.values[place..]);
                place += head_dim;
            }
        }
        for (query, sums) in sums.iter().enumerate() {
            let (places, _) = self.outputs[query * head_dim + column..][..WIDTH * LANES].as_chunks_mut::<LANES>();
            for (sum, place) in sums.iter().zip(places) {
                lanes.store(*sum, place);
            }
        }
    }
}

/// `sums[q] += weights[q][position] * codes`. What there is less of, weights or codes, stays in registers.
#[inline(always)]
fn add_value<L: Lanes, E: Element, const QUERIES: usize, const WIDTH: usize>(
    lanes: L,
    sums: &mut [[L::Vector; WIDTH]; QUERIES],
    weights: &[[f32; CHUNK]; QUERIES],
    position: usize,
    codes: &[E::Code],
) {
    if QUERIES > WIDTH {
        let vectors = load::<L, E, WIDTH>(lanes, codes);
        for (sums, weights) in sums.iter_mut().zip(weights) {
            multiply_add(lanes, sums, lanes.splat(weights[position]), vectors);
        }
    } else {
        let mut factors = [lanes.splat(0.0); QUERIES];
        for (factor, weights) in factors.iter_mut().zip(weights) {
            *factor = lanes.splat(weights[position]);
        }
        for (index, codes) in codes[..WIDTH * LANES].as_chunks::<LANES>().0.iter().enumerate() {
            let vector = E::load(lanes, codes);
            for (sums, factor) in sums.iter_mut().zip(factors) {
                sums[index] = lanes.multiply_add(factor, vector, sums[index]);
            }
        }
    }
}

/// The first `VECTORS * 8` codes as numbers.
#[inline(always)]
fn load<L: Lanes, E: Element, const VECTORS: usize>(lanes: L, codes: &[E::Code]) -> [L::Vector; VECTORS] {
    let mut vectors = [lanes.splat(0.0); VECTORS];
    for (vector, codes) in vectors.iter_mut().zip(codes[..VECTORS * LANES].as_chunks::<LANES>().0) {
        *vector = E::load(lanes, codes);
    }
    vectors
}

/// Prefetches a code if there is one.
#[inline(always)]
fn prefetch<L: Lanes, T>(lanes: L, codes: &[T], index: usize) {
    if let Some(code) = codes.get(index) {
        lanes.prefetch(code);
    }
}

/// `sums += factor * vectors`
#[inline(always)]
fn multiply_add<L: Lanes, const VECTORS: usize>(
    lanes: L,
    sums: &mut [L::Vector; VECTORS],
    factor: L::Vector,
    vectors: [L::Vector; VECTORS],
) {
    for (sum, vector) in sums.iter_mut().zip(vectors) {
        *sum = lanes.multiply_add(factor, vector, *sum);
    }
}
