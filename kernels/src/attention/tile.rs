//! The two inner loops: products of some queries with some keys, and sums of some weighted values.
//!
//! Some queries by sixteen positions, or by as many numbers of the head as there are registers for, keep their sums in
//! registers, so that a key or value is loaded once for all of them. Each sum is its own chain of multiply-adds in a
//! fixed order; the shape of the tile and the width of vectors decide which chains run side by side and nothing else, so
//! paths that round alike give the same bits.

use std::ops::Range;

use super::CHUNK;
use super::blocks::Block;
use super::pages::Element;
use crate::lanes::{Job, LANES, Lanes, Vectors, WIDE_LANES};

/// Scores of `QUERIES` queries for some positions of a chunk, `KEYS` wide vectors of keys at a time.
pub(super) struct Scores<'a, E: Element, const QUERIES: usize, const KEYS: usize> {
    /// `[head_dim, QUERIES]`
    pub(super) queries: &'a [[f32; QUERIES]],
    pub(super) blocks: &'a [Block<'a, E>],
    /// Positions wanted, as far as they are in the blocks; a few more on either side are scored as well.
    pub(super) positions: Range<usize>,
    /// What products are multiplied by.
    pub(super) scale: f32,
    pub(super) scores: &'a mut [[f32; CHUNK]; QUERIES],
}

/// `outputs[q] += weights[q][j] * values[j]` over positions `j` in order, in columns of `OUTPUTS` registers and what
/// is left.
pub(super) struct AddValues<'a, E: Element, const QUERIES: usize, const OUTPUTS: usize> {
    pub(super) blocks: &'a [Block<'a, E>],
    pub(super) weights: &'a [[f32; CHUNK]; QUERIES],
    /// Positions wanted, as far as they are in the blocks.
    pub(super) positions: Range<usize>,
    /// `[QUERIES, head_dim]`
    pub(super) outputs: &'a mut [f32],
}

/// As many keys as a vector has numbers, or more.
struct Keys<'a, E: Element> {
    /// Where the first stands, counted from the chunk's first position.
    position: usize,
    /// The codes of one dimension behind those of another, one stride apart, from the first key on.
    codes: &'a [E::Code],
    scales: &'a [f32],
    /// What will be read somewhat later.
    next: &'a [E::Code],
}

impl<E: Element> Clone for Keys<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Element> Copy for Keys<'_, E> {}

impl<'a, E: Element> Keys<'a, E> {
    #[inline(always)]
    fn of(block: &Block<'a, E>, position: usize) -> Self {
        let first = position - block.positions.start;
        let scales = if E::IS_SCALED { &block.key_scales[first..] } else { &[] };
        Self { position, codes: &block.keys[first..], scales, next: block.next_keys.get(first..).unwrap_or(&[]) }
    }
}

impl<E: Element, const QUERIES: usize, const KEYS: usize> Job for Scores<'_, E, QUERIES, KEYS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        // Blocks have one stride, so what is left of one is scored beside the next.
        let Some(first) = self.blocks.first() else { return };
        let (mut together, mut count) = ([Keys::of(first, first.positions.start); KEYS], 0);
        for block in self.blocks {
            let mut position = block.positions.start.max(self.positions.start / LANES * LANES);
            let end = block.positions.end.min(self.positions.end);
            while position < end && position + WIDE_LANES <= block.positions.end {
                together[count] = Keys::of(block, position);
                count = (count + 1) % KEYS;
                if count == 0 {
                    self.score(lanes, lanes.wide(), together, block.key_stride);
                }
                position += WIDE_LANES;
            }
            while position < end {
                self.score(lanes, lanes, [Keys::of(block, position)], block.key_stride);
                position += LANES;
            }
        }
        for keys in &together[..count] {
            self.score(lanes, lanes.wide(), [*keys], first.key_stride);
        }
    }
}

impl<E: Element, const QUERIES: usize, const KEYS: usize> Scores<'_, E, QUERIES, KEYS> {
    /// Scores `COUNT` vectors of keys side by side.
    #[inline(always)]
    fn score<L: Lanes, V: Vectors<N>, const N: usize, const COUNT: usize>(
        &mut self,
        lanes: L,
        vectors: V,
        keys: [Keys<E>; COUNT],
        stride: usize,
    ) {
        let mut sums = [[vectors.splat(0.0); COUNT]; QUERIES];
        let mut place = 0;
        for queries in self.queries {
            let mut codes = [vectors.splat(0.0); COUNT];
            for (codes, keys) in codes.iter_mut().zip(&keys) {
                prefetch(lanes, keys.next, place);
                *codes = E::load(vectors, keys.codes[place..].first_chunk().expect("a block has whole keys"));
            }
            place += stride;
            for (sums, query) in sums.iter_mut().zip(queries) {
                let query = vectors.splat(*query);
                for (sum, codes) in sums.iter_mut().zip(codes) {
                    *sum = vectors.multiply_add(query, codes, *sum);
                }
            }
        }
        for (sums, scores) in sums.iter().zip(self.scores.iter_mut()) {
            for (sum, keys) in sums.iter().zip(&keys) {
                let mut scaled = vectors.multiply(*sum, vectors.splat(self.scale));
                if E::IS_SCALED {
                    let scales = keys.scales.first_chunk().expect("each key has a scale");
                    scaled = vectors.multiply(scaled, vectors.load(scales));
                }
                // Where scores are numbers they are kept finite: the difference of two infinite ones would be none.
                let bounded = vectors.larger(vectors.splat(f32::MIN), vectors.smaller(vectors.splat(f32::MAX), scaled));
                vectors.store(bounded, scores[keys.position..].first_chunk_mut().expect("each key has a score"));
            }
        }
    }
}

impl<E: Element, const QUERIES: usize, const OUTPUTS: usize> Job for AddValues<'_, E, QUERIES, OUTPUTS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let mut column = 0;
        if L::IS_WIDE {
            self.add_from::<L, L::Wide, WIDE_LANES, OUTPUTS>(lanes, lanes.wide(), &mut column);
            self.add_from::<L, L::Wide, WIDE_LANES, 1>(lanes, lanes.wide(), &mut column);
        } else {
            self.add_from::<L, L, LANES, OUTPUTS>(lanes, lanes, &mut column);
        }
        self.add_from::<L, L, LANES, 1>(lanes, lanes, &mut column);
    }
}

impl<E: Element, const QUERIES: usize, const OUTPUTS: usize> AddValues<'_, E, QUERIES, OUTPUTS> {
    /// Adds columns from `column` on, `COUNT` vectors at a time, as long as there are as many.
    #[inline(always)]
    fn add_from<L: Lanes, V: Vectors<N>, const N: usize, const COUNT: usize>(
        &mut self,
        lanes: L,
        vectors: V,
        column: &mut usize,
    ) {
        while *column + COUNT * N <= self.outputs.len() / QUERIES {
            self.add_columns::<L, V, N, COUNT>(lanes, vectors, *column);
            *column += COUNT * N;
        }
    }

    /// Adds `COUNT` vectors of columns.
    #[inline(always)]
    fn add_columns<L: Lanes, V: Vectors<N>, const N: usize, const COUNT: usize>(
        &mut self,
        lanes: L,
        vectors: V,
        column: usize,
    ) {
        let head_dim = self.outputs.len() / QUERIES;
        let mut sums = [[vectors.splat(0.0); COUNT]; QUERIES];
        for (query, sums) in sums.iter_mut().enumerate() {
            let (numbers, _) = self.outputs[query * head_dim + column..][..COUNT * N].as_chunks::<N>();
            for (sum, numbers) in sums.iter_mut().zip(numbers) {
                *sum = vectors.load(numbers);
            }
        }
        for block in self.blocks {
            let start = block.positions.start.max(self.positions.start);
            let end = block.positions.end.min(self.positions.end).min(CHUNK);
            let mut place = start.saturating_sub(block.positions.start) * head_dim + column;
            for position in start..end {
                for line in (0..COUNT * N).step_by(64 / size_of::<E::Code>()) {
                    prefetch(lanes, block.next_values, place + line);
                }
                let codes = &block.values[place..];
                add_value::<V, E, N, QUERIES, COUNT>(vectors, &mut sums, self.weights, position, codes);
                place += head_dim;
            }
        }
        for (query, sums) in sums.iter().enumerate() {
            let (places, _) = self.outputs[query * head_dim + column..][..COUNT * N].as_chunks_mut::<N>();
            for (sum, place) in sums.iter().zip(places) {
                vectors.store(*sum, place);
            }
        }
    }
}

/// `sums[q] += weights[q][position] * codes`. What there is less of, weights or codes, stays in registers.
#[inline(always)]
fn add_value<V: Vectors<N>, E: Element, const N: usize, const QUERIES: usize, const COUNT: usize>(
    vectors: V,
    sums: &mut [[V::Vector; COUNT]; QUERIES],
    weights: &[[f32; CHUNK]; QUERIES],
    position: usize,
    codes: &[E::Code],
) {
    if QUERIES > COUNT {
        let mut values = [vectors.splat(0.0); COUNT];
        for (value, codes) in values.iter_mut().zip(codes[..COUNT * N].as_chunks::<N>().0) {
            *value = E::load(vectors, codes);
        }
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let factor = vectors.splat(weights[position]);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = vectors.multiply_add(factor, value, *sum);
            }
        }
    } else {
        let mut factors = [vectors.splat(0.0); QUERIES];
        for (factor, weights) in factors.iter_mut().zip(weights) {
            *factor = vectors.splat(weights[position]);
        }
        for (index, codes) in codes[..COUNT * N].as_chunks::<N>().0.iter().enumerate() {
            let value = E::load(vectors, codes);
            for (sums, factor) in sums.iter_mut().zip(factors) {
                sums[index] = vectors.multiply_add(factor, value, sums[index]);
            }
        }
    }
}

/// Prefetches a code if there is one.
#[inline(always)]
fn prefetch<L: Lanes, T>(lanes: L, codes: &[T], index: usize) {
    if let Some(code) = codes.get(index) {
        lanes.prefetch(code);
    }
}
