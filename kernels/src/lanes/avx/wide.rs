//! Wide vectors with AVX-512: sixteen numbers in one register.

use std::arch::x86_64::*;

use super::super::{Vectors, WIDE_LANES};
use super::Avx512Vnni;

impl Vectors<WIDE_LANES> for Avx512Vnni {
    type Vector = __m512;

    #[inline(always)]
    fn splat(self, number: f32) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction; so in every method below.
        unsafe { _mm512_set1_ps(number) }
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; WIDE_LANES]) -> __m512 {
        // SAFETY: `self` proves the instruction, and the array has the sixteen numbers that it reads.
        unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
    }

    #[inline(always)]
    fn load_f16(self, numbers: &[[u8; 2]; WIDE_LANES]) -> __m512 {
        // SAFETY: `self` proves the instructions, and the array has the 32 bytes that they read.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(numbers.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_i8(self, numbers: &[u8; WIDE_LANES]) -> __m512 {
        // SAFETY: `self` proves the instructions, and the array has the sixteen bytes that they read.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(numbers.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn store(self, vector: __m512, places: &mut [f32; WIDE_LANES]) {
        // SAFETY: `self` proves the instruction, and the array has the sixteen places that it writes.
        unsafe { _mm512_storeu_ps(places.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn subtract(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn multiply(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn smaller(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn larger(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn zero_below(self, bound: __m512, x: __m512, vector: __m512) -> __m512 {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, bound), vector) }
    }

    #[inline(always)]
    fn power_of_two(self, low_bits: __m512) -> __m512 {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(low_bits));
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(127 << 23)))
        }
    }
}
