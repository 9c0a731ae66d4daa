//! Floats to 8 bits with a scale for 32.

use half::f16;
use veridraft_kernels::WeightRow;

use super::BLOCK;

const LARGEST_CODE: f32 = 127.0;

/// Rounds a row to [`WeightRow::Q8`], each weight to within half a scale. The last block may be shorter than 32.
///
/// The error names a weight that is not finite, or larger than 127 times the largest 16-bit float.
pub fn quantize_q8(weights: &[f32]) -> Result<WeightRow, String> {
    let scales = weights.chunks(BLOCK).map(scale).collect::<Result<Vec<_>, _>>()?;
    let mut codes = Vec::with_capacity(weights.len());
    for (weights, scale) in weights.chunks(BLOCK).zip(&scales) {
        let scale = scale.to_f32();
        // A scale of zero has no weights but zeros.
        let code = |weight: &f32| if scale == 0.0 { 0 } else { (weight / scale).round() as i8 };
        codes.extend(weights.iter().map(code));
    }
    Ok(WeightRow::Q8 { codes, scales })
}

/// The least scale that reaches the block's largest weight. One rounded to nearest could fall short of it, by half a step
/// where 16-bit floats are subnormal.
fn scale(weights: &[f32]) -> Result<f16, String> {
    let size = |weight: &f32| weight.abs();
    let Some(largest) = weights.iter().copied().max_by(|a, b| size(a).total_cmp(&size(b))) else {
        return Ok(f16::ZERO);
    };
    let exact = largest.abs() / LARGEST_CODE;
    let nearest = f16::from_f32(exact);
    let scale = if nearest.to_f32() < exact { f16::from_bits(nearest.to_bits() + 1) } else { nearest };
    if scale.is_finite() { Ok(scale) } else { Err(format!("weight {largest} is too large for 8 bits")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(weights: &[f32]) -> (Vec<i8>, Vec<f16>) {
        match quantize_q8(weights).expect("the weights are small enough") {
            WeightRow::Q8 { codes, scales } => (codes, scales),
            other => panic!("{}", other.format()),
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        assert_eq!(parts(&[0.0, -0.0, 0.0]), (vec![0, 0, 0], vec![f16::ZERO]));
        assert_eq!(parts(&[]), (vec![], vec![]));
    }

    #[test]
    fn multiples_of_a_16_bit_scale_are_exact() {
        let weights: Vec<f32> = (-127..=127).map(|code| code as f32 * 0.25).collect();
        let row = quantize_q8(&weights[..32]).unwrap();
        assert_eq!(row.dequantize(), &weights[..32]);
        assert_eq!(parts(&weights[..32]).0[..2], [-127, -126]);
    }

    #[test]
    fn a_short_last_block_has_its_own_scale() {
        let (codes, scales) = parts(&[[1.0; 32].as_slice(), &[127.0]].concat());
        assert_eq!((codes.len(), scales.len()), (33, 2));
        assert_eq!((codes[32], scales[1]), (127, f16::ONE));
    }

    #[test]
    fn weights_that_no_scale_reaches_are_named() {
        let refused = |weight: f32, expected: &str| {
            assert_eq!(
                quantize_q8(&[1.0, weight, 2.0]).unwrap_err(),
                format!("weight {expected} is too large for 8 bits")
            );
        };
        refused(1e7, "10000000");
        refused(-1e30, &format!("-1{}", "0".repeat(30)));
        refused(f32::INFINITY, "inf");
        refused(f32::NAN, "NaN");
        assert!(quantize_q8(&[65504.0 * 127.0]).is_ok());
    }

    proptest! {
        #[test]
        fn no_weight_moves_by_more_than_half_a_scale(
            weights in prop::collection::vec(-1.0..1.0_f32, 1..100),
            exponent in -30..20_i32,
        ) {
            let weights: Vec<f32> = weights.iter().map(|weight| weight * 2.0_f32.powi(exponent)).collect();
            let (_, scales) = parts(&weights);
            let found = quantize_q8(&weights).unwrap().dequantize();
            for (k, (weight, found)) in weights.iter().zip(&found).enumerate() {
                let scale = f64::from(scales[k / BLOCK].to_f32());
                prop_assert!(f64::from((weight - found).abs()) <= scale * 0.5001, "{weight} became {found}");
            }
        }
    }
}
