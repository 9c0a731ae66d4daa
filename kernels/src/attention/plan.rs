//! How attention is cut into pieces that threads can run.
//!
//! A group is some rows of a sequence over one key and value head; a piece is a group over some chunks. Many rows make
//! groups enough by themselves; a few rows over a long context are cut by chunks too. The cut decides who computes what
//! and when, never what is computed.

use std::ops::Range;

use super::{AttentionConfig, CHUNK, CheckedRows};

/// Queries of a group: their states stay in the second-level cache beside a chunk's keys and values.
const GROUP_QUERIES: usize = 96;

/// Pieces that keep a few threads busy to the end.
const ENOUGH_PIECES: usize = 24;

/// Multiplications below which waking threads costs more than it brings.
const SMALL: usize = 1 << 18;

/// Some rows of one sequence under one key and value head.
pub(super) struct Group {
    pub(super) sequence: usize,
    pub(super) kv_head: usize,
    pub(super) rows: Range<usize>,
    /// The group's pieces.
    pub(super) pieces: Range<usize>,
}

/// A group over some chunks.
pub(super) struct Piece {
    pub(super) group: usize,
    pub(super) chunks: Range<usize>,
}

/// The pieces of one call, group by group, chunks in order.
pub(super) struct Plan {
    pub(super) groups: Vec<Group>,
    pub(super) pieces: Vec<Piece>,
    /// Whether the work is worth waking threads for.
    pub(super) is_parallel: bool,
}

impl Plan {
    pub(super) fn new(config: &AttentionConfig, rows: &CheckedRows) -> Self {
        let heads = config.group();
        let seen: usize = rows.rows.iter().map(|row| row.seen.len()).sum();
        let is_parallel = seen.saturating_mul(2 * config.heads * config.head_dim) >= SMALL;
        let mut rows_a_group = (GROUP_QUERIES / heads).max(1);
        let mut groups = groups(config, rows, rows_a_group);
        while is_parallel && pieces_at_most(&groups, rows) < ENOUGH_PIECES / 2 && rows_a_group * heads > 12 {
            rows_a_group = rows_a_group.div_ceil(2);
            groups = self::groups(config, rows, rows_a_group);
        }
        let pieces_a_group = if is_parallel { ENOUGH_PIECES.div_ceil(groups.len().max(1)) } else { 1 };
        let mut pieces = Vec::new();
        for (index, group) in groups.iter_mut().enumerate() {
            let chunks = chunks(group, rows);
            let step = chunks.len().div_ceil(pieces_a_group).max(1);
            let first = pieces.len();
            let cut = chunks.clone().step_by(step).map(|chunk| chunk..(chunk + step).min(chunks.end));
            pieces.extend(cut.map(|chunks| Piece { group: index, chunks }));
            group.pieces = first..pieces.len();
        }
        Self { groups, pieces, is_parallel }
    }
}

fn groups(config: &AttentionConfig, rows: &CheckedRows, rows_a_group: usize) -> Vec<Group> {
    let mut groups = Vec::new();
    for (index, sequence) in rows.sequences.iter().enumerate() {
        for kv_head in 0..config.kv_heads {
            for start in sequence.rows.clone().step_by(rows_a_group) {
                let rows = start..(start + rows_a_group).min(sequence.rows.end);
                groups.push(Group { sequence: index, kv_head, rows, pieces: 0..0 });
            }
        }
    }
    groups
}

fn pieces_at_most(groups: &[Group], rows: &CheckedRows) -> usize {
    groups.iter().map(|group| chunks(group, rows).len()).sum()
}

/// Chunks that some row of the group sees.
fn chunks(group: &Group, rows: &CheckedRows) -> Range<usize> {
    let seen = rows.rows[group.rows.clone()].iter().map(|row| &row.seen);
    let first = seen.clone().map(|seen| seen.start).min().unwrap_or(0);
    let end = seen.map(|seen| seen.end).max().unwrap_or(0);
    first / CHUNK..end.div_ceil(CHUNK)
}
