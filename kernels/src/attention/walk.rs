//! One piece of attention: a group of rows walks some chunks over one key and value head, in tiles of a few queries.

use std::ops::Range;

use super::chunk::{ChunkTile, Scratch};
use super::partial::Partials;
use super::plan::{Group, Piece};
use super::rows::{Row, Sequence};
use super::tile::TILE;
use super::{Attention, CHUNK};
use crate::lanes::{Lanes, Program};

/// A piece to be run.
pub(super) struct Walk<'a> {
    pub(super) attention: &'a Attention<'a>,
    pub(super) group: &'a Group,
    pub(super) sequence: &'a Sequence,
    chunks: Range<usize>,
    /// Whether other pieces have the group's other chunks.
    is_cut: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(attention: &'a Attention<'a>, groups: &'a [Group], piece: &Piece) -> Self {
        let group = &groups[piece.group];
        let sequence = &attention.rows.sequences[group.sequence];
        Self { attention, group, sequence, chunks: piece.chunks.clone(), is_cut: group.pieces.len() > 1 }
    }

    /// Queries of the group.
    fn queries(&self) -> usize {
        self.group.rows.len() * self.attention.config.group()
    }

    /// Tiles as equal as can be.
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> {
        let queries = self.queries();
        let count = queries.div_ceil(TILE);
        (0..count).map(move |tile| tile * queries / count..(tile + 1) * queries / count)
    }

    pub(super) fn row(&self, query: usize) -> &'a Row {
        &self.attention.rows.rows[self.group.rows.start + query / self.attention.config.group()]
    }

    /// Keys from a position to the end of its block, as [`LayerPages`](super::LayerPages) lays them out; nothing where
    /// the block table does not lead.
    pub(super) fn keys(&self, position: usize) -> &'a [f32] {
        let tokens = self.attention.config.block_tokens;
        let block = self.sequence.blocks.get(position / tokens);
        block.map_or(&[], |block| &self.attention.pages.key_block(*block, self.group.kv_head)[position % tokens..])
    }

    /// Values from a position to the end of its block; nothing where the block table does not lead.
    pub(super) fn values(&self, position: usize) -> &'a [f32] {
        let (tokens, head_dim) = (self.attention.config.block_tokens, self.attention.config.head_dim);
        let values = self.sequence.blocks.get(position / tokens);
        let values = values.map_or(&[][..], |block| self.attention.pages.value_block(*block, self.group.kv_head));
        values.get(position % tokens * head_dim..).unwrap_or(&[])
    }

    /// Rotated queries, tile by tile, `[head_dim, queries of the tile]` each.
    fn packed_queries(&self) -> Vec<f32> {
        let config = self.attention.config;
        let mut packed = vec![0.0; self.queries() * config.head_dim];
        let mut head = vec![0.0; config.head_dim];
        for tile in self.tiles() {
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

impl Program for Walk<'_> {
    /// One outcome, or one for each chunk where the group is cut: merging is not associative to the last bit.
    type Output = Vec<Partials>;

    fn run<L: Lanes>(self, lanes: L) -> Vec<Partials> {
        let head_dim = self.attention.config.head_dim;
        let queries = self.packed_queries();
        let mut scratch = Scratch::new(head_dim);
        let mut outcomes = vec![Partials::new(self.queries(), head_dim)];
        for chunk in self.chunks.clone() {
            if self.is_cut && chunk > self.chunks.start {
                outcomes.push(Partials::new(self.queries(), head_dim));
            }
            let outcome = outcomes.last_mut().expect("there is one outcome at least");
            for tile in self.tiles() {
                let queries = &queries[tile.start * head_dim..tile.end * head_dim];
                let first = chunk * CHUNK;
                match tile.len() {
                    1 => ChunkTile::<L, 1, 8>::new(lanes, &self, tile, queries, first).run(&mut scratch, outcome),
                    2 => ChunkTile::<L, 2, 4>::new(lanes, &self, tile, queries, first).run(&mut scratch, outcome),
                    3 => ChunkTile::<L, 3, 4>::new(lanes, &self, tile, queries, first).run(&mut scratch, outcome),
                    4 => ChunkTile::<L, 4, 2>::new(lanes, &self, tile, queries, first).run(&mut scratch, outcome),
                    5 => ChunkTile::<L, 5, 2>::new(lanes, &self, tile, queries, first).run(&mut scratch, outcome),
                    _ => ChunkTile::<L, TILE, 2>::new(lanes, &self, tile, queries, first).run(&mut scratch, outcome),
                }
            }
        }
        outcomes
    }
}
