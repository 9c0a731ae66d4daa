//! What happens to finished sums: bias, gate, residual; then they go out.

use super::MatMul;
use super::split::Unit;
use super::tile::Sums;
use crate::exp::exp;
use crate::lanes::{Job, LANES, Lanes};

/// Finishes the sums of a tile and writes them out.
pub(super) struct Finish<'a, 'b> {
    pub(super) matmul: &'a MatMul<'a>,
    pub(super) unit: Unit<'a>,
    pub(super) first_row: usize,
    /// Of each row: those of one panel or two, or of the gate and what it is multiplied with.
    pub(super) sums: &'a Sums,
    /// The column of the output that the rows' parts begin with.
    pub(super) column: usize,
    pub(super) parts: &'a mut [&'b mut [f32]],
}

impl Job for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let MatMul { bias, residual, is_gated, .. } = self.matmul;
        let Unit { column, columns, .. } = self.unit;
        let all_columns = self.matmul.columns();
        let bias = bias.get(column..column + columns).unwrap_or(&[]);
        for (row, part) in self.parts.iter_mut().enumerate() {
            let place = (self.first_row + row) * all_columns + column;
            let residual = residual.get(place..place + columns).unwrap_or(&[]);
            let output = &mut part[column - self.column..][..columns];
            let [first, second] = &self.sums[row];
            if *is_gated {
                let gated = lanes.multiply(silu(lanes, lanes.load(first)), lanes.load(second));
                write(lanes, gated, &[], residual, output);
            } else if columns <= LANES {
                write(lanes, lanes.load(first), bias, residual, output);
            } else {
                let (output, behind) = output.split_at_mut(LANES);
                write(lanes, lanes.load(first), bias, residual, output);
                let (bias, residual) = (from(bias, LANES), from(residual, LANES));
                write(lanes, lanes.load(second), bias, residual, behind);
            }
        }
    }
}

/// What follows the first `start` numbers; nothing of nothing.
#[inline(always)]
fn from(numbers: &[f32], start: usize) -> &[f32] {
    numbers.get(start..).unwrap_or(&[])
}

/// Adds bias and residual, where there are any, to up to eight columns and writes them.
#[inline(always)]
fn write<L: Lanes>(lanes: L, mut sums: L::Vector, bias: &[f32], residual: &[f32], output: &mut [f32]) {
    if !bias.is_empty() {
        sums = lanes.add(sums, lanes.load(&padded(bias)));
    }
    if !residual.is_empty() {
        sums = lanes.add(sums, lanes.load(&padded(residual)));
    }
    match output.first_chunk_mut::<LANES>() {
        Some(output) => lanes.store(sums, output),
        None => {
            let mut numbers = [0.0; LANES];
            lanes.store(sums, &mut numbers);
            output.copy_from_slice(&numbers[..output.len()]);
        }
    }
}

/// Up to eight numbers, zeros behind them.
#[inline(always)]
fn padded(numbers: &[f32]) -> [f32; LANES] {
    if let Some(numbers) = numbers.first_chunk() {
        return *numbers;
    }
    let mut result = [0.0; LANES];
    result[..numbers.len()].copy_from_slice(numbers);
    result
}

/// `x / (1 + exp(-x))` (Elfwing et al. 2017), by the exponential of the negative size, which cannot overflow.
#[inline(always)]
fn silu<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    let zero = lanes.splat(0.0);
    let decay = exp(lanes, lanes.subtract(zero, lanes.absolute(x)));
    let (one, below) = (lanes.splat(1.0), lanes.multiply(x, decay));
    // `x` where it is positive, `x * exp(x)` where it is negative.
    let numerator = lanes.add(lanes.larger(x, zero), lanes.smaller(below, zero));
    lanes.divide(numerator, lanes.add(one, decay))
}
