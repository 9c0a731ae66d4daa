//! One chunk of the walks of a tile's queries, with every key and value read once for all of them.
//!
//! Where the queries see different positions, the common ones are added together and the others query by query, so that
//! no query adds anything that it does not see: what lies there may belong to another sequence.

use std::ops::Range;

use super::CHUNK;
use super::partial::{Partials, State};
use super::rows::Row;
use super::softmax::Soften;
use super::tile::{AddValues, Scores, TILE};
use super::walk::Walk;
use crate::lanes::{LANES, Lanes};

/// How many positions before they are needed keys and values are prefetched: two blocks of the usual size.
const AHEAD: usize = 32;

/// What is written to again and again.
pub(super) struct Scratch {
    /// `[TILE, CHUNK]`: scores, then weights.
    weights: Vec<[f32; CHUNK]>,
    /// `[TILE, head_dim]`
    outputs: Vec<f32>,
    /// `[head_dim, LANES]`: keys of a branch, side by side, and their scores in the first columns of `[TILE, CHUNK]`.
    branch_keys: Vec<f32>,
    branch_scores: Vec<[f32; CHUNK]>,
}

impl Scratch {
    pub(super) fn new(head_dim: usize) -> Self {
        Self {
            weights: vec![[0.0; CHUNK]; TILE],
            outputs: vec![0.0; TILE * head_dim],
            branch_keys: vec![0.0; LANES * head_dim],
            branch_scores: vec![[0.0; CHUNK]; TILE],
        }
    }
}

/// Some queries in one chunk. Positions count from the chunk's first.
pub(super) struct ChunkTile<'a, L, const QUERIES: usize, const VECTORS: usize> {
    lanes: L,
    walk: &'a Walk<'a>,
    first_query: usize,
    /// `[head_dim, QUERIES]`
    queries: &'a [[f32; QUERIES]],
    rows: [&'a Row; QUERIES],
    seen: [Range<usize>; QUERIES],
    /// The sequence position that the chunk begins with.
    first: usize,
    /// Positions of the chunk that the block table leads to.
    table_end: usize,
}

impl<'a, L: Lanes, const QUERIES: usize, const VECTORS: usize> ChunkTile<'a, L, QUERIES, VECTORS> {
    pub(super) fn new(lanes: L, walk: &'a Walk, tile: Range<usize>, queries: &'a [f32], first: usize) -> Self {
        let rows: [&Row; QUERIES] = std::array::from_fn(|index| walk.row(tile.start + index));
        let place = |position: usize| position.clamp(first, first + CHUNK) - first;
        let seen = rows.map(|row| place(row.seen.start)..place(row.seen.end));
        let (queries, _) = queries.as_chunks::<QUERIES>();
        let table_end = place(walk.sequence.table_positions);
        Self { lanes, walk, first_query: tile.start, queries, rows, seen, first, table_end }
    }

    /// Adds the chunk's outcome to each query that sees something of it.
    pub(super) fn run(&self, scratch: &mut Scratch, outcome: &mut Partials) {
        let head_dim = self.queries.len();
        self.score_table(first_rows(&mut scratch.weights));
        self.score_branches(scratch);
        let weights = first_rows(&mut scratch.weights);
        let states = self.soften(weights);
        let outputs = &mut scratch.outputs[..QUERIES * head_dim];
        outputs.fill(0.0);
        self.add_all(weights, outputs);
        for (index, state) in states.into_iter().enumerate() {
            if let Some(state) = state {
                outcome.add(self.lanes, self.first_query + index, state, &outputs[index * head_dim..][..head_dim]);
            }
        }
    }

    /// Turns scores into weights; gives nothing for a query that sees nothing of the chunk.
    fn soften(&self, weights: &mut [[f32; CHUNK]; QUERIES]) -> [Option<State>; QUERIES] {
        let mut states = [None; QUERIES];
        for ((state, seen), scores) in states.iter_mut().zip(&self.seen).zip(weights) {
            if !seen.is_empty() {
                *state = Some(self.lanes.run(Soften { scores, seen: seen.clone() }));
            }
        }
        states
    }

    /// Scores of the table's positions; those of positions that a query does not see are arbitrary.
    fn score_table(&self, scores: &mut [[f32; CHUNK]; QUERIES]) {
        let config = self.walk.attention.config;
        let start = self.seen.iter().map(|seen| seen.start).min().unwrap_or(0);
        let end = self.seen.iter().map(|seen| seen.end).max().unwrap_or(0).min(self.table_end);
        let mut offset = start / LANES * LANES;
        while offset < end {
            let position = self.first + offset;
            let (keys, next) = (self.walk.keys(position), self.walk.keys(position + AHEAD));
            let column = position % config.block_tokens;
            if column + 2 * LANES <= config.block_tokens && offset + 2 * LANES <= CHUNK {
                self.score::<2>([keys, next], config.block_tokens, offset, scores);
                offset += 2 * LANES;
            } else {
                self.score::<1>([keys, next], config.block_tokens, offset, scores);
                offset += LANES;
            }
        }
    }

    fn score<const KEYS: usize>(
        &self,
        [keys, next]: [&[f32]; 2],
        stride: usize,
        start: usize,
        scores: &mut [[f32; CHUNK]; QUERIES],
    ) {
        let scale = self.walk.attention.config.scale;
        self.lanes.run(Scores::<QUERIES, KEYS> { queries: self.queries, keys, next, stride, scale, start, scores });
    }

    /// Scores of positions on branches, eight keys at a time laid side by side, for all queries of a row.
    fn score_branches(&self, scratch: &mut Scratch) {
        let mut index = 0;
        while index < QUERIES {
            let row = self.rows[index];
            let queries = self.rows[index..].iter().take_while(|other| std::ptr::eq(**other, row)).count();
            let positions = self.seen[index].start.max(self.table_end)..self.seen[index].end;
            for start in positions.clone().step_by(LANES) {
                let count = LANES.min(positions.end - start);
                self.gather(row, start..start + count, &mut scratch.branch_keys);
                self.score::<1>([&scratch.branch_keys, &[]], LANES, 0, first_rows(&mut scratch.branch_scores));
                for query in index..index + queries {
                    scratch.weights[query][start..][..count].copy_from_slice(&scratch.branch_scores[query][..count]);
                }
            }
            index += queries;
        }
    }

    /// Lays keys of a row's branch side by side.
    fn gather(&self, row: &Row, positions: Range<usize>, keys: &mut [f32]) {
        for (lane, position) in positions.enumerate() {
            let key = self.walk.attention.pages.key_column(self.branch_slot(row, position), self.walk.group.kv_head);
            keys[lane..].iter_mut().step_by(LANES).zip(key).for_each(|(place, number)| *place = *number);
        }
    }

    fn branch_slot(&self, row: &Row, position: usize) -> usize {
        self.walk.attention.rows.branches[row.branch.start + self.first + position - self.walk.sequence.table_positions]
    }

    /// Adds weighted values: positions that all queries see together, those before and behind query by query.
    fn add_all(&self, weights: &[[f32; CHUNK]; QUERIES], outputs: &mut [f32]) {
        let start = self.seen.iter().map(|seen| seen.start).max().unwrap_or(0);
        let end = self.seen.iter().map(|seen| seen.end).min().unwrap_or(0).min(self.table_end).max(start);
        for (index, seen) in self.seen.iter().enumerate() {
            self.add_one(index, seen.start..seen.end.min(start), &weights[index], outputs);
        }
        self.add_table::<QUERIES, VECTORS>(start..end, weights, outputs);
        for (index, seen) in self.seen.iter().enumerate() {
            self.add_one(index, seen.start.max(end)..seen.end, &weights[index], outputs);
        }
    }

    /// Adds what one query sees, in the table and on its branch.
    fn add_one(&self, index: usize, positions: Range<usize>, weights: &[f32; CHUNK], outputs: &mut [f32]) {
        if positions.is_empty() {
            return;
        }
        let head_dim = self.queries.len();
        let weights = std::array::from_ref(weights);
        let output = &mut outputs[index * head_dim..][..head_dim];
        self.add_table::<1, 8>(positions.start..positions.end.min(self.table_end), weights, output);
        for position in positions.start.max(self.table_end)..positions.end {
            let slot = self.branch_slot(self.rows[index], position);
            let value = self.walk.attention.pages.value_row(slot, self.walk.group.kv_head);
            let positions = position..position + 1;
            self.lanes.run(AddValues::<1, 8> { values: value, next: &[], weights, positions, outputs: output });
        }
    }

    /// Adds positions that the table leads to, block by block.
    fn add_table<const ROWS: usize, const COLUMNS: usize>(
        &self,
        positions: Range<usize>,
        weights: &[[f32; CHUNK]; ROWS],
        outputs: &mut [f32],
    ) {
        let config = self.walk.attention.config;
        let mut offset = positions.start;
        while offset < positions.end {
            let position = self.first + offset;
            let count = (config.block_tokens - position % config.block_tokens).min(positions.end - offset);
            let (values, next) = (self.walk.values(position), self.walk.values(position + AHEAD));
            let positions = offset..offset + count;
            self.lanes.run(AddValues::<ROWS, COLUMNS> { values, next, weights, positions, outputs });
            offset += count;
        }
    }
}

/// The rows of a tile with fewer than [`TILE`] queries.
fn first_rows<const QUERIES: usize>(rows: &mut [[f32; CHUNK]]) -> &mut [[f32; CHUNK]; QUERIES] {
    rows.first_chunk_mut().expect("a tile has at most `TILE` queries")
}
