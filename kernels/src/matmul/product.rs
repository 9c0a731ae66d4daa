//! The product itself: operands, checks, and the walk of each task over its tiles.

use std::ops::Range;

use super::activations::Activations;
use super::epilogue::Finish;
use super::split::{Panel, Task, Unit, Units, is_worth_threads, tasks};
use super::tile::{MOST_ROWS, Operands, Sums};
use crate::lanes::{LANES, Lanes, Program, dispatch};
use crate::parallel::{Parallel, Serial};
use crate::simd::Simd;
use crate::weights::PackedWeights;

/// Rows whose activations stay in the second-level cache while a task walks over its panels.
const CHUNK_ROWS: usize = 128;

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

impl<'a> MatMul<'a> {
    pub(super) fn k(&self) -> usize {
        self.weights[0].k()
    }

    pub(super) fn rows(&self) -> usize {
        self.input.len() / self.k()
    }

    /// Columns of the output.
    pub fn columns(&self) -> usize {
        self.counted_weights().iter().map(PackedWeights::n).sum()
    }

    /// The weights that the output has columns of.
    pub(super) fn counted_weights(&self) -> &'a [PackedWeights<'a>] {
        if self.is_gated { &self.weights[..1] } else { self.weights }
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
    let parallel = if is_worth_threads(matmul) { parallel } else { &Serial };
    let activations = Activations::new(simd, matmul, parallel);
    let units = Units::new(matmul);
    let tasks = tasks(matmul, &units, output, parallel.threads());
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
        let mut sums = [[[0.0; LANES]; 2]; MOST_ROWS];
        for chunk in (0..rows).step_by(CHUNK_ROWS) {
            let chunk = chunk..(chunk + CHUNK_ROWS).min(rows);
            for number in self.task.units.clone() {
                let unit = self.units.get(number);
                // Weights of other tasks are left to them: asking for those too would read much of the matrix twice.
                let next =
                    Some(number + 1).filter(|next| self.task.units.contains(next)).map(|next| self.units.get(next));
                self.unit(lanes, unit, next, chunk.clone(), &mut sums);
            }
        }
    }
}

impl Walk<'_, '_> {
    /// All tiles of a unit.
    fn unit<L: Lanes>(&mut self, lanes: L, unit: Unit, next: Option<Unit>, rows: Range<usize>, sums: &mut Sums) {
        let tiles = rows.len().div_ceil(L::TILE_ROWS);
        for tile in 0..tiles {
            let bound = |tile: usize| rows.start + tile * rows.len() / tiles;
            let rows = bound(tile)..bound(tile + 1);
            self.multiply(lanes, &unit, next.filter(|_| tile == 0), rows.clone(), sums);
            let Task { column, parts, .. } = &mut *self.task;
            let (matmul, first_row, parts) = (self.matmul, rows.start, &mut parts[rows]);
            lanes.run(Finish { matmul, unit, first_row, sums, column: *column, parts });
        }
    }

    /// Multiplies a unit, and asks for the panels of `next` meanwhile.
    fn multiply<L: Lanes>(&self, lanes: L, unit: &Unit, next: Option<Unit>, rows: Range<usize>, sums: &mut Sums) {
        let next_first = next.map_or(&[][..], |next| next.first.bytes);
        let next_second = next.and_then(|next| next.second).map_or(&[][..], |panel| panel.bytes);
        let one = |panel: Panel, next, sums: &mut Sums| {
            let operands = Operands { format: panel.format, panels: [panel.bytes], next: [next] };
            operands.multiply(lanes, self.activations, rows.clone(), sums);
        };
        let first = unit.first;
        match unit.second {
            Some(second) if second.format == first.format => {
                let (panels, next) = ([first.bytes, second.bytes], [next_first, next_second]);
                let operands = Operands { format: first.format, panels, next };
                operands.multiply(lanes, self.activations, rows, sums);
            }
            Some(second) => {
                let mut others = *sums;
                one(second, next_second, &mut others);
                one(first, next_first, sums);
                sums.iter_mut().zip(others).for_each(|(sums, others)| sums[1] = others[0]);
            }
            None => one(first, next_first, sums),
        }
    }
}
