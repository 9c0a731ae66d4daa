//! The search is never worse than plain rounding, exact where it can be, and close to trying everything.

use proptest::prelude::*;

use super::*;

fn parts(weights: &[f32]) -> (Vec<i8>, Vec<[f16; 2]>) {
    match quantize_q4(weights).expect("the weights are small enough") {
        WeightRow::Q4Minimum { codes, scales } => (codes, scales),
        other => panic!("{}", other.format()),
    }
}

/// Sum of squared differences.
fn squared_error(weights: &[f32], found: &[f32]) -> f64 {
    assert_eq!(weights.len(), found.len());
    weights.iter().zip(found).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

fn search_error(weights: &[f32]) -> f64 {
    squared_error(weights, &quantize_q4(weights).expect("the weights are small enough").dequantize())
}

/// Each weight to the nearest of sixteen values, by trying them.
fn nearest_error(weights: &[f32], scale: f32, minimum: f32) -> f64 {
    let values = || (0..16).map(|code| scale * code as f32 + minimum);
    let distance = |weight: f32, value: f32| (f64::from(weight) - f64::from(value)).powi(2);
    let least = |weight: f32| values().map(|value| distance(weight, value)).fold(f64::INFINITY, f64::min);
    weights.iter().map(|weight| least(*weight)).sum()
}

fn ends(weights: &[f32]) -> (f32, f32) {
    let low = weights.iter().copied().fold(f32::INFINITY, f32::min);
    (low, weights.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// From the smallest to the largest weight of each block, with 16-bit numbers.
fn plain_error(weights: &[f32]) -> f64 {
    let block_error = |weights: &[f32]| {
        let (low, high) = ends(weights);
        let [scale, minimum] = [(high - low) / 15.0, low].map(|number| f16::from_f32(number).to_f32());
        nearest_error(weights, scale, minimum)
    };
    weights.chunks(BLOCK).map(block_error).sum()
}

/// The best of many scales and minima, evenly spaced.
fn tried_error(weights: &[f32]) -> f64 {
    let (low, high) = ends(weights);
    let range = high - low;
    let mut least = f64::INFINITY;
    for low_step in -5..=25 {
        for high_step in -5..=25 {
            let (low, high) = (low + range * low_step as f32 / 100.0, high - range * high_step as f32 / 100.0);
            least = least.min(nearest_error(weights, (high - low) / 15.0, low));
        }
    }
    least
}

/// Normally distributed numbers of a fixed seed: Box and Muller 1958 over SplitMix64.
fn gaussian(count: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut normal = || (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    (0..count).map(|_| normal() as f32).collect()
}

#[test]
fn normal_weights_keep_the_error_that_the_module_says() {
    let weights = gaussian(32 * 2000);
    let deviation = |error: f64| (error / weights.len() as f64).sqrt();
    let (search, plain) = (deviation(search_error(&weights)), deviation(plain_error(&weights)));
    assert!((search - 0.0694).abs() < 0.0005, "{search}");
    assert!((plain - 0.0783).abs() < 0.0005, "{plain}");
}

#[test]
fn constants_that_are_16_bit_floats_are_exact() {
    for constant in [0.0, -0.0, 0.5, -1.25, 65504.0, -65504.0, 6e-8_f32] {
        let constant = f16::from_f32(constant).to_f32();
        for length in [1, 31, 32, 33, 64] {
            let weights = vec![constant; length];
            assert_eq!(quantize_q4(&weights).unwrap().dequantize(), weights, "{constant}");
        }
    }
    assert_eq!(parts(&[]), (vec![], vec![]));
}

#[test]
fn other_constants_are_the_nearest_16_bit_float() {
    for constant in [0.1_f32, -1000.3, 1e-5] {
        assert_eq!(quantize_q4(&[constant; 32]).unwrap().dequantize(), [f16::from_f32(constant).to_f32(); 32]);
    }
}

#[test]
fn a_short_last_block_has_its_own_scale() {
    let (codes, scales) = parts(&[vec![100.0; 32], vec![0.0, 15.0, 3.0]].concat());
    assert_eq!((codes.len(), scales.len()), (35, 2));
    assert_eq!(codes[32..], [0, 15, 3]);
    assert_eq!(scales[1], [f16::ONE, f16::ZERO]);
}

#[test]
fn weights_beyond_16_bit_floats_are_named() {
    let refused = |weight: f32, expected: &str| {
        let expected = format!("weight {expected} is too large for 4 bits with a 16-bit minimum");
        assert_eq!(quantize_q4(&[1.0, weight, 2.0]).unwrap_err(), expected);
    };
    refused(65520.0, "65520");
    refused(-70000.0, "-70000");
    refused(f32::INFINITY, "inf");
    refused(f32::NAN, "NaN");
}

/// Fits whose minimum or scale leaves the 16-bit floats are not taken.
#[test]
fn weights_at_the_ends_of_16_bit_floats_stay_finite() {
    for weights in [[65519.0, -65519.0, 3.0, 65504.0], [-65519.0, -65500.0, -65400.0, -65504.0]] {
        let found = quantize_q4(&weights).unwrap().dequantize();
        assert!(found.iter().all(|value| value.is_finite()), "{found:?}");
        assert!(search_error(&weights) <= plain_error(&weights));
    }
}

/// Weights of any size, some of them equal, that 16-bit floats reach.
fn weights() -> impl Strategy<Value = Vec<f32>> {
    let weight = prop_oneof![4 => -1.0..1.0_f32, 1 => Just(0.0), 1 => Just(1.0)];
    (prop::collection::vec(weight, 1..80), -30..15_i32, -1.0..1.0_f32).prop_map(|(weights, exponent, shift)| {
        weights.iter().map(|weight| (weight + shift) * 2.0_f32.powi(exponent)).collect()
    })
}

proptest! {
    #[test]
    fn the_search_is_never_worse_than_plain_rounding(weights in weights()) {
        // Errors are compared as f32 sums, so equal ones may differ in their last digits.
        prop_assert!(search_error(&weights) <= plain_error(&weights) * 1.0001);
    }

    #[test]
    fn codes_are_those_of_the_nearest_values(weights in weights()) {
        let (_, scales) = parts(&weights);
        let [scale, minimum] = scales[0].map(f16::to_f32);
        let first = &weights[..weights.len().min(BLOCK)];
        let nearest = nearest_error(first, scale, minimum);
        prop_assert!(search_error(first) <= nearest * 1.0001 + f64::MIN_POSITIVE);
    }

    #[test]
    fn weights_on_a_grid_are_exact(
        codes in prop::collection::vec(0..16_i16, 1..30),
        exponent in -8..8_i32,
        minimum in -32..32_i16,
    ) {
        // Both ends are there, so that the grid is the one from the smallest to the largest.
        let codes = [vec![0, 15], codes].concat();
        let weight = |code: &i16| f32::from(code + minimum) * 2.0_f32.powi(exponent);
        let weights: Vec<f32> = codes.iter().map(weight).collect();
        prop_assert_eq!(quantize_q4(&weights).unwrap().dequantize(), weights);
    }

    #[test]
    fn trying_a_thousand_grids_finds_little_better(weights in prop::collection::vec(-1.0..1.0_f32, 8..=32)) {
        let (search, tried) = (search_error(&weights).sqrt(), tried_error(&weights).sqrt());
        let (low, high) = ends(&weights);
        // Root mean squares: a fifteenth of the range is a step, and rounding leaves 0.29 of a step.
        let slack = f64::from(high - low) / 15.0 * 0.2 * (weights.len() as f64).sqrt();
        prop_assert!(search <= tried + slack, "{search}, tried {tried}, slack {slack}");
    }
}
