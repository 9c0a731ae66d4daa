//! Eight f32 at a time: the few operations that kernels are written in, once for all dispatch paths.
//!
//! A path is a token whose existence proves that the processor has its instructions, so kernels need no `unsafe` of
//! their own. Inner loops are [`Job`]s: [`Lanes::run`] compiles each into a function of its own that is built for the
//! path's instructions, and everything in a job is `#[inline(always)]` to end up there.

#[cfg(target_arch = "x86_64")]
mod avx;
mod panels;
mod portable;

pub(crate) use panels::{GROUP, Group, Panels};

use crate::simd::Simd;

/// Numbers in a vector.
pub(crate) const LANES: usize = 8;

/// A dispatch path. Every operation works lane by lane, so a number's bits do not depend on its lane.
pub(crate) trait Lanes: Copy {
    /// Eight f32.
    type Vector: Copy;
    /// Columns of one panel.
    type One: Panels<1>;
    /// Columns of two panels.
    type Two: Panels<2>;

    /// Rows of a tile, at most: what the registers have room for beside two panels.
    const TILE_ROWS: usize;

    /// Runs `job` for `rows`, 1 to [`TILE_ROWS`](Self::TILE_ROWS), as a constant.
    fn with_rows<S: RowsJob>(self, rows: usize, job: S);
    /// The path's way with one panel.
    fn one(self) -> Self::One;
    /// The path's way with two panels.
    fn two(self) -> Self::Two;

    /// Does a job with the path's instructions.
    fn run<J: Job>(self, job: J) -> J::Output;
    /// Eight times the same number.
    fn splat(self, number: f32) -> Self::Vector;
    /// The eight numbers.
    fn load(self, numbers: &[f32; LANES]) -> Self::Vector;
    /// Eight f16, little-endian.
    fn load_f16(self, numbers: &[u8; 2 * LANES]) -> Self::Vector;
    /// Eight signed bytes.
    fn load_i8(self, numbers: &[u8; LANES]) -> Self::Vector;
    /// Writes the vector to eight places.
    fn store(self, vector: Self::Vector, places: &mut [f32; LANES]);
    /// `a + b`
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`
    fn subtract(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a / b`
    fn divide(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Without the sign.
    fn absolute(self, a: Self::Vector) -> Self::Vector;
    /// The nearest integers, ties to even; arbitrary for what is not between -128 and 127.
    fn round(self, a: Self::Vector) -> [i8; LANES];
    /// `a * b + sum`, rounded as the path rounds: once with FMA, twice without.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector;
    /// `a` where it is smaller than `b`, else `b`; so `b` where either is NaN.
    fn smaller(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a` where it is larger than `b`, else `b`; so `b` where either is NaN.
    fn larger(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// 0 where `x` is smaller than `bound`, else `vector`.
    fn zero_below(self, bound: Self::Vector, x: Self::Vector, vector: Self::Vector) -> Self::Vector;
    /// Asks the processor to bring the cache line of a number that will soon be read; changes nothing else.
    fn prefetch<T>(self, number: *const T);
    /// `2^n` of integers from -126 to 127 that stand in the low bits of each number's mantissa.
    fn power_of_two(self, low_bits: Self::Vector) -> Self::Vector;
}

/// An inner loop, compiled once for every path.
pub(crate) trait Job {
    type Output;

    /// Does the work; `#[inline(always)]` in every implementation, and called by [`Lanes::run`] alone.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Work on a number of rows that the compiler knows.
pub(crate) trait RowsJob {
    /// Does the work for `ROWS` rows.
    fn run<const ROWS: usize>(self);
}

/// Runs `job` for 1 to 4 rows.
pub(crate) fn with_up_to_four_rows<S: RowsJob>(rows: usize, job: S) {
    match rows {
        1 => job.run::<1>(),
        2 => job.run::<2>(),
        3 => job.run::<3>(),
        4 => job.run::<4>(),
        _ => unreachable!("{rows} rows, expected 1 to 4"),
    }
}

/// Code around inner loops that names its path.
pub(crate) trait Program {
    type Output;

    /// Runs on a path.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Whether the processor has what a path needs.
pub(crate) fn is_available(simd: Simd) -> bool {
    match simd {
        Simd::Portable => true,
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => avx::Avx2::detect().is_some(),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512Vnni => avx::Avx512Vnni::detect().is_some(),
        #[cfg(not(target_arch = "x86_64"))]
        Simd::Avx2 | Simd::Avx512Vnni => false,
    }
}

/// Runs `program` on the path of `simd`.
pub(crate) fn dispatch<P: Program>(simd: Simd, program: P) -> P::Output {
    const CHOSEN: &str = "a path is chosen only where it is available";
    match simd {
        Simd::Portable => program.run(portable::Portable),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => program.run(avx::Avx2::detect().expect(CHOSEN)),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512Vnni => program.run(avx::Avx512Vnni::detect().expect(CHOSEN)),
        #[cfg(not(target_arch = "x86_64"))]
        Simd::Avx2 | Simd::Avx512Vnni => panic!("{CHOSEN}"),
    }
}
