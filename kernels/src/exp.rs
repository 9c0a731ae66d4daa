//! The exponential function for softmax: one sequence of operations in every lane, so its bits depend on the argument
//! alone.
//!
//! Cody and Waite 1980: `x = n ln 2 + r` with `|r| <= ln 2 / 2`, then `exp(x) = 2^n exp(r)`, and `exp(r)` is
//! `1 + r + r^2 p(r)` with the polynomial `p` of degree 4 that has the least largest error, 3.1e-9.

use crate::lanes::{LANES, Lanes, Vectors};

/// Arguments below this give 0; their exponentials are not normal numbers.
const SMALLEST: f32 = -87.0;

/// `ln 2` in two parts; the first has few enough bits that `n` times it is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Adding it rounds to the nearest integer, which then stands in the low bits of the mantissa: 1.5 * 2^23.
const ROUNDER: f32 = 12_582_912.0;

/// `p`, highest power first.
const POLYNOMIAL: [f32; 5] = [0.001_381_456, 0.008_368_744_5, 0.041_668_39, 0.166_665_21, 0.499_999_94];

/// `exp(x)` for `x <= 0`, within 2 units in the last place; 0 below -87; NaN of NaN.
#[inline(always)]
pub(crate) fn exp<V: Vectors<N>, const N: usize>(lanes: V, x: V::Vector) -> V::Vector {
    let smallest = lanes.splat(SMALLEST);
    let clamped = lanes.larger(smallest, x);
    let rounded = lanes.multiply_add(clamped, lanes.splat(std::f32::consts::LOG2_E), lanes.splat(ROUNDER));
    let minus_n = lanes.subtract(lanes.splat(ROUNDER), rounded);
    let r = lanes.multiply_add(minus_n, lanes.splat(LN_2_HIGH), clamped);
    let r = lanes.multiply_add(minus_n, lanes.splat(LN_2_LOW), r);
    let mut p = lanes.splat(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        p = lanes.multiply_add(p, r, lanes.splat(*coefficient));
    }
    let tail = lanes.multiply_add(lanes.multiply(r, r), p, r);
    let result = lanes.multiply(lanes.add(tail, lanes.splat(1.0)), lanes.power_of_two(rounded));
    lanes.zero_below(smallest, x, result)
}

/// [`exp`] of a single number.
#[inline(always)]
pub(crate) fn exp_one<L: Lanes>(lanes: L, x: f32) -> f32 {
    let mut result = [0.0; LANES];
    lanes.store(exp(lanes, lanes.splat(x)), &mut result);
    result[0]
}

#[cfg(test)]
mod tests {
    use super::exp;
    use crate::Simd;
    use crate::lanes::{Job, LANES, Lanes, Program, dispatch};

    struct Exp([f32; LANES]);

    impl Job for Exp {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<L: Lanes>(mut self, lanes: L) -> [f32; LANES] {
            lanes.store(exp(lanes, lanes.load(&self.0)), &mut self.0);
            self.0
        }
    }

    struct OnAPath<J>(J);

    impl<J: Job> Program for OnAPath<J> {
        type Output = J::Output;

        fn run<L: Lanes>(self, lanes: L) -> J::Output {
            lanes.run(self.0)
        }
    }

    fn check_every_path(mut check: impl FnMut(&dyn Fn([f32; LANES]) -> [f32; LANES])) {
        for simd in Simd::available() {
            check(&|x| dispatch(simd, OnAPath(Exp(x))));
        }
    }

    #[test]
    fn the_error_is_below_two_units_in_the_last_place() {
        check_every_path(|exp| {
            for step in 0..870_000 / LANES {
                let x = std::array::from_fn(|lane| -((step * LANES + lane) as f32) / 10_000.0);
                for (x, found) in x.into_iter().zip(exp(x)) {
                    let expected = f64::from(x).exp();
                    let error = (f64::from(found) - expected).abs() / expected;
                    assert!(error < f64::from(f32::EPSILON), "exp({x}) is {found}, expected {expected}");
                }
            }
        });
    }

    #[test]
    fn a_number_has_the_same_bits_in_every_lane() {
        check_every_path(|exp| {
            for step in 0..10_000 {
                let x: [f32; LANES] = std::array::from_fn(|lane| -((step * 37 + lane * 1001) as f32) / 5_000.0);
                let found = exp(x);
                for shift in 0..LANES {
                    let mut turned = x;
                    turned.rotate_left(shift);
                    let mut expected = found;
                    expected.rotate_left(shift);
                    assert_eq!(exp(turned).map(f32::to_bits), expected.map(f32::to_bits));
                }
            }
        });
    }

    #[test]
    fn the_ends_are_exact() {
        check_every_path(|exp| {
            let x = [0.0, -0.0, -87.5, f32::NEG_INFINITY, f32::MIN, f32::NAN, -1e-30, 0.0];
            let found = exp(x);
            assert_eq!(found[..5], [1.0, 1.0, 0.0, 0.0, 0.0]);
            assert!(found[5].is_nan());
            assert_eq!(found[6..], [1.0, 1.0]);
        });
    }
}
