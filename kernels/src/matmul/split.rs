//! Who computes what: panels in pairs, pairs in tasks, and each task's columns of the output.

use std::ops::Range;
use std::sync::Mutex;

use super::MatMul;
use crate::weights::{PANEL_COLUMNS, PackedWeights, WeightFormat};

/// Work, in bytes of weights times rows, that is worth a task of its own, or waking a thread.
const TASK_WORK: usize = 48 * 1024;

/// Tasks for each thread, at most. Every task begins with weights that nobody has asked for yet: with eight a thread, eight
/// rows took 1.4 times as long as with two.
const TASKS_A_THREAD: usize = 2;

/// One or two panels that a tile multiplies at once, and where their columns go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit<'a> {
    pub(super) first: Panel<'a>,
    /// The panel behind it; in a gated product the one that the first is the gate of.
    pub(super) second: Option<Panel<'a>>,
    /// The first column of the output.
    pub(super) column: usize,
    /// Columns of the output.
    pub(super) columns: usize,
}

/// A panel of some weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel<'a> {
    pub(super) format: WeightFormat,
    pub(super) bytes: &'a [u8],
}

impl<'a> Panel<'a> {
    fn of(weights: &PackedWeights<'a>, panel: usize) -> Self {
        Self { format: weights.format(), bytes: weights.panel(panel) }
    }
}

/// The units of a product, by number.
pub(super) struct Units<'a> {
    matmul: &'a MatMul<'a>,
}

impl<'a> Units<'a> {
    pub(super) fn new(matmul: &'a MatMul<'a>) -> Self {
        Self { matmul }
    }

    pub(super) fn len(&self) -> usize {
        self.matmul.counted_weights().iter().map(|weights| self.units_of(weights)).sum()
    }

    fn units_of(&self, weights: &PackedWeights) -> usize {
        let panels = weights.n().div_ceil(PANEL_COLUMNS);
        if self.matmul.is_gated { panels } else { panels.div_ceil(2) }
    }

    pub(super) fn get(&self, mut index: usize) -> Unit<'a> {
        let mut start = 0;
        for weights in self.matmul.counted_weights() {
            let count = self.units_of(weights);
            if index < count {
                return if self.matmul.is_gated { self.gated(index) } else { pair(weights, index, start) };
            }
            index -= count;
            start += weights.n();
        }
        unreachable!("a unit below `len`")
    }

    /// The same panel of gate and gated weights.
    fn gated(&self, index: usize) -> Unit<'a> {
        let [gate, gated] = [0, 1].map(|weights| Panel::of(&self.matmul.weights[weights], index));
        let column = index * PANEL_COLUMNS;
        let columns = PANEL_COLUMNS.min(self.matmul.weights[0].n() - column);
        Unit { first: gate, second: Some(gated), column, columns }
    }
}

/// A pair of panels of the weights whose first column is `start`, or the last one alone.
fn pair<'a>(weights: &PackedWeights<'a>, index: usize, start: usize) -> Unit<'a> {
    let column = index * 2 * PANEL_COLUMNS;
    let columns = (2 * PANEL_COLUMNS).min(weights.n() - column);
    let second = (columns > PANEL_COLUMNS).then(|| Panel::of(weights, 2 * index + 1));
    Unit { first: Panel::of(weights, 2 * index), second, column: start + column, columns }
}

/// Units of one task and, row by row, its part of the output.
pub(super) struct Task<'a> {
    pub(super) units: Range<usize>,
    /// The first column of the parts.
    pub(super) column: usize,
    pub(super) parts: Vec<&'a mut [f32]>,
}

/// Bytes of weights times rows.
fn work(matmul: &MatMul) -> usize {
    let bytes: usize = matmul.weights.iter().map(PackedWeights::bytes).sum();
    bytes.saturating_mul(matmul.rows())
}

/// Whether a product is worth waking threads for.
pub(super) fn is_worth_threads(matmul: &MatMul) -> bool {
    work(matmul) >= TASK_WORK
}

/// Cuts a product into tasks of about equal work; each owns its columns of `output`, `[rows, columns]`.
pub(super) fn tasks<'a>(matmul: &MatMul, units: &Units, output: &'a mut [f32], threads: usize) -> Vec<Mutex<Task<'a>>> {
    let most = (TASKS_A_THREAD * threads).min(units.len());
    let count = (work(matmul) / TASK_WORK).clamp(1, most);
    let columns = matmul.columns();
    let bound = |task: usize| task * units.len() / count;
    let column_at = |unit: usize| if unit < units.len() { units.get(unit).column } else { columns };
    let mut tasks: Vec<Task> = (0..count)
        .map(|task| {
            let units = bound(task)..bound(task + 1);
            Task { column: column_at(units.start), units, parts: Vec::with_capacity(matmul.rows()) }
        })
        .collect();
    for mut row in output.chunks_mut(columns).take(matmul.rows()) {
        for task in &mut tasks {
            let (part, rest) = row.split_at_mut(column_at(task.units.end) - task.column);
            task.parts.push(part);
            row = rest;
        }
    }
    tasks.into_iter().map(Mutex::new).collect()
}
