//! Vectors as AVX registers, with fused multiply-add.
//!
//! Two paths share them: AVX2, and AVX-512 with VNNI, whose wider registers serve panels of weights. Float operations are
//! the same in the same order on both, so the results of products have the same bits.

mod avx2;
mod avx512;

use std::arch::x86_64::*;

use super::{Job, LANES, Lanes, Panels, RowsJob, with_up_to_four_rows};

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
    type Two: Panels<2>;

    const TILE_ROWS: usize;

    fn two(self) -> Self::Two;
    fn with_rows<S: RowsJob>(self, rows: usize, job: S);
    /// Does a job with the path's instructions.
    fn run<L: Lanes, J: Job>(self, lanes: L, job: J) -> J::Output;
}

impl Width for Avx2 {
    type Two = Self;

    const TILE_ROWS: usize = 4;

    fn with_rows<S: RowsJob>(self, rows: usize, job: S) {
        with_up_to_four_rows(rows, job);
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
    type Two = Self;

    const TILE_ROWS: usize = 8;

    fn with_rows<S: RowsJob>(self, rows: usize, job: S) {
        match rows {
            5 => job.run::<5>(),
            6 => job.run::<6>(),
            7 => job.run::<7>(),
            8 => job.run::<8>(),
            _ => with_up_to_four_rows(rows, job),
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
    type Vector = __m256;
    type One = Avx2;
    type Two = <Self as Width>::Two;

    const TILE_ROWS: usize = <Self as Width>::TILE_ROWS;

    fn with_rows<S: RowsJob>(self, rows: usize, job: S) {
        Width::with_rows(self, rows, job);
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
    fn load_f16(self, numbers: &[u8; 2 * LANES]) -> __m256 {
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
    fn prefetch<T>(self, number: *const T) {
        // SAFETY: every x86-64 processor has the instruction, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(number.cast()) }
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
