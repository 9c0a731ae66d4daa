//! What happens to finished sums: bias, gate, residual; then they go out.

use crate::exp::exp;
use crate::lanes::{Job, LANES, Lanes};

/// Writes some columns of one row.
pub(super) struct Finish<'a> {
    /// Sums of one panel, or of the gate's and of the other's.
    pub(super) sums: &'a [f32; LANES],
    /// Sums that the gated ones are multiplied by.
    pub(super) gated: Option<&'a [f32; LANES]>,
    /// One a column, or nothing.
    pub(super) bias: &'a [f32],
    /// One a column, or nothing.
    pub(super) residual: &'a [f32],
    /// One to eight places.
    pub(super) output: &'a mut [f32],
}

impl Finish<'_> {
    /// The first eight columns and those behind them; both with the sums of the first.
    pub(super) fn split(self) -> (Self, Self) {
        let Self { sums, gated, bias, residual, output } = self;
        let (bias, more_bias) = bias.split_at(LANES.min(bias.len()));
        let (residual, more_residual) = residual.split_at(LANES.min(residual.len()));
        let (output, more_output) = output.split_at_mut(LANES);
        let behind = Self { sums, gated, bias: more_bias, residual: more_residual, output: more_output };
        (Self { sums, gated, bias, residual, output }, behind)
    }
}

impl Job for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let mut sums = lanes.load(self.sums);
        if !self.bias.is_empty() {
            sums = lanes.add(sums, lanes.load(&padded(self.bias)));
        }
        if let Some(gated) = self.gated {
            sums = lanes.multiply(silu(lanes, sums), lanes.load(gated));
        }
        if !self.residual.is_empty() {
            sums = lanes.add(sums, lanes.load(&padded(self.residual)));
        }
        match self.output.first_chunk_mut::<LANES>() {
            Some(output) => lanes.store(sums, output),
            None => {
                let mut numbers = [0.0; LANES];
                lanes.store(sums, &mut numbers);
                self.output.copy_from_slice(&numbers[..self.output.len()]);
            }
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
