//! Floats to 4 bits with a scale and a minimum for 32: a search for the least squared error.
//!
//! A block's smallest and largest weight need not be codes 0 and 15: giving up a little at the ends makes the steps
//! between finer. For a given scale and minimum the best codes are the nearest ones, and for given codes the best scale
//! and minimum are the line of least squares through (code, weight). The search starts from several ranges, a little
//! inside and outside of the one from smallest to largest, takes such steps in turn from each, and keeps the best grid
//! that it saw. The idea of fitting a line at each of several ranges is that of the K-quants in llama.cpp, which try a row
//! of scales; here each end moves by itself, in as many starts.
//!
//! The error is a plain sum of squares, the expected error of a product with inputs of which nothing is known. Normally
//! distributed weights then keep an error of 0.0694 of their deviation, against 0.0783 without a search, 0.0711 where
//! both ends move together in sixteen starts, 0.0700 where a square counts by its weight's size plus a deviation, and
//! 0.0736 where it counts by its weight's square.

use half::f16;
use veridraft_kernels::WeightRow;

use super::BLOCK;

const LARGEST_CODE: f32 = 15.0;

/// By how much of the block's range an end is moved inwards at the start. Eight of them are four times the starts and
/// leave 0.0690 of the deviation; 32 of them, with four fits, 0.0686.
const INSETS: [f32; 4] = [-0.01, 0.02, 0.05, 0.08];

/// Fits from each start; a third one leaves 0.0692.
const FITS: usize = 2;

/// Rounds a row to [`WeightRow::Q4Minimum`], with the least squared error that a search of each block finds: never more
/// than with codes from the block's smallest to its largest weight. The last block may be shorter than 32.
///
/// The error names a weight that is not finite or that no 16-bit float is near.
pub fn quantize_q4(weights: &[f32]) -> Result<WeightRow, String> {
    if let Some(weight) = weights.iter().find(|weight| !f16::from_f32(**weight).is_finite()) {
        return Err(format!("weight {weight} is too large for 4 bits with a 16-bit minimum"));
    }
    let (mut codes, mut scales) = (Vec::with_capacity(weights.len()), Vec::new());
    for weights in weights.chunks(BLOCK) {
        let grid = search(weights);
        codes.extend(weights.iter().map(|weight| grid.code(*weight) as i8));
        scales.push([grid.scale, grid.minimum].map(f16::from_f32));
    }
    Ok(WeightRow::Q4Minimum { codes, scales })
}

fn search(weights: &[f32]) -> Grid {
    let low = weights.iter().copied().fold(f32::INFINITY, f32::min);
    let high = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let plain = Grid::over(low, high);
    let mut best = Best { grid: plain, error: plain.measure(weights).error };
    for low_inset in INSETS {
        for high_inset in INSETS {
            let range = high - low;
            let start = Grid::over(low + low_inset * range, high - high_inset * range);
            best.improve(start, weights);
        }
    }
    best.grid
}

/// The best grid so far.
struct Best {
    grid: Grid,
    error: f32,
}

impl Best {
    /// Takes turns of the best codes for a grid and the best grid for codes.
    fn improve(&mut self, start: Grid, weights: &[f32]) {
        let mut grid = start;
        for _ in 0..=FITS {
            let Measured { error, fitted } = grid.measure(weights);
            // A grid outside of the 16-bit floats has an infinite error, or one that is not a number.
            if error < self.error {
                *self = Self { grid, error };
            }
            let Some(fitted) = fitted else { break };
            grid = fitted;
        }
    }
}

/// The values that a block's weights can have: from `minimum` in steps of `scale`, both 16-bit floats that are widened.
#[derive(Clone, Copy, Debug)]
struct Grid {
    scale: f32,
    minimum: f32,
    /// `1 / scale`, or 0 where the scale is 0.
    inverse: f32,
}

/// How well a grid does.
struct Measured {
    /// Sum of squared differences between weights and their nearest values.
    error: f32,
    /// The best grid for the same codes; `None` when they are all equal.
    fitted: Option<Grid>,
}

impl Grid {
    fn new(scale: f32, minimum: f32) -> Self {
        let [scale, minimum] = [scale, minimum].map(|number| f16::from_f32(number).to_f32());
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        Self { scale, minimum, inverse }
    }

    /// From code 0 at `low` to the last at `high`.
    fn over(low: f32, high: f32) -> Self {
        Self::new((high - low) / LARGEST_CODE, low)
    }

    /// The code of the nearest value.
    fn code(&self, weight: f32) -> f32 {
        // Floats from here on are whole numbers, so the sum is rounded to one. `round` makes the search slower
        // where the processor may not be assumed to have an instruction for it.
        const WHOLE: f32 = (1 << 23) as f32;
        let code = (weight - self.minimum) * self.inverse;
        code.clamp(0.0, LARGEST_CODE) + WHOLE - WHOLE
    }

    /// The error, and the line of least squares through the weights over their codes.
    fn measure(&self, weights: &[f32]) -> Measured {
        let (mut codes, mut code_squares, mut heights, mut products, mut error) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for weight in weights {
            let code = self.code(*weight);
            // Sums of what lies above the minimum lose no digits to a minimum far from zero.
            let height = weight - self.minimum;
            codes += code;
            code_squares += code * code;
            heights += height;
            products += code * height;
            let difference = weight - (self.scale * code + self.minimum);
            error += difference * difference;
        }
        let count = weights.len() as f32;
        let determinant = count * code_squares - codes * codes;
        let fitted = (determinant != 0.0).then(|| {
            let scale = (count * products - codes * heights) / determinant;
            Self::new(scale, self.minimum + (heights - scale * codes) / count)
        });
        Measured { error, fitted }
    }
}

#[cfg(test)]
mod tests;
