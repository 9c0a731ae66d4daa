//! One chunk of some rows' walks over one key and value head, with every key and value read once for all of them.
//!
//! Tiles of four queries by sixteen positions (scores) and by sixteen numbers of the head (outputs) keep eight sums in
//! registers. Where a tile's queries see different numbers of positions, the common ones are walked together and the
//! rest one query at a time, so that no query adds anything that it does not see.

use std::ops::Range;

use super::partial::Partial;
use super::rows::Row;
use super::{AttentionConfig, CHUNK, LayerPages};
use crate::exp::exp;
use crate::lanes::{LANES, Lanes};

/// Queries in a tile.
const TILE: usize = 4;

/// Positions or numbers of the head in a tile.
const WIDTH: usize = 2 * LANES;

/// A query of the group that walks together.
pub(super) struct Query<'a> {
    pub(super) row: &'a Row,
    /// Rotated, `[head_dim]`.
    pub(super) vector: &'a [f32],
}

/// What a group of queries walks over.
pub(super) struct Walk<'a> {
    pub(super) config: &'a AttentionConfig,
    pub(super) pages: &'a LayerPages,
    pub(super) kv_head: usize,
    /// Blocks of the sequence, and how many positions they lead to.
    pub(super) blocks: &'a [usize],
    pub(super) table_positions: usize,
}

impl Walk<'_> {
    /// The outcome of chunk `chunk` for each query.
    ///
    /// # Safety
    /// Runs where `L` may be used.
    #[inline(always)]
    pub(super) unsafe fn chunk<L: Lanes>(&self, queries: &[Query], chunk: usize, weights: &mut [f32]) -> Vec<Partial> {
        let first = chunk * CHUNK;
        for tile in (0..queries.len()).step_by(TILE) {
            let tile = tile..(tile + TILE).min(queries.len());
            // SAFETY: the caller keeps the promise of `L`.
            unsafe { self.scores::<L>(&queries[tile.clone()], first, &mut weights[tile.start * CHUNK..]) };
        }
        let mut partials: Vec<_> = queries
            .iter()
            .zip(weights.chunks_exact_mut(CHUNK))
            .map(|(query, weights)| self.soften(query, first, weights))
            .collect();
        for tile in (0..queries.len()).step_by(TILE) {
            let tile = tile..(tile + TILE).min(queries.len());
            let weights = &weights[tile.start * CHUNK..];
            // SAFETY: the caller keeps the promise of `L`.
            unsafe { self.outputs::<L>(&queries[tile.clone()], first, weights, &mut partials[tile]) };
        }
        partials
    }

    /// Positions of the chunk that a query sees, counted from the chunk's first.
    fn seen(&self, query: &Query, first: usize) -> Range<usize> {
        let end = (query.row.position + 1).clamp(first, first + CHUNK) - first;
        let start = match self.config.window {
            Some(window) => (query.row.position + 1).saturating_sub(window).clamp(first, first + CHUNK) - first,
            None => 0,
        };
        start.min(end)..end
    }

    /// Products of queries and keys, `[TILE, CHUNK]`; those of positions that a query does not see are arbitrary.
    #[inline(always)]
    unsafe fn scores<L: Lanes>(&self, queries: &[Query], first: usize, scores: &mut [f32]) {
        let start = queries.iter().map(|query| self.seen(query, first).start).min().unwrap_or(0);
        let end = queries.iter().map(|query| self.seen(query, first).end).max().unwrap_or(0);
        let table_end = self.table_positions.saturating_sub(first).min(end);
        let mut vectors = [queries[0].vector; TILE];
        vectors.iter_mut().zip(queries).for_each(|(place, query)| *place = query.vector);
        let block_tokens = self.config.block_tokens;
        for offset in (start / WIDTH * WIDTH..table_end).step_by(WIDTH) {
            let position = first + offset;
            let keys = self.pages.key_block(self.blocks[position / block_tokens], self.kv_head);
            // SAFETY: the caller keeps the promise of `L`.
            let tile = unsafe { score_tile::<L>(&vectors, keys, position % block_tokens, block_tokens) };
            for (query, tile) in (0..queries.len()).zip(&tile) {
                scores[query * CHUNK + offset..][..WIDTH].copy_from_slice(tile);
            }
        }
        for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(CHUNK)) {
            let seen = self.seen(query, first);
            for (offset, score) in scores.iter_mut().enumerate().take(seen.end).skip(seen.start.max(table_end)) {
                let slot = query.row.branch[first + offset - self.table_positions];
                // SAFETY: the caller keeps the promise of `L`.
                *score = unsafe { self.score_one::<L>(query.vector, slot) };
            }
        }
    }

    /// A single product, in the order of [`score_tile`].
    #[inline(always)]
    unsafe fn score_one<L: Lanes>(&self, vector: &[f32], slot: usize) -> f32 {
        let (block, offset) = self.pages.place(slot);
        let keys = self.pages.key_block(block, self.kv_head);
        let mut sum = 0.0;
        for (query, key) in vector.iter().zip(keys[offset..].iter().step_by(self.config.block_tokens)) {
            // SAFETY: the caller keeps the promise of `L`.
            sum = unsafe { L::multiply_add_one(sum, *query, *key) };
        }
        sum
    }

    /// Turns scores into weights: scaled, less their maximum, exponentiated; zero where the query does not see.
    #[inline(always)]
    fn soften(&self, query: &Query, first: usize, scores: &mut [f32]) -> Partial {
        let seen = self.seen(query, first);
        let mut partial = Partial::empty(self.config.head_dim);
        if seen.is_empty() {
            return partial;
        }
        scores[..seen.start].fill(f32::NEG_INFINITY);
        scores[seen.end..].fill(f32::NEG_INFINITY);
        let padded = &mut scores[..seen.end.next_multiple_of(LANES)];
        let mut largest = [f32::NEG_INFINITY; LANES];
        for lanes in padded.chunks_exact_mut(LANES) {
            for lane in 0..LANES {
                lanes[lane] *= self.config.scale;
                largest[lane] = if lanes[lane] > largest[lane] { lanes[lane] } else { largest[lane] };
            }
        }
        partial.largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = [0.0_f32; LANES];
        for lanes in padded.chunks_exact_mut(LANES) {
            for lane in 0..LANES {
                lanes[lane] = exp(lanes[lane] - partial.largest);
                sums[lane] += lanes[lane];
            }
        }
        partial.sum = sums.into_iter().sum();
        partial
    }

    /// Adds weighted values to the partials of a tile of one to four queries.
    #[inline(always)]
    unsafe fn outputs<L: Lanes>(&self, queries: &[Query], first: usize, weights: &[f32], partials: &mut [Partial]) {
        // SAFETY: the caller keeps the promise of `L`.
        unsafe {
            match queries.len() {
                1 => self.output_tile::<L, 1>(queries, first, weights, partials),
                2 => self.output_tile::<L, 2>(queries, first, weights, partials),
                3 => self.output_tile::<L, 3>(queries, first, weights, partials),
                _ => self.output_tile::<L, TILE>(queries, first, weights, partials),
            }
        }
    }

    /// The positions that all queries of a tile see, together; those before and behind, query by query.
    #[inline(always)]
    unsafe fn output_tile<L: Lanes, const QUERIES: usize>(
        &self,
        queries: &[Query],
        first: usize,
        weights: &[f32],
        partials: &mut [Partial],
    ) {
        let seen: [Range<usize>; QUERIES] = std::array::from_fn(|index| self.seen(&queries[index], first));
        let weights: [&[f32]; QUERIES] = std::array::from_fn(|index| &weights[index * CHUNK..][..CHUNK]);
        let start = seen.iter().map(|seen| seen.start).max().unwrap_or(0);
        let end = seen.iter().map(|seen| seen.end).min().unwrap_or(0).max(start);
        let tile = std::array::from_fn(|index| &queries[index]);
        for (index, query) in queries.iter().enumerate() {
            let before = seen[index].start..start.min(seen[index].end);
            // SAFETY: the caller keeps the promise of `L`.
            unsafe { self.add_values::<L, 1>([query], first, before, [weights[index]], &mut partials[index..=index]) };
        }
        // SAFETY: the caller keeps the promise of `L`.
        unsafe { self.add_values::<L, QUERIES>(tile, first, start..end, weights, partials) };
        for (index, query) in queries.iter().enumerate() {
            let behind = end.max(seen[index].start)..seen[index].end;
            // SAFETY: the caller keeps the promise of `L`.
            unsafe { self.add_values::<L, 1>([query], first, behind, [weights[index]], &mut partials[index..=index]) };
        }
    }

    /// `output += weight(j) * value(j)` over positions of the table in runs of a block, then over branches.
    #[inline(always)]
    unsafe fn add_values<L: Lanes, const QUERIES: usize>(
        &self,
        queries: [&Query; QUERIES],
        first: usize,
        positions: Range<usize>,
        weights: [&[f32]; QUERIES],
        partials: &mut [Partial],
    ) {
        let table_end = self.table_positions.saturating_sub(first).min(positions.end);
        let block_tokens = self.config.block_tokens;
        let mut offset = positions.start;
        while offset < table_end {
            let position = first + offset;
            let in_block = position % block_tokens;
            let run = (block_tokens - in_block).min(table_end - offset);
            let values = self.pages.value_block(self.blocks[position / block_tokens], self.kv_head);
            let values = &values[in_block * self.config.head_dim..][..run * self.config.head_dim];
            let weights = weights.map(|weights| &weights[offset..offset + run]);
            // SAFETY: the caller keeps the promise of `L`.
            unsafe { value_tile::<L, QUERIES>(self.config.head_dim, values, weights, partials) };
            offset += run;
        }
        for offset in offset..positions.end {
            for (index, query) in queries.iter().enumerate() {
                let slot = query.row.branch[first + offset - self.table_positions];
                let values = self.pages.value_row(slot, self.kv_head);
                let weights = [&weights[index][offset..][..1]; 1];
                let partial = &mut partials[index..=index];
                // SAFETY: the caller keeps the promise of `L`.
                unsafe { value_tile::<L, 1>(self.config.head_dim, values, weights, partial) };
            }
        }
    }
}

/// Products of four queries with sixteen keys, columns `column..column + 16` of a block.
#[inline(always)]
unsafe fn score_tile<L: Lanes>(
    vectors: &[&[f32]; TILE],
    keys: &[f32],
    column: usize,
    block_tokens: usize,
) -> [[f32; WIDTH]; TILE] {
    let mut scores = [[0.0; WIDTH]; TILE];
    // SAFETY: the caller keeps the promise of `L`; `keys` has `block_tokens` columns, a multiple of sixteen, for each
    // number of the vectors, and `column` is a multiple of sixteen below it.
    unsafe {
        let mut sums = [[L::splat(0.0); 2]; TILE];
        for (dimension, keys) in keys.chunks_exact(block_tokens).enumerate() {
            let keys = [L::load(&keys[column..column + LANES]), L::load(&keys[column + LANES..column + WIDTH])];
            for (sums, vector) in sums.iter_mut().zip(vectors) {
                let query = L::splat(*vector.get_unchecked(dimension));
                sums[0] = sums[0].multiply_add(query, keys[0]);
                sums[1] = sums[1].multiply_add(query, keys[1]);
            }
        }
        for (scores, sums) in scores.iter_mut().zip(sums) {
            sums[0].store(&mut scores[..LANES]);
            sums[1].store(&mut scores[LANES..]);
        }
    }
    scores
}

/// `output += weight * value` over the rows of `values`, `[positions, head_dim]`, for some queries at once.
#[inline(always)]
unsafe fn value_tile<L: Lanes, const QUERIES: usize>(
    head_dim: usize,
    values: &[f32],
    weights: [&[f32]; QUERIES],
    partials: &mut [Partial],
) {
    for column in (0..head_dim).step_by(WIDTH) {
        // SAFETY: the caller keeps the promise of `L`; outputs and rows of `values` have `head_dim` numbers, a multiple
        // of sixteen, and `weights` as many as there are rows.
        unsafe {
            let mut sums = [[L::splat(0.0); 2]; QUERIES];
            for (sums, partial) in sums.iter_mut().zip(partials.iter()) {
                *sums = [L::load(&partial.output[column..]), L::load(&partial.output[column + LANES..])];
            }
            for (position, values) in values.chunks_exact(head_dim).enumerate() {
                let values =
                    [L::load(&values[column..column + LANES]), L::load(&values[column + LANES..column + WIDTH])];
                for (sums, weights) in sums.iter_mut().zip(&weights) {
                    let weight = L::splat(*weights.get_unchecked(position));
                    sums[0] = sums[0].multiply_add(weight, values[0]);
                    sums[1] = sums[1].multiply_add(weight, values[1]);
                }
            }
            for (sums, partial) in sums.into_iter().zip(partials.iter_mut()) {
                sums[0].store(&mut partial.output[column..column + LANES]);
                sums[1].store(&mut partial.output[column + LANES..column + WIDTH]);
            }
        }
    }
}
