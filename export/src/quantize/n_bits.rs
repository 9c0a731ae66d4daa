//! A tensor as `com.microsoft.MatMulNBits` reads it: blocks of 32 codes in a row, a scale each, no minima.
//!
//! A weight is `scale * (code - 8)` with 4 bits and `scale * (code - 128)` with 8. Q4_0 and Q8_0 have exactly that form and
//! are kept; other codes are quantised again.

use rayon::prelude::*;
use veridraft_kernels::{WeightFormat, WeightRow};

use super::quantize_q8;
use crate::checkpoint::{TensorSource, rows_and_columns};
use crate::{Error, Result, Weights};

/// Scales that are tried for a block of 4 bits, below and above the one that reaches the largest weight.
const TRIES: i32 = 8;

/// A matrix `[n, k]` in blocks.
pub(crate) struct NBits {
    /// `[n, k / 32, 32 * bits / 8]`, the last block filled up with zero weights; low halves of a byte come first.
    pub(crate) codes: Vec<u8>,
    /// `[n, k / 32]`
    pub(crate) scales: Vec<f32>,
}

impl NBits {
    /// Weights that share a scale.
    pub(crate) const BLOCK: usize = super::BLOCK;
}

/// Bits of the codes of the tensor `name`, 4 or 8; `None` where it stays a matrix of floats.
pub(crate) fn bits(tensors: &dyn TensorSource, name: &str, weights: Weights) -> Option<usize> {
    match (weights, tensors.format(name)) {
        (Weights::F32, _) | (Weights::Auto, Some(WeightFormat::F32) | None) => None,
        (Weights::Q4, _) | (Weights::Auto, Some(WeightFormat::Q4)) => Some(4),
        (Weights::Q8 | Weights::Auto, _) => Some(8),
    }
}

/// The tensor `name` in blocks of codes of `bits` bits.
pub(crate) fn n_bits(tensors: &dyn TensorSource, name: &str, bits: usize) -> Result<NBits> {
    let fail = |reason: String| Error::Checkpoint { path: tensors.path().to_owned(), reason };
    let [n, _] = rows_and_columns(name, &tensors.shape(name).unwrap_or_default()).map_err(fail)?;
    let rows = tensors.read_rows(name, 0..n)?;
    let rows: Result<Vec<_>, String> = rows.into_par_iter().map(|row| blocks(row, bits)).collect();
    let rows = rows.map_err(|reason| fail(format!("tensor `{name}`: {reason}")))?;
    let (codes, scales): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    Ok(NBits { codes: codes.concat(), scales: scales.concat() })
}

/// A row's bytes and scales.
fn blocks(row: WeightRow, bits: usize) -> Result<(Vec<u8>, Vec<f32>), String> {
    let (codes, scales) = codes_and_scales(row, bits)?;
    let padded = codes.len().next_multiple_of(NBits::BLOCK);
    let bytes = match bits {
        4 => {
            let code = |k: usize| codes.get(k).map_or(8, |code| *code as u8);
            (0..padded).step_by(2).map(|k| code(k) | code(k + 1) << 4).collect()
        }
        _ => (0..padded).map(|k| codes.get(k).map_or(128, |code| (i16::from(*code) + 128) as u8)).collect(),
    };
    Ok((bytes, scales))
}

/// A row's own codes, 0 to 15 or -128 to 127, and scales, where they have this form, else those of the row quantised again.
fn codes_and_scales(row: WeightRow, bits: usize) -> Result<(Vec<i8>, Vec<f32>), String> {
    match (row, bits) {
        (WeightRow::Q4 { codes, scales }, 4) | (WeightRow::Q8 { codes, scales }, 8) => {
            Ok((codes, scales.iter().map(|scale| scale.to_f32()).collect()))
        }
        (row, 4) => symmetric_q4(&row.dequantize()),
        (row, _) => codes_and_scales(quantize_q8(&row.dequantize())?, 8),
    }
}

/// Codes from 0 to 15 and scales so that `scale * (code - 8)` has little error: for each block the best of some scales
/// around the one that maps the largest weight to -8.
fn symmetric_q4(weights: &[f32]) -> Result<(Vec<i8>, Vec<f32>), String> {
    if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
        return Err(format!("a weight is {weight}, expected a finite number"));
    }
    let (mut codes, mut scales) = (Vec::with_capacity(weights.len()), Vec::new());
    for block in weights.chunks(NBits::BLOCK) {
        let largest =
            block.iter().copied().fold(0.0_f32, |largest, x| if x.abs() > largest.abs() { x } else { largest });
        let tries = (-TRIES..=TRIES).map(|step| largest / (-8.0 - 0.1 * step as f32));
        let error = |scale: f32| block.iter().map(|x| (x - scale * (code(*x, scale) - 8.0)).powi(2)).sum::<f32>();
        let scale = tries.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(0.0);
        codes.extend(block.iter().map(|x| code(*x, scale) as i8));
        scales.push(scale);
    }
    Ok((codes, scales))
}

/// The nearest code, a whole number from 0 to 15.
fn code(weight: f32, scale: f32) -> f32 {
    if scale == 0.0 { 8.0 } else { (weight / scale + 8.0).round().clamp(0.0, 15.0) }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn weights(bytes: &[u8], scales: &[f32], bits: usize) -> Vec<f32> {
        let codes: Vec<f32> = match bits {
            4 => bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).map(|code| f32::from(code) - 8.0).collect(),
            _ => bytes.iter().map(|code| f32::from(*code) - 128.0).collect(),
        };
        codes.iter().enumerate().map(|(k, code)| scales[k / NBits::BLOCK] * code).collect()
    }

    #[test]
    fn codes_of_the_same_form_are_kept() {
        let scales = vec![f16::from_f32(0.5), f16::from_f32(-2.0)];
        let q4 = WeightRow::Q4 { codes: (0..64).map(|k| k % 16).collect(), scales: scales.clone() };
        let q8 = WeightRow::Q8 { codes: (-32..32).map(|k| k * 4).collect(), scales };
        for (row, bits) in [(q4, 4), (q8, 8)] {
            let (bytes, scales) = blocks(row.clone(), bits).expect("finite");
            assert_eq!(weights(&bytes, &scales, bits), row.dequantize());
        }
    }

    #[test]
    fn floats_are_met_within_half_a_step_and_the_last_block_is_filled_up() {
        let row: Vec<f32> = (0..40).map(|k| (k as f32 * 0.7).sin()).collect();
        for (bits, step) in [(4, 0.15), (8, 0.009)] {
            let (bytes, scales) = blocks(WeightRow::F32(row.clone()), bits).expect("finite");
            let found = weights(&bytes, &scales, bits);
            assert_eq!((found.len(), scales.len()), (64, 2));
            assert!(found[40..].iter().all(|weight| *weight == 0.0));
            row.iter().zip(&found).for_each(|(row, found)| assert!((row - found).abs() < step, "{row} {found}"));
        }
        assert!(symmetric_q4(&[f32::NAN]).is_err());
        assert_eq!(symmetric_q4(&[0.0; 32]).expect("finite").1, [0.0]);
    }
}
