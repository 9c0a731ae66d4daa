//! The exponential function for softmax: one sequence of operations for every element, so its bits depend on the
//! argument alone, and loops over it vectorise.
//!
//! Cody and Waite 1980: `x = n ln 2 + r` with `|r| <= ln 2 / 2`, then `exp(x) = 2^n exp(r)` with the Taylor polynomial of
//! degree 7, whose remainder is below 6e-9.

/// Arguments below this give 0; their exponentials are not normal numbers.
const SMALLEST: f32 = -87.0;

/// `ln 2` in two parts; the first has few enough bits that `n` times it is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Adding and subtracting it rounds to the nearest integer: 1.5 * 2^23.
const ROUNDER: f32 = 12_582_912.0;

/// `exp(x)` for `x <= 0`, within 2 units in the last place; 0 below -87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let clamped = if x > SMALLEST { x } else { SMALLEST };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + coefficient;
    }
    // The low bits of `rounded` hold n; taking them there instead of converting lets the loop vectorise.
    let power = f32::from_bits((rounded.to_bits().wrapping_add(127)) << 23);
    if x > SMALLEST { sum * power } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn the_error_is_below_two_units_in_the_last_place() {
        for step in 0..870_000 {
            let x = -(step as f32) / 10_000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}) is {}, expected {expected}", exp(x));
        }
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-87.5), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }
}
