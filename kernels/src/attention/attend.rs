//! Runs the pieces of attention on the caller's threads and puts their outcomes together.

use std::sync::Mutex;

use super::pages::with_pool;
use super::partial::Partials;
use super::plan::{Group, Plan};
use super::walk::Walk;
use super::{AttentionConfig, CheckedRows, Columns, LayerPages, PositionBias};
use crate::lanes::{Lanes, Program, dispatch};
use crate::parallel::{Parallel, Serial};
use crate::rotary::CosSin;
use crate::simd::Simd;

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
    /// What scores are moved by; `None` where rows see what stands behind them.
    pub position_bias: Option<PositionBias<'a>>,
}

/// Attends with every row over its sequence; `output` is `[rows, heads * head_dim]`.
///
/// # Panics
/// When the queries or `output` are smaller than `rows` and `config` say, `rows` were checked for another configuration
/// or a larger pool, or `simd` is not available.
pub fn attend(simd: Simd, attention: Attention, output: &mut [f32], parallel: &dyn Parallel) {
    attention.rows.assert_fit(attention.config, attention.pages);
    let width = attention.config.heads * attention.config.head_dim;
    assert!(output.len() >= attention.rows.rows.len() * width, "`output` has a place for every row");
    let plan = Plan::new(attention.config, attention.rows);
    let parallel = if plan.is_parallel { parallel } else { &Serial };
    let gathered: Vec<_> = plan.groups.iter().map(|group| Gathered::new(group.pieces.len())).collect();
    parallel.for_each(plan.pieces.len(), &|index| {
        let piece = &plan.pieces[index];
        let outcomes = with_pool!(&attention.pages.0, pool => {
            dispatch(simd, Walk::new(&attention, pool, &plan.groups, piece))
        });
        gathered[piece.group].put(simd, index - plan.groups[piece.group].pieces.start, outcomes);
    });
    for (group, gathered) in plan.groups.iter().zip(gathered) {
        finish(&attention, group, &gathered.into_total(), output);
    }
}

/// The outcomes of a group's pieces. The thread that brings the last one merges them all, so that merging is shared
/// among threads as well.
struct Gathered {
    /// By piece, empty as long as it is missing; in the end the merged outcome alone.
    outcomes: Mutex<Vec<Vec<Partials>>>,
}

impl Gathered {
    fn new(pieces: usize) -> Self {
        Self { outcomes: Mutex::new((0..pieces).map(|_| Vec::new()).collect()) }
    }

    fn put(&self, simd: Simd, piece: usize, outcomes: Vec<Partials>) {
        let mut all = self.outcomes.lock().expect("no piece panics with the lock");
        all[piece] = outcomes;
        if all.iter().all(|outcomes| !outcomes.is_empty()) {
            let total = dispatch(simd, Merge(std::mem::take(&mut *all)));
            *all = vec![vec![total]];
        }
    }

    /// The merged outcome.
    fn into_total(self) -> Partials {
        let all = self.outcomes.into_inner().expect("no piece panics with the lock");
        all.into_iter().flatten().next().expect("every piece was run")
    }
}

/// Merges outcomes in the order of their chunks.
struct Merge(Vec<Vec<Partials>>);

impl Program for Merge {
    type Output = Partials;

    fn run<L: Lanes>(self, lanes: L) -> Partials {
        let mut outcomes = self.0.into_iter().flatten();
        let mut total = outcomes.next().expect("a group has a piece");
        for outcome in outcomes {
            total.merge(lanes, &outcome);
        }
        total
    }
}

fn finish(attention: &Attention, group: &Group, total: &Partials, output: &mut [f32]) {
    let AttentionConfig { heads, head_dim, .. } = *attention.config;
    let shared = attention.config.group();
    for query in 0..group.rows.len() * shared {
        let row = group.rows.start + query / shared;
        let head = group.kv_head * shared + query % shared;
        total.finish(query, &mut output[(row * heads + head) * head_dim..][..head_dim]);
    }
}
