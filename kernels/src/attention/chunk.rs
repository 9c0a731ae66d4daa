//! One chunk of the walks of a tile's queries, with every key and value read once for all of them.
//!
//! Where the queries see different positions, the common ones are added together and the others query by query, so that
//! no query adds anything that it does not see: what lies there may belong to another sequence.

use std::ops::Range;

use super::CHUNK;
use super::blocks::Block;
use super::pages::Element;
use super::partial::{Partials, State};
use super::rows::Row;
use super::softmax::Soften;
use super::tile::{AddValues, Scores};
use super::walk::Walk;
use crate::lanes::{LANES, Lanes, QueriesJob};

/// What is written to again and again.
pub(super) struct Scratch {
    /// `[queries, CHUNK]`: scores, then weights.
    pub(super) weights: Vec<[f32; CHUNK]>,
    /// `[queries, head_dim]`
    pub(super) outputs: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(queries: usize, head_dim: usize) -> Self {
        Self { weights: vec![[0.0; CHUNK]; queries], outputs: vec![0.0; queries * head_dim] }
    }
}

/// Some queries in one chunk, in steps: all tiles take one before any takes the next, so that keys and values are in the
/// cache for all but the first.
pub(super) trait Tile<E: Element> {
    /// Scores what the queries see of some blocks.
    fn score(&mut self, blocks: &[Block<E>]);
    /// Turns scores of all the chunk's blocks, and of branches, into weights.
    fn soften(&mut self, blocks: &[Block<E>]);
    /// Adds weighted values of some blocks.
    fn add(&mut self, blocks: &[Block<E>]);
    /// Adds the chunk's outcome to each query that sees something of it.
    fn finish(&mut self, outcome: &mut Partials);
}

/// What a tile is made of.
pub(super) struct TilePlace<'a, E: Element> {
    pub(super) walk: &'a Walk<'a, E>,
    /// `[head_dim, queries]`
    pub(super) queries: &'a [f32],
    /// `[queries]`
    pub(super) weights: &'a mut [[f32; CHUNK]],
    /// `[queries, head_dim]`
    pub(super) outputs: &'a mut [f32],
    pub(super) first_query: usize,
    /// The sequence position that the chunk begins with.
    pub(super) first: usize,
}

impl<'a, E: Element> TilePlace<'a, E> {
    /// A tile of as many queries, in the path's shape.
    pub(super) fn tile<L: Lanes + 'a>(self, lanes: L, queries: usize) -> Box<dyn Tile<E> + 'a> {
        lanes.with_queries(queries, MakeTile { lanes, place: self })
    }
}

/// A tile on its path, still without its shape.
struct MakeTile<'a, L, E: Element> {
    lanes: L,
    place: TilePlace<'a, E>,
}

impl<'a, L: Lanes + 'a, E: Element> QueriesJob for MakeTile<'a, L, E> {
    type Output = Box<dyn Tile<E> + 'a>;

    fn run<const QUERIES: usize, const KEYS: usize, const OUTPUTS: usize>(self) -> Self::Output {
        Box::new(ChunkTile::<L, E, QUERIES, KEYS, OUTPUTS>::new(self.lanes, self.place))
    }
}

/// A tile of `QUERIES` queries. Positions count from the chunk's first.
struct ChunkTile<'a, L, E: Element, const QUERIES: usize, const KEYS: usize, const OUTPUTS: usize> {
    lanes: L,
    walk: &'a Walk<'a, E>,
    first_query: usize,
    /// `[head_dim, QUERIES]`
    queries: &'a [[f32; QUERIES]],
    weights: &'a mut [[f32; CHUNK]; QUERIES],
    /// `[QUERIES, head_dim]`
    outputs: &'a mut [f32],
    rows: [&'a Row; QUERIES],
    seen: [Range<usize>; QUERIES],
    /// Positions of the table that all queries see.
    common: Range<usize>,
    /// What a query has seen, once scores are weights; nothing where it sees nothing of the chunk.
    states: [Option<State>; QUERIES],
    /// The sequence position that the chunk begins with.
    first: usize,
    /// Positions of the chunk that the block table leads to.
    table_end: usize,
}

impl<L: Lanes, E: Element, const QUERIES: usize, const KEYS: usize, const OUTPUTS: usize> Tile<E>
    for ChunkTile<'_, L, E, QUERIES, KEYS, OUTPUTS>
{
    /// Scores of positions that a query does not see are arbitrary.
    fn score(&mut self, blocks: &[Block<E>]) {
        let (scale, positions) = (self.walk.attention.config.scale, self.seen_in_table());
        let (queries, scores) = (self.queries, &mut *self.weights);
        self.lanes.run(Scores::<E, QUERIES, KEYS> { queries, blocks, positions, scale, scores });
    }

    fn soften(&mut self, blocks: &[Block<E>]) {
        self.score_branches();
        self.add_position_bias();
        let softcap = self.walk.attention.config.softcap;
        for ((state, seen), scores) in self.states.iter_mut().zip(&self.seen).zip(self.weights.iter_mut()) {
            if !seen.is_empty() {
                *state = Some(self.lanes.run(Soften { scores, seen: seen.clone(), softcap }));
            }
        }
        if E::IS_SCALED {
            self.scale_weights(blocks);
        }
    }

    /// Positions that all queries see are added together, those before and behind query by query.
    fn add(&mut self, blocks: &[Block<E>]) {
        for index in 0..QUERIES {
            let seen = self.seen[index].clone();
            self.add_one(index, seen.start..seen.end.min(self.common.start).min(self.table_end), blocks);
        }
        let Self { weights, outputs, .. } = self;
        let positions = self.common.clone();
        self.lanes.run(AddValues::<E, QUERIES, OUTPUTS> { blocks, weights, positions, outputs });
        for index in 0..QUERIES {
            let seen = self.seen[index].clone();
            self.add_one(index, seen.start.max(self.common.end)..seen.end.min(self.table_end), blocks);
        }
    }

    fn finish(&mut self, outcome: &mut Partials) {
        let head_dim = self.queries.len();
        for index in 0..QUERIES {
            self.add_branch(index);
            if let Some(state) = self.states[index] {
                let output = &self.outputs[index * head_dim..][..head_dim];
                outcome.add(self.lanes, self.first_query + index, state, output);
            }
        }
    }
}

impl<'a, L: Lanes, E: Element, const QUERIES: usize, const KEYS: usize, const OUTPUTS: usize>
    ChunkTile<'a, L, E, QUERIES, KEYS, OUTPUTS>
{
    fn new(lanes: L, place: TilePlace<'a, E>) -> Self {
        let TilePlace { walk, queries, weights, outputs, first_query, first } = place;
        let rows: [&Row; QUERIES] = std::array::from_fn(|index| walk.row(first_query + index));
        let in_chunk = |position: usize| position.clamp(first, first + CHUNK) - first;
        let seen = rows.map(|row| in_chunk(row.seen.start)..in_chunk(row.seen.end));
        let table_end = in_chunk(walk.sequence.table_positions);
        let start = seen.iter().map(|seen| seen.start).max().unwrap_or(0);
        let end = seen.iter().map(|seen| seen.end).min().unwrap_or(0).min(table_end);
        let common = start..end.max(start);
        let (queries, _) = queries.as_chunks::<QUERIES>();
        let weights = weights.first_chunk_mut().expect("each query has weights");
        outputs.fill(0.0);
        let states = [None; QUERIES];
        Self { lanes, walk, first_query, queries, weights, outputs, rows, seen, common, states, first, table_end }
    }

    /// Positions of the table that some query sees.
    fn seen_in_table(&self) -> Range<usize> {
        let start = self.seen.iter().map(|seen| seen.start).min().unwrap_or(0);
        let end = self.seen.iter().map(|seen| seen.end).max().unwrap_or(0);
        start..end.min(self.table_end)
    }

    /// Moves the scores that queries see by how far their keys stand before them.
    fn add_position_bias(&mut self) {
        let Some(bias) = &self.walk.attention.position_bias else { return };
        let (group, kv_head) = (self.walk.attention.config.group(), self.walk.group.kv_head);
        for (index, scores) in self.weights.iter_mut().enumerate() {
            let head = kv_head * group + (self.first_query + index) % group;
            let seen = self.seen[index].clone();
            let first = self.first + seen.start;
            bias.add(head, self.rows[index].position, first, &mut scores[seen]);
        }
    }

    /// Scores of positions on branches, eight keys at a time laid side by side, for all queries of a row.
    fn score_branches(&mut self) {
        let mut index = 0;
        while index < QUERIES {
            let row = self.rows[index];
            let queries = self.rows[index..].iter().take_while(|other| std::ptr::eq(**other, row)).count();
            let positions = self.on_branch(index);
            for start in positions.clone().step_by(LANES) {
                let count = LANES.min(positions.end - start);
                let scores = self.score_branch(row, start..start + count);
                for (weights, scores) in self.weights.iter_mut().zip(&scores).skip(index).take(queries) {
                    weights[start..][..count].copy_from_slice(&scores[..count]);
                }
            }
            index += queries;
        }
    }

    /// Scores of at most eight positions on a row's branch, in the first columns.
    fn score_branch(&self, row: &Row, positions: Range<usize>) -> [[f32; CHUNK]; QUERIES] {
        let mut codes = vec![E::Code::default(); LANES * self.queries.len()];
        let mut scales = [0.0; LANES];
        for (lane, position) in positions.enumerate() {
            let (slot, head) = (self.branch_slot(row, position), self.walk.group.kv_head);
            let column = self.walk.pool.key_column(slot, head);
            codes[lane..].iter_mut().step_by(LANES).zip(column).for_each(|(place, code)| *place = *code);
            scales[lane] = self.walk.pool.key_scale(slot, head);
        }
        let (scale, positions) = (self.walk.attention.config.scale, 0..LANES);
        let block =
            Block { keys: &codes, key_stride: LANES, key_scales: &scales, ..Block::<E>::nothing(positions.clone()) };
        let mut scores = [[0.0; CHUNK]; QUERIES];
        let blocks = std::slice::from_ref(&block);
        let (queries, found) = (self.queries, &mut scores);
        self.lanes.run(Scores::<E, QUERIES, 1> { queries, blocks, positions, scale, scores: found });
        scores
    }

    fn branch_slot(&self, row: &Row, position: usize) -> usize {
        self.walk.attention.rows.branches[row.branch.start + self.first + position - self.walk.sequence.table_positions]
    }

    /// Multiplies weights by the scales of the values that they will weigh.
    fn scale_weights(&mut self, blocks: &[Block<E>]) {
        for block in blocks {
            let positions = block.positions.start..block.positions.end.min(self.table_end);
            for weights in self.weights.iter_mut() {
                let weights = weights.get_mut(positions.clone()).unwrap_or_default().iter_mut();
                weights.zip(block.value_scales).for_each(|(weight, scale)| *weight *= scale);
            }
        }
        for index in 0..QUERIES {
            for position in self.on_branch(index) {
                let slot = self.branch_slot(self.rows[index], position);
                self.weights[index][position] *= self.walk.pool.value_scale(slot, self.walk.group.kv_head);
            }
        }
    }

    /// Adds positions of the table that one query sees.
    fn add_one(&mut self, index: usize, positions: Range<usize>, blocks: &[Block<E>]) {
        if positions.is_empty() {
            return;
        }
        let head_dim = self.queries.len();
        let weights = std::array::from_ref(&self.weights[index]);
        let outputs = &mut self.outputs[index * head_dim..][..head_dim];
        self.lanes.run(AddValues::<E, 1, 4> { blocks, weights, positions, outputs });
    }

    /// Adds positions on a query's branch.
    fn add_branch(&mut self, index: usize) {
        for position in self.on_branch(index) {
            let slot = self.branch_slot(self.rows[index], position);
            let values = self.walk.pool.value_row(slot, self.walk.group.kv_head);
            let block = Block { values, ..Block::<E>::nothing(position..position + 1) };
            self.add_one(index, position..position + 1, &[block]);
        }
    }

    /// Positions on a query's branch.
    fn on_branch(&self, index: usize) -> Range<usize> {
        self.seen[index].start.max(self.table_end)..self.seen[index].end
    }
}
