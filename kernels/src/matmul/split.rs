//! Who computes what: panels in pairs, pairs in tasks, and each task's columns of the output.

use std::ops::Range;
use std::sync::Mutex;

use super::MatMul;
use crate::weights::{PANEL_COLUMNS, PackedWeights};

/// Weights that are worth a task of their own, in bytes times rows.
const TASK_WORK: usize = 48 * 1024;

/// Tasks of a product, at most: enough that a few threads end together.
const MOST_TASKS: usize = 16;

/// One or two panels that a tile multiplies at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Index of the weights.
    pub(super) weights: usize,
    /// The first panel.
    pub(super) panel: usize,
    /// One or two; in a gated product two are panel `panel` of both weights.
    pub(super) panels: usize,
    /// The first column of the output.
    pub(super) column: usize,
    /// Columns of the output.
    pub(super) columns: usize,
}

/// The units of a product, by number.
pub(super) struct Units<'a> {
    weights: &'a [PackedWeights<'a>],
    is_gated: bool,
}

impl<'a> Units<'a> {
    pub(super) fn new(matmul: &MatMul<'a>) -> Self {
        Self { weights: matmul.weights, is_gated: matmul.is_gated }
    }

    pub(super) fn len(&self) -> usize {
        let counted = if self.is_gated { &self.weights[..1] } else { self.weights };
        counted.iter().map(|weights| self.units_of(weights)).sum()
    }

    fn units_of(&self, weights: &PackedWeights) -> usize {
        let panels = weights.n().div_ceil(PANEL_COLUMNS);
        if self.is_gated { panels } else { panels.div_ceil(2) }
    }

    pub(super) fn get(&self, mut index: usize) -> Unit {
        let mut start = 0;
        for (number, weights) in self.weights.iter().enumerate() {
            let count = self.units_of(weights);
            if index < count {
                let panels_a_unit = if self.is_gated { 1 } else { 2 };
                let column = index * panels_a_unit * PANEL_COLUMNS;
                let columns = (panels_a_unit * PANEL_COLUMNS).min(weights.n() - column);
                let panels = if self.is_gated { 2 } else { columns.div_ceil(PANEL_COLUMNS) };
                let panel = column / PANEL_COLUMNS;
                return Unit { weights: number, panel, panels, column: start + column, columns };
            }
            index -= count;
            start += weights.n();
        }
        unreachable!("a unit below `len`")
    }
}

/// Units of one task and, row by row, its part of the output.
pub(super) struct Task<'a> {
    pub(super) units: Range<usize>,
    /// The first column of the parts.
    pub(super) column: usize,
    pub(super) parts: Vec<&'a mut [f32]>,
}

/// Cuts a product into tasks of about equal work; each owns its columns of `output`, `[rows, columns]`.
pub(super) fn tasks<'a>(matmul: &MatMul, units: &Units, output: &'a mut [f32]) -> Vec<Mutex<Task<'a>>> {
    let bytes: usize = matmul.weights.iter().map(PackedWeights::bytes).sum();
    let most = MOST_TASKS.min(units.len());
    let count = (bytes.saturating_mul(matmul.rows()) / TASK_WORK).clamp(1, most);
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
