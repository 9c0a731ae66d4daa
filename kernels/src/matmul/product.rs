//! The product itself: operands, checks, and the walk of each task over its tiles.

use super::activations::Activations;
use super::epilogue::Finish;
use super::split::{Task, Unit, Units, tasks};
use super::tile::{TILE_ROWS, multiply};
use crate::lanes::{LANES, Lanes, Program, dispatch};
use crate::parallel::{Parallel, Serial};
use crate::simd::Simd;
use crate::weights::PackedWeights;

/// Rows whose activations stay in the second-level cache while a task walks over its panels.
const CHUNK_ROWS: usize = 128;

/// Bytes of weights times rows below which waking threads costs more than it brings.
const SMALL: usize = 48 * 1024;

/// A product of rows with packed weights.
#[derive(Clone, Copy, Debug)]
pub struct MatMul<'a> {
    /// `[rows, k]`, f32
    pub input: &'a [f32],
    /// Weights of one `k`; their columns follow one another in the output.
    pub weights: &'a [PackedWeights<'a>],
    /// What is done to the input first.
    pub norm: Option<RmsNorm<'a>>,
    /// `[columns]`, added to the sums; empty for none, as in every gated product.
    pub bias: &'a [f32],
    /// Two weights of the same size give `silu(first) * second` (Shazeer 2020), as many columns as one of them.
    pub is_gated: bool,
    /// `[rows, columns]`, added last; empty for none.
    pub residual: &'a [f32],
}

/// Root mean square normalisation (Zhang and Sennrich 2019).
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<'a> {
    /// `[k]`
    pub weight: &'a [f32],
    /// Added to the mean of squares.
    pub epsilon: f32,
}

impl MatMul<'_> {
    pub(super) fn k(&self) -> usize {
        self.weights[0].k()
    }

    pub(super) fn rows(&self) -> usize {
        self.input.len() / self.k()
    }

    /// Columns of the output.
    pub(super) fn columns(&self) -> usize {
        let counted = if self.is_gated { &self.weights[..1] } else { self.weights };
        counted.iter().map(PackedWeights::n).sum()
    }

    fn assert_fit(&self, output: &[f32]) {
        let k = self.k();
        assert!(self.weights.iter().all(|weights| weights.k() == k), "weights of one `k`");
        assert!(self.input.len().is_multiple_of(k), "`input` has whole rows");
        assert!(self.norm.is_none_or(|norm| norm.weight.len() == k), "a norm weight for every `k`");
        let is_pair = self.weights.len() == 2 && self.weights[0].n() == self.weights[1].n();
        let can_be_gated = is_pair && self.bias.is_empty();
        assert!(!self.is_gated || can_be_gated, "a gated product has two weights of one size and no bias");
        let (rows, columns) = (self.rows(), self.columns());
        assert!(self.bias.is_empty() || self.bias.len() == columns, "a bias for every column");
        assert!(self.residual.is_empty() || self.residual.len() == rows * columns, "a residual for every place");
        assert_eq!(output.len(), rows * columns, "a place for every row and column");
    }
}

/// Multiplies; `output` is `[rows, columns]`.
///
/// # Panics
/// When operands do not belong together, or `simd` is not available.
pub fn matmul(simd: Simd, matmul: &MatMul, output: &mut [f32], parallel: &dyn Parallel) {
    matmul.assert_fit(output);
    if matmul.rows() == 0 {
        return;
    }
    let bytes: usize = matmul.weights.iter().map(PackedWeights::bytes).sum();
    let parallel = if bytes.saturating_mul(matmul.rows()) < SMALL { &Serial } else { parallel };
    let activations = Activations::new(simd, matmul, parallel);
    let units = Units::new(matmul);
    let tasks = tasks(matmul, &units, output);
    parallel.for_each(tasks.len(), &|index| {
        let task = &mut tasks[index].lock().expect("no other task has it");
        dispatch(simd, Walk { matmul, activations: &activations, units: &units, task });
    });
}

/// One task over its tiles.
struct Walk<'a, 'b> {
    matmul: &'a MatMul<'a>,
    activations: &'a Activations,
    units: &'a Units<'a>,
    task: &'a mut Task<'b>,
}

impl Program for Walk<'_, '_> {
    type Output = ();

    fn run<L: Lanes>(mut self, lanes: L) {
        let rows = self.matmul.rows();
        for chunk in (0..rows).step_by(CHUNK_ROWS) {
            let chunk = chunk..(chunk + CHUNK_ROWS).min(rows);
            for unit in self.task.units.clone() {
                let unit = self.units.get(unit);
                let tiles = chunk.len().div_ceil(TILE_ROWS);
                for tile in 0..tiles {
                    let bound = |tile: usize| chunk.start + tile * chunk.len() / tiles;
                    self.tile(lanes, unit, bound(tile)..bound(tile + 1));
                }
            }
        }
    }
}

impl Walk<'_, '_> {
    fn tile<L: Lanes>(&mut self, lanes: L, unit: Unit, rows: std::ops::Range<usize>) {
        let weights = &self.matmul.weights;
        let first = weights[unit.weights];
        let panels = match (self.matmul.is_gated, unit.panels) {
            (true, _) => [first.panel(unit.panel), weights[1].panel(unit.panel)],
            (false, 2) => [first.panel(unit.panel), first.panel(unit.panel + 1)],
            (false, _) => [first.panel(unit.panel), &[]],
        };
        let sums = if self.matmul.is_gated && weights[1].format() != first.format() {
            let [gate, up] = panels;
            let gate = multiply(lanes, first.format(), &[gate], self.activations, rows.clone());
            let up = multiply(lanes, weights[1].format(), &[up], self.activations, rows.clone());
            std::array::from_fn(|row| [gate[row][0], up[row][0]])
        } else {
            multiply(lanes, first.format(), &panels[..unit.panels], self.activations, rows.clone())
        };
        for (row, sums) in rows.zip(&sums) {
            self.finish(lanes, unit, row, sums);
        }
    }

    fn finish<L: Lanes>(&mut self, lanes: L, unit: Unit, row: usize, [first, second]: &[[f32; LANES]; 2]) {
        let MatMul { bias, residual, is_gated, .. } = self.matmul;
        let place = row * self.matmul.columns() + unit.column;
        let bias = bias.get(unit.column..unit.column + unit.columns).unwrap_or(&[]);
        let residual = residual.get(place..place + unit.columns).unwrap_or(&[]);
        let output = &mut self.task.parts[row][unit.column - self.task.column..][..unit.columns];
        let finish = Finish { sums: first, gated: None, bias, residual, output };
        if *is_gated {
            lanes.run(Finish { gated: Some(second), ..finish });
        } else if unit.columns <= LANES {
            lanes.run(finish);
        } else {
            let (before, behind) = finish.split();
            lanes.run(before);
            lanes.run(Finish { sums: second, ..behind });
        }
    }
}
