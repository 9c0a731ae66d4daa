//! One piece of attention: a group of rows walks some chunks over one key and value head, in tiles of a few queries.

use std::ops::Range;

use super::blocks::blocks;
use super::chunk::{Scratch, Tile, TilePlace};
use super::pages::{Element, Pool};
use super::partial::Partials;
use super::plan::{Group, Piece};
use super::rows::{Row, Sequence};
use super::{Attention, CHUNK};
use crate::lanes::{Lanes, Program};

/// Positions whose keys, or values, stay in the first-level cache while all tiles read them.
const SPAN: usize = 32;

/// A piece to be run.
pub(super) struct Walk<'a, E: Element> {
    pub(super) attention: &'a Attention<'a>,
    pub(super) pool: &'a Pool<E>,
    pub(super) group: &'a Group,
    pub(super) sequence: &'a Sequence,
    chunks: Range<usize>,
    /// Whether other pieces have the group's other chunks.
    is_cut: bool,
}

impl<'a, E: Element> Walk<'a, E> {
    pub(super) fn new(attention: &'a Attention<'a>, pool: &'a Pool<E>, groups: &'a [Group], piece: &Piece) -> Self {
        let group = &groups[piece.group];
        let sequence = &attention.rows.sequences[group.sequence];
        Self { attention, pool, group, sequence, chunks: piece.chunks.clone(), is_cut: group.pieces.len() > 1 }
    }

    /// Queries of the group.
    fn queries(&self) -> usize {
        self.group.rows.len() * self.attention.config.group()
    }

    /// Tiles as equal as can be.
    fn tiles<L: Lanes>(&self) -> impl Iterator<Item = Range<usize>> {
        let queries = self.queries();
        let count = queries.div_ceil(L::TILE_QUERIES);
        (0..count).map(move |tile| tile * queries / count..(tile + 1) * queries / count)
    }

    pub(super) fn row(&self, query: usize) -> &'a Row {
        &self.attention.rows.rows[self.group.rows.start + query / self.attention.config.group()]
    }

    /// Rotated queries, tile by tile, `[head_dim, queries of the tile]` each.
    fn packed_queries<L: Lanes>(&self) -> Vec<f32> {
        let config = self.attention.config;
        let mut packed = vec![0.0; self.queries() * config.head_dim];
        let mut head = vec![0.0; config.head_dim];
        for tile in self.tiles::<L>() {
            for query in tile.clone() {
                let row = self.group.rows.start + query / config.group();
                let number = self.group.kv_head * config.group() + query % config.group();
                head.copy_from_slice(self.attention.queries.part(row, number * config.head_dim, config.head_dim));
                if let Some(cos_sin) = &self.attention.cos_sin {
                    cos_sin.rotate(&mut head, config.rotary_dim, self.row(query).position);
                }
                let places = packed[tile.start * config.head_dim + query - tile.start..].iter_mut();
                places.step_by(tile.len()).zip(&head).for_each(|(place, number)| *place = *number);
            }
        }
        packed
    }
}

impl<E: Element> Program for Walk<'_, E> {
    /// One outcome, or one for each chunk where the group is cut: merging is not associative to the last bit.
    type Output = Vec<Partials>;

    fn run<L: Lanes>(self, lanes: L) -> Vec<Partials> {
        let head_dim = self.attention.config.head_dim;
        let queries = self.packed_queries::<L>();
        let mut scratch = Scratch::new(self.queries(), head_dim);
        let mut outcomes = vec![Partials::new(self.queries(), head_dim)];
        for chunk in self.chunks.clone() {
            if self.is_cut && chunk > self.chunks.start {
                outcomes.push(Partials::new(self.queries(), head_dim));
            }
            let outcome = outcomes.last_mut().expect("there is one outcome at least");
            self.run_chunk(lanes, &queries, chunk * CHUNK, &mut scratch, outcome);
        }
        outcomes
    }
}

impl<E: Element> Walk<'_, E> {
    /// Adds the outcome of the chunk that begins at position `first`.
    fn run_chunk<L: Lanes>(
        &self,
        lanes: L,
        queries: &[f32],
        first: usize,
        scratch: &mut Scratch,
        outcome: &mut Partials,
    ) {
        let blocks = blocks(self, first);
        let span = SPAN.div_ceil(self.attention.config.block_tokens);
        let mut tiles = self.chunk_tiles(lanes, queries, first, scratch);
        for blocks in blocks.chunks(span) {
            tiles.iter_mut().for_each(|tile| tile.score(blocks));
        }
        tiles.iter_mut().for_each(|tile| tile.soften(&blocks));
        for blocks in blocks.chunks(span) {
            tiles.iter_mut().for_each(|tile| tile.add(blocks));
        }
        tiles.iter_mut().for_each(|tile| tile.finish(outcome));
    }

    fn chunk_tiles<'t, L: Lanes + 't>(
        &'t self,
        lanes: L,
        queries: &'t [f32],
        first: usize,
        scratch: &'t mut Scratch,
    ) -> Vec<Box<dyn Tile<E> + 't>> {
        let head_dim = self.attention.config.head_dim;
        let mut weights = &mut scratch.weights[..];
        let mut outputs = &mut scratch.outputs[..];
        let mut tiles = Vec::with_capacity(self.queries().div_ceil(L::TILE_QUERIES));
        for tile in self.tiles::<L>() {
            let place = TilePlace {
                walk: self,
                queries: &queries[tile.start * head_dim..tile.end * head_dim],
                weights: weights.split_off_mut(..tile.len()).expect("each query has a place"),
                outputs: outputs.split_off_mut(..tile.len() * head_dim).expect("each query has a place"),
                first_query: tile.start,
                first,
            };
            tiles.push(place.tile(lanes, tile.len()));
        }
        tiles
    }
}
