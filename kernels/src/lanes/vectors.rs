//! Vectors of eight or sixteen f32: the operations that inner loops are written in, once for both widths.
//!
//! Every operation works lane by lane, so a number's bits depend neither on its lane nor on the width.

use super::LANES;

/// Numbers in a wide vector.
pub(crate) const WIDE_LANES: usize = 2 * LANES;

/// Vectors of `N` numbers on a dispatch path.
pub(crate) trait Vectors<const N: usize>: Copy {
    /// `N` f32.
    type Vector: Copy;

    /// The same number in every lane.
    fn splat(self, number: f32) -> Self::Vector;
    /// The numbers.
    fn load(self, numbers: &[f32; N]) -> Self::Vector;
    /// f16, little-endian.
    fn load_f16(self, numbers: &[[u8; 2]; N]) -> Self::Vector;
    /// Signed bytes.
    fn load_i8(self, numbers: &[u8; N]) -> Self::Vector;
    /// Writes the vector to as many places.
    fn store(self, vector: Self::Vector, places: &mut [f32; N]);
    /// `a + b`
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`
    fn subtract(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + sum`, rounded as the path rounds: once with FMA, twice without.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector;
    /// `a` where it is smaller than `b`, else `b`; so `b` where either is NaN.
    fn smaller(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a` where it is larger than `b`, else `b`; so `b` where either is NaN.
    fn larger(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// 0 where `x` is smaller than `bound`, else `vector`.
    fn zero_below(self, bound: Self::Vector, x: Self::Vector, vector: Self::Vector) -> Self::Vector;
    /// `2^n` of integers from -126 to 127 that stand in the low bits of each number's mantissa.
    fn power_of_two(self, low_bits: Self::Vector) -> Self::Vector;
}

/// Wide vectors as pairs, for paths whose registers hold eight numbers.
#[derive(Clone, Copy)]
pub(crate) struct Pairs<V>(pub(super) V);

impl<V: Vectors<LANES>> Vectors<WIDE_LANES> for Pairs<V> {
    type Vector = [V::Vector; 2];

    #[inline(always)]
    fn splat(self, number: f32) -> Self::Vector {
        [self.0.splat(number); 2]
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; WIDE_LANES]) -> Self::Vector {
        let [low, high] = halves(numbers);
        [self.0.load(low), self.0.load(high)]
    }

    #[inline(always)]
    fn load_f16(self, numbers: &[[u8; 2]; WIDE_LANES]) -> Self::Vector {
        let [low, high] = halves(numbers);
        [self.0.load_f16(low), self.0.load_f16(high)]
    }

    #[inline(always)]
    fn load_i8(self, numbers: &[u8; WIDE_LANES]) -> Self::Vector {
        let [low, high] = halves(numbers);
        [self.0.load_i8(low), self.0.load_i8(high)]
    }

    #[inline(always)]
    fn store(self, [low, high]: Self::Vector, places: &mut [f32; WIDE_LANES]) {
        let (halves, _) = places.as_chunks_mut::<LANES>();
        self.0.store(low, &mut halves[0]);
        self.0.store(high, &mut halves[1]);
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.add(a[0], b[0]), self.0.add(a[1], b[1])]
    }

    #[inline(always)]
    fn subtract(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.subtract(a[0], b[0]), self.0.subtract(a[1], b[1])]
    }

    #[inline(always)]
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.multiply(a[0], b[0]), self.0.multiply(a[1], b[1])]
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector {
        [self.0.multiply_add(a[0], b[0], sum[0]), self.0.multiply_add(a[1], b[1], sum[1])]
    }

    #[inline(always)]
    fn smaller(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.smaller(a[0], b[0]), self.0.smaller(a[1], b[1])]
    }

    #[inline(always)]
    fn larger(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.larger(a[0], b[0]), self.0.larger(a[1], b[1])]
    }

    #[inline(always)]
    fn zero_below(self, bound: Self::Vector, x: Self::Vector, vector: Self::Vector) -> Self::Vector {
        [self.0.zero_below(bound[0], x[0], vector[0]), self.0.zero_below(bound[1], x[1], vector[1])]
    }

    #[inline(always)]
    fn power_of_two(self, low_bits: Self::Vector) -> Self::Vector {
        [self.0.power_of_two(low_bits[0]), self.0.power_of_two(low_bits[1])]
    }
}

#[inline(always)]
fn halves<T>(numbers: &[T; WIDE_LANES]) -> [&[T; LANES]; 2] {
    let (halves, _) = numbers.as_chunks::<LANES>();
    [&halves[0], &halves[1]]
}
