//! The blocks of one chunk of a sequence, found once for all tiles that walk it.

use std::ops::Range;

use super::CHUNK;
use super::pages::Element;
use super::walk::Walk;

/// How many positions before they are needed keys and values are prefetched: two blocks of the usual size.
const AHEAD: usize = 32;

/// Keys and values that lie together.
pub(super) struct Block<'a, E: Element> {
    /// Where they stand, counted from the chunk's first position; the first is a multiple of 8.
    pub(super) positions: Range<usize>,
    /// The codes of one dimension behind those of another, `key_stride` apart, from the first key on.
    pub(super) keys: &'a [E::Code],
    pub(super) key_stride: usize,
    /// `[positions]`; nothing where the type has none.
    pub(super) key_scales: &'a [f32],
    /// `[positions, head_dim]`
    pub(super) values: &'a [E::Code],
    /// `[positions]`; nothing where the type has none.
    pub(super) value_scales: &'a [f32],
    /// Keys in the same layout that will be read somewhat later, or nothing.
    pub(super) next_keys: &'a [E::Code],
    /// Values in the same layout that will be read somewhat later, or nothing.
    pub(super) next_values: &'a [E::Code],
}

impl<E: Element> Block<'_, E> {
    /// Neither keys nor values.
    pub(super) fn nothing(positions: Range<usize>) -> Self {
        Self {
            positions,
            keys: &[],
            key_stride: 1,
            key_scales: &[],
            values: &[],
            value_scales: &[],
            next_keys: &[],
            next_values: &[],
        }
    }
}

/// The blocks of a chunk, as far as the block table leads.
pub(super) fn blocks<'a, E: Element>(walk: &Walk<'a, E>, first: usize) -> Vec<Block<'a, E>> {
    let config = walk.attention.config;
    let (pool, head, tokens) = (walk.pool, walk.group.kv_head, config.block_tokens);
    let place = |position: usize| Some((*walk.sequence.blocks.get(position / tokens)?, position % tokens));
    let keys = |(block, offset): (usize, usize)| &pool.key_block(block, head)[offset..];
    let values = |(block, offset): (usize, usize)| &pool.value_block(block, head)[offset * config.head_dim..];
    let mut blocks = Vec::with_capacity(CHUNK / tokens + 2);
    let mut position = first;
    while position < first + CHUNK {
        let Some((block, offset)) = place(position) else { break };
        let count = (tokens - offset).min(first + CHUNK - position);
        let (next, start) = (place(position + AHEAD), position - first);
        let scales = |scales: &'a [f32]| if E::IS_SCALED { &scales[offset..] } else { scales };
        blocks.push(Block {
            positions: start..start + count,
            keys: keys((block, offset)),
            key_stride: tokens,
            key_scales: scales(pool.key_scales(block, head)),
            values: values((block, offset)),
            value_scales: scales(pool.value_scales(block, head)),
            next_keys: next.map_or(&[], keys),
            next_values: next.map_or(&[], values),
        });
        position += count;
    }
    blocks
}
