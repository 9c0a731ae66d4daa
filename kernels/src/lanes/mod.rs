//! Vectors of f32: the few operations that kernels are written in, once for all dispatch paths.
//!
//! A path is a token whose existence proves that the processor has its instructions, so kernels need no `unsafe` of
//! their own. Inner loops are [`Job`]s: [`Lanes::run`] compiles each into a function of its own that is built for the
//! path's instructions, and everything in a job is `#[inline(always)]` to end up there.

#[cfg(target_arch = "x86_64")]
mod avx;
mod panels;
mod portable;
mod vectors;

pub(crate) use panels::{GROUP, Group, Panels};
pub(crate) use vectors::{Pairs, Vectors, WIDE_LANES};

use crate::simd::Simd;

/// Numbers in a vector.
pub(crate) const LANES: usize = 8;

/// A dispatch path, with vectors of eight numbers.
pub(crate) trait Lanes: Vectors<LANES> {
    /// Vectors of sixteen numbers.
    type Wide: Vectors<WIDE_LANES>;
    /// Columns of one panel.
    type One: Panels<1>;
    /// Columns of two panels.
    type Two: Panels<2>;

    /// Whether a register holds a wide vector, so that one is as fast as a vector of eight.
    const IS_WIDE: bool;
    /// Rows of a tile, at most: what the registers have room for beside two panels.
    const TILE_ROWS: usize;

    /// Queries of a tile, at most: what the registers have room for beside a wide vector of keys or values.
    const TILE_QUERIES: usize;

    /// Runs `job` for `rows`, 1 to [`TILE_ROWS`](Self::TILE_ROWS), as a constant.
    fn with_rows<S: RowsJob>(self, rows: usize, job: S);
    /// Runs `job` for `queries`, 1 to [`TILE_QUERIES`](Self::TILE_QUERIES), and for as many vectors of keys and of outputs
    /// as the registers have room for, as constants.
    fn with_queries<S: QueriesJob>(self, queries: usize, job: S) -> S::Output;
    /// The path's way with vectors of sixteen.
    fn wide(self) -> Self::Wide;
    /// The lower and the upper eight numbers.
    fn halves(self, wide: <Self::Wide as Vectors<WIDE_LANES>>::Vector) -> [Self::Vector; 2];
    /// The path's way with one panel.
    fn one(self) -> Self::One;
    /// The path's way with two panels.
    fn two(self) -> Self::Two;

    /// Does a job with the path's instructions.
    fn run<J: Job>(self, job: J) -> J::Output;
    /// `a / b`
    fn divide(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Without the sign.
    fn absolute(self, a: Self::Vector) -> Self::Vector;
    /// The nearest integers, ties to even; arbitrary for what is not between -128 and 127.
    fn round(self, a: Self::Vector) -> [i8; LANES];
    /// Asks the processor to bring the cache line of a number that will soon be read; changes nothing else.
    fn prefetch<T>(self, number: *const T);
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

/// Work on a number of queries, and of vectors for each of them, that the compiler knows.
pub(crate) trait QueriesJob {
    type Output;

    /// Does the work for `QUERIES` queries, with `KEYS` wide vectors of keys or `OUTPUTS` registers of outputs for each of
    /// them side by side.
    fn run<const QUERIES: usize, const KEYS: usize, const OUTPUTS: usize>(self) -> Self::Output;
}

/// Runs `job` for 1 to 6 queries: sixteen registers hold twelve sums and what is added to them.
pub(crate) fn with_up_to_six_queries<S: QueriesJob>(queries: usize, job: S) -> S::Output {
    match queries {
        1 => job.run::<1, 1, 8>(),
        2 => job.run::<2, 1, 4>(),
        3 => job.run::<3, 1, 4>(),
        4 => job.run::<4, 1, 2>(),
        5 => job.run::<5, 1, 2>(),
        6 => job.run::<6, 1, 2>(),
        _ => unreachable!("{queries} queries, expected 1 to 6"),
    }
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
