//! Splits attention into tasks and runs them.
//!
//! A task is a group of rows over one key and value head, for all chunks or for one. Many rows make tasks enough by
//! themselves; a few rows over a long context are split by chunks, whose outcomes are merged afterwards. Both orders of
//! work are the same sequence of operations for each row.

use std::ops::Range;
use std::sync::Mutex;

use super::chunk::{Query, Walk};
use super::partial::Partial;
use super::rows::Sequence;
use super::{AttentionConfig, CHUNK, CheckedRows, Columns, LayerPages};
use crate::lanes::Portable;
use crate::parallel::{Parallel, Serial};
use crate::rotary::CosSin;
use crate::simd::Simd;

/// Queries that walk together: their weights, 256 numbers each, stay in the second-level cache.
const GROUP_QUERIES: usize = 48;

/// Tasks that keep a few threads busy; with fewer, long walks are split by chunks.
const ENOUGH_TASKS: usize = 8;

/// Multiplications below which waking threads costs more than it brings.
const SMALL: usize = 1 << 16;

/// The operands of one layer's attention.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// Sizes.
    pub config: &'a AttentionConfig,
    /// Keys and values, the new rows' already appended.
    pub pages: &'a LayerPages,
    /// Where the rows stand.
    pub rows: &'a CheckedRows,
    /// `[rows, heads * head_dim]`, not rotated yet.
    pub queries: Columns<'a>,
    /// Rotation of the queries.
    pub cos_sin: Option<CosSin<'a>>,
}

/// Some rows of one sequence under one key and value head.
struct Group<'a> {
    sequence: &'a Sequence,
    kv_head: usize,
    rows: Range<usize>,
}

/// Attends with every row over its sequence; `output` is `[rows, heads * head_dim]`.
///
/// # Panics
/// When the queries or `output` are smaller than `rows` and `config` say, or `rows` were checked for another
/// configuration or a larger pool.
pub fn attend(simd: Simd, attention: Attention, output: &mut [f32], parallel: &dyn Parallel) {
    attention.rows.assert_fit(attention.config, attention.pages);
    let width = attention.config.heads * attention.config.head_dim;
    assert!(output.len() >= attention.rows.rows.len() * width, "`output` has a place for every row");
    let groups = attention.groups();
    let work: usize = groups.iter().map(|group| attention.work(group)).sum();
    let parallel = if work < SMALL { &Serial } else { parallel };
    let walks = groups.iter().map(|group| attention.chunks(group)).collect::<Vec<_>>();
    let pieces: Vec<(usize, Range<usize>)> = if groups.len() >= ENOUGH_TASKS || work < SMALL {
        walks.into_iter().enumerate().collect()
    } else {
        let split = |(group, chunks): (usize, Range<usize>)| chunks.map(move |chunk| (group, chunk..chunk + 1));
        walks.into_iter().enumerate().flat_map(split).collect()
    };
    let outcomes: Vec<Mutex<Vec<Partial>>> = pieces.iter().map(|_| Mutex::default()).collect();
    parallel.for_each(pieces.len(), &|task| {
        let (group, chunks) = pieces[task].clone();
        *outcomes[task].lock().expect("no task panics with the lock") = attention.run(simd, &groups[group], chunks);
    });
    let outcomes = outcomes.into_iter().map(|outcome| outcome.into_inner().expect("no task panics with the lock"));
    let mut pieces = pieces.iter().zip(outcomes).peekable();
    while let Some(((group, _), mut partials)) = pieces.next() {
        while let Some((_, more)) = pieces.next_if(|((next, _), _)| next == group) {
            partials.iter_mut().zip(&more).for_each(|(partial, more)| partial.merge(more));
        }
        attention.finish(&groups[*group], &partials, output);
    }
}

impl Attention<'_> {
    fn groups(&self) -> Vec<Group<'_>> {
        let rows_a_group = (GROUP_QUERIES / self.config.group()).max(1);
        let mut groups = Vec::new();
        for sequence in &self.rows.sequences {
            for kv_head in 0..self.config.kv_heads {
                for start in sequence.rows.clone().step_by(rows_a_group) {
                    let rows = start..(start + rows_a_group).min(sequence.rows.end);
                    groups.push(Group { sequence, kv_head, rows });
                }
            }
        }
        groups
    }

    /// Chunks that some row of the group sees; empty chunks of a row change nothing.
    fn chunks(&self, group: &Group) -> Range<usize> {
        let rows = &self.rows.rows[group.rows.clone()];
        let last = rows.iter().map(|row| row.position).max().unwrap_or(0);
        let earliest = rows.iter().map(|row| row.position).min().unwrap_or(0);
        let first = self.config.window.map_or(0, |window| (earliest + 1).saturating_sub(window));
        first / CHUNK..last / CHUNK + 1
    }

    /// Multiplications of a group, roughly.
    fn work(&self, group: &Group) -> usize {
        let queries = group.rows.len() * self.config.group();
        queries * self.chunks(group).len() * CHUNK * self.config.head_dim * 2
    }

    fn run(&self, simd: Simd, group: &Group, chunks: Range<usize>) -> Vec<Partial> {
        match simd {
            Simd::Portable => self.run_portable(group, chunks),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => {
                assert!(simd.is_available(), "AVX2 is dispatched only where it is");
                // SAFETY: the processor has AVX2 and FMA.
                unsafe { self.run_avx2(group, chunks) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            Simd::Avx2 => unreachable!("AVX2 is dispatched only where it is"),
        }
    }

    fn run_portable(&self, group: &Group, chunks: Range<usize>) -> Vec<Partial> {
        // SAFETY: the portable lanes run everywhere.
        unsafe { self.run_lanes::<Portable>(group, chunks) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn run_avx2(&self, group: &Group, chunks: Range<usize>) -> Vec<Partial> {
        // SAFETY: this function is compiled for what the lanes need.
        unsafe { self.run_lanes::<crate::lanes::Avx2>(group, chunks) }
    }

    /// Walks a group over some chunks, merging them in order.
    ///
    /// # Safety
    /// Runs where `L` may be used.
    #[inline(always)]
    unsafe fn run_lanes<L: crate::lanes::Lanes>(&self, group: &Group, chunks: Range<usize>) -> Vec<Partial> {
        let head_dim = self.config.head_dim;
        let vectors = self.rotated(group);
        let heads = self.config.group();
        let query = |(index, vector)| Query { row: &self.rows.rows[group.rows.start + index / heads], vector };
        let queries: Vec<_> = vectors.chunks_exact(head_dim).enumerate().map(query).collect();
        let walk = Walk {
            config: self.config,
            pages: self.pages,
            kv_head: group.kv_head,
            blocks: &group.sequence.blocks,
            table_positions: group.sequence.table_positions,
        };
        let mut weights = vec![0.0; queries.len() * CHUNK];
        let mut sum = vec![Partial::empty(head_dim); queries.len()];
        for chunk in chunks {
            // SAFETY: the caller keeps the promise of `L`.
            let partials = unsafe { walk.chunk::<L>(&queries, chunk, &mut weights) };
            sum.iter_mut().zip(&partials).for_each(|(sum, partial)| sum.merge(partial));
        }
        sum
    }

    /// Rotated queries of a group, `[rows * heads of the group, head_dim]`.
    fn rotated(&self, group: &Group) -> Vec<f32> {
        let (head_dim, heads) = (self.config.head_dim, self.config.group());
        let mut vectors = Vec::with_capacity(group.rows.len() * heads * head_dim);
        for row in group.rows.clone() {
            vectors.extend_from_slice(self.queries.part(row, group.kv_head * heads * head_dim, heads * head_dim));
        }
        if let Some(cos_sin) = &self.cos_sin {
            for (index, head) in vectors.chunks_exact_mut(head_dim).enumerate() {
                let position = self.rows.rows[group.rows.start + index / heads].position;
                cos_sin.rotate(head, self.config.rotary_dim, position);
            }
        }
        vectors
    }

    fn finish(&self, group: &Group, partials: &[Partial], output: &mut [f32]) {
        let (head_dim, heads) = (self.config.head_dim, self.config.group());
        for (index, partial) in partials.iter().enumerate() {
            let row = group.rows.start + index / heads;
            let head = group.kv_head * heads + index % heads;
            partial.finish(&mut output[(row * self.config.heads + head) * head_dim..][..head_dim]);
        }
    }
}
