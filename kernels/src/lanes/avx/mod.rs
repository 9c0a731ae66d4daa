//! Vectors as AVX registers, with fused multiply-add.
//!
//! Two paths share them: AVX2, and AVX-512 with VNNI, whose wider registers serve panels of weights and wide vectors.
//! Float operations are the same in the same order on both, so results have the same bits.

mod avx2;
mod avx512;
mod wide;

use std::arch::x86_64::*;

use super::{
    Job, LANES, Lanes, Pairs, Panels, QueriesJob, RowsJob, Vectors, WIDE_LANES, with_up_to_four_rows,
    with_up_to_six_queries,
};

/// Proof that the processor has AVX2, FMA and F16C and, `WIDE`, AVX-512 with VNNI; made by `detect` alone.
#[derive(Clone, Copy)]
pub(crate) struct Avx<const WIDE: bool>(());

/// The path with AVX2, FMA and F16C.
pub(crate) type Avx2 = Avx<false>;

/// The path with AVX-512 F, BW, VL and VNNI besides.
pub(crate) type Avx512Vnni = Avx<true>;

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        let found =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }
}

impl Avx512Vnni {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        Avx2::detect().filter(|_| found).map(|_| Self(()))
    }
}

/// What differs between the two.
pub(crate) trait Width: Copy {
    type Wide: Vectors<WIDE_LANES>;
    type Two: Panels<2>;

    const TILE_ROWS: usize;
    const TILE_QUERIES: usize;

    fn wide(self) -> Self::Wide;
    fn halves(self, wide: <Self::Wide as Vectors<WIDE_LANES>>::Vector) -> [__m256; 2];
    fn two(self) -> Self::Two;
    fn with_rows<S: RowsJob>(self, rows: usize, job: S);
    fn with_queries<S: QueriesJob>(self, queries: usize, job: S) -> S::Output;
    /// Does a job with the path's instructions.
    fn run<L: Lanes, J: Job>(self, lanes: L, job: J) -> J::Output;
}

impl Width for Avx2 {
    type Wide = Pairs<Self>;
    type Two = Self;

    const TILE_ROWS: usize = 4;
    const TILE_QUERIES: usize = 6;

    fn with_rows<S: RowsJob>(self, rows: usize, job: S) {
        with_up_to_four_rows(rows, job);
    }

    fn with_queries<S: QueriesJob>(self, queries: usize, job: S) -> S::Output {
        with_up_to_six_queries(queries, job)
    }

    #[inline(always)]
    fn wide(self) -> Pairs<Self> {
        Pairs(self)
    }

    #[inline(always)]
    fn halves(self, halves: [__m256; 2]) -> [__m256; 2] {
        halves
    }

    fn two(self) -> Self {
        self
    }

    fn run<L: Lanes, J: Job>(self, lanes: L, job: J) -> J::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled<L: Lanes, J: Job>(lanes: L, job: J) -> J::Output {
            job.run(lanes)
        }
        // SAFETY: `self` exists only where `detect` has found them.
        unsafe { compiled(lanes, job) }
    }
}

impl Width for Avx512Vnni {
    type Wide = Self;
    type Two = Self;

    const TILE_ROWS: usize = 8;
    // Up to 24 sums in 32 registers. Tiles of eight queries take 3 % longer (eight rows of three queries a head).
    const TILE_QUERIES: usize = 12;

    fn with_rows<S: RowsJob>(self, rows: usize, job: S) {
        match rows {
            5 => job.run::<5>(),
            6 => job.run::<6>(),
            7 => job.run::<7>(),
            8 => job.run::<8>(),
            _ => with_up_to_four_rows(rows, job),
        }
    }

    fn with_queries<S: QueriesJob>(self, queries: usize, job: S) -> S::Output {
        match queries {
            1 => job.run::<1, 2, 4>(),
            2 => job.run::<2, 2, 4>(),
            3 => job.run::<3, 2, 4>(),
            4 => job.run::<4, 2, 4>(),
            5 => job.run::<5, 2, 4>(),
            6 => job.run::<6, 2, 4>(),
            7 => job.run::<7, 1, 2>(),
            8 => job.run::<8, 1, 2>(),
            9 => job.run::<9, 1, 2>(),
            10 => job.run::<10, 1, 2>(),
            11 => job.run::<11, 1, 2>(),
            12 => job.run::<12, 1, 2>(),
            _ => unreachable!("{queries} queries, expected 1 to 12"),
        }
    }

    #[inline(always)]
    fn wide(self) -> Self {
        self
    }

    #[inline(always)]
    fn halves(self, wide: __m512) -> [__m256; 2] {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(wide));
            [_mm512_castps512_ps256(wide), _mm256_castpd_ps(high)]
        }
    }

    fn two(self) -> Self {
        self
    }

    fn run<L: Lanes, J: Job>(self, lanes: L, job: J) -> J::Output {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
        fn compiled<L: Lanes, J: Job>(lanes: L, job: J) -> J::Output {
            job.run(lanes)
        }
        // SAFETY: `self` exists only where `detect` has found them.
        unsafe { compiled(lanes, job) }
    }
}

impl<const WIDE: bool> Lanes for Avx<WIDE>
where
    Self: Width,
{
    type Wide = <Self as Width>::Wide;
    type One = Avx2;
    type Two = <Self as Width>::Two;

    const IS_WIDE: bool = WIDE;
    const TILE_ROWS: usize = <Self as Width>::TILE_ROWS;
    const TILE_QUERIES: usize = <Self as Width>::TILE_QUERIES;

    fn with_rows<S: RowsJob>(self, rows: usize, job: S) {
        Width::with_rows(self, rows, job);
    }

    fn with_queries<S: QueriesJob>(self, queries: usize, job: S) -> S::Output {
        Width::with_queries(self, queries, job)
    }

    #[inline(always)]
    fn wide(self) -> Self::Wide {
        Width::wide(self)
    }

    #[inline(always)]
    fn halves(self, wide: <Self::Wide as Vectors<WIDE_LANES>>::Vector) -> [__m256; 2] {
        Width::halves(self, wide)
    }

    #[inline(always)]
    fn one(self) -> Avx2 {
        Avx(())
    }

    #[inline(always)]
    fn two(self) -> Self::Two {
        Width::two(self)
    }

    #[inline(always)]
    fn run<J: Job>(self, job: J) -> J::Output {
        Width::run(self, self, job)
    }

    #[inline(always)]
    fn divide(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn absolute(self, a: __m256) -> __m256 {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }

    #[inline(always)]
    fn round(self, a: __m256) -> [i8; LANES] {
        let mut codes = [0; LANES];
        // SAFETY: `self` proves the instructions, and the array has the eight bytes that the last one writes.
        unsafe {
            let integers = _mm256_cvtps_epi32(a);
            let (low, high) = (_mm256_castsi256_si128(integers), _mm256_extracti128_si256::<1>(integers));
            let words = _mm_packs_epi32(low, high);
            _mm_storel_epi64(codes.as_mut_ptr().cast(), _mm_packs_epi16(words, words));
        }
        codes
    }

    #[inline(always)]
    fn prefetch<T>(self, number: *const T) {
        // SAFETY: every x86-64 processor has the instruction, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(number.cast()) }
    }
}

impl<const WIDE: bool> Vectors<LANES> for Avx<WIDE> {
    type Vector = __m256;

    #[inline(always)]
    fn splat(self, number: f32) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction; so in every method below.
        unsafe { _mm256_set1_ps(number) }
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; LANES]) -> __m256 {
        // SAFETY: `self` proves the instruction, and the array has the eight numbers that it reads.
        unsafe { _mm256_loadu_ps(numbers.as_ptr()) }
    }

    #[inline(always)]
    fn load_f16(self, numbers: &[[u8; 2]; LANES]) -> __m256 {
        // SAFETY: `self` proves the instructions, and the array has the sixteen bytes that they read.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(numbers.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_i8(self, numbers: &[u8; LANES]) -> __m256 {
        // SAFETY: `self` proves the instructions, and the array has the eight bytes that they read.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(numbers.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn store(self, vector: __m256, places: &mut [f32; LANES]) {
        // SAFETY: `self` proves the instruction, and the array has the eight places that it writes.
        unsafe { _mm256_storeu_ps(places.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn subtract(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn multiply(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn smaller(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn larger(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn zero_below(self, bound: __m256, x: __m256, vector: __m256) -> __m256 {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(x, bound), vector) }
    }

    #[inline(always)]
    fn power_of_two(self, low_bits: __m256) -> __m256 {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(low_bits));
            _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(127 << 23)))
        }
    }
}
