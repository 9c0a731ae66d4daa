//! Two panels with AVX-512 and VNNI: sixteen columns in one register, and four products of bytes in one instruction.

use std::arch::x86_64::*;

use super::super::{Group, LANES, Panels, Vectors, WIDE_LANES};
use super::Avx512Vnni;

impl Panels<2> for Avx512Vnni {
    type Vector = __m512;
    type Sums = __m512i;

    #[inline(always)]
    fn splat(self, number: f32) -> __m512 {
        Vectors::<WIDE_LANES>::splat(self, number)
    }

    #[inline(always)]
    fn load_f32(self, [first, second]: [&[u8; 4 * LANES]; 2]) -> __m512 {
        // SAFETY: `self` proves that the processor has the instructions, and the arrays have the bytes that they read; so in
        // the loads below.
        unsafe { _mm512_castsi512_ps(join(first, second)) }
    }

    #[inline(always)]
    fn load_f16(self, [first, second]: [&[u8; 2 * LANES]; 2]) -> __m512 {
        // SAFETY: as in `load_f32`.
        unsafe {
            let (first, second) = (_mm_loadu_si128(first.as_ptr().cast()), _mm_loadu_si128(second.as_ptr().cast()));
            _mm512_cvtph_ps(_mm256_set_m128i(second, first))
        }
    }

    #[inline(always)]
    fn load_u8(self, [first, second]: [&[u8; LANES]; 2]) -> __m512 {
        // SAFETY: as in `load_f32`.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(join_halves(first, second))) }
    }

    #[inline(always)]
    fn load_i8(self, [first, second]: [&[u8; LANES]; 2]) -> __m512 {
        // SAFETY: as in `load_f32`.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(join_halves(first, second))) }
    }

    #[inline(always)]
    fn store(self, vector: __m512) -> [[f32; LANES]; 2] {
        let mut numbers = [[0.0; LANES]; 2];
        let (places, _) = numbers.as_flattened_mut().as_chunks_mut::<WIDE_LANES>();
        Vectors::<WIDE_LANES>::store(self, vector, &mut places[0]);
        numbers
    }

    #[inline(always)]
    fn multiply(self, a: __m512, b: __m512) -> __m512 {
        Vectors::<WIDE_LANES>::multiply(self, a, b)
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        Vectors::<WIDE_LANES>::multiply_add(self, a, b, sum)
    }

    #[inline(always)]
    fn dots4<const ROWS: usize>(self, [first, second]: [&[u8; 128]; 2], rows: [&Group; ROWS]) -> [__m512i; ROWS] {
        let (first, second) = (first.as_chunks::<32>().0, second.as_chunks::<32>().0);
        // SAFETY: `self` proves the instructions.
        unsafe {
            let low_half = _mm512_set1_epi8(15);
            let mut sums = [_mm512_setzero_si512(); ROWS];
            for vector in 0..4 {
                let codes = join(&first[vector], &second[vector]);
                let low = _mm512_and_si512(codes, low_half);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low_half);
                for row in 0..ROWS {
                    let (values, _) = rows[row].codes.as_chunks::<4>();
                    sums[row] = _mm512_dpbusd_epi32(sums[row], low, broadcast(&values[2 * vector]));
                    sums[row] = _mm512_dpbusd_epi32(sums[row], high, broadcast(&values[2 * vector + 1]));
                }
            }
            sums
        }
    }

    /// Codes are made unsigned by adding 128, which the sum of the values takes away again.
    #[inline(always)]
    fn dots8<const ROWS: usize>(self, [first, second]: [&[u8; 256]; 2], rows: [&Group; ROWS]) -> [__m512i; ROWS] {
        let (first, second) = (first.as_chunks::<32>().0, second.as_chunks::<32>().0);
        // SAFETY: `self` proves the instructions.
        unsafe {
            let mut sums = [_mm512_setzero_si512(); ROWS];
            for row in 0..ROWS {
                sums[row] = _mm512_set1_epi32(16 * rows[row].offset);
            }
            for vector in 0..8 {
                let codes = _mm512_xor_si512(join(&first[vector], &second[vector]), _mm512_set1_epi8(-128));
                for row in 0..ROWS {
                    let values = broadcast(&rows[row].codes.as_chunks::<4>().0[vector]);
                    sums[row] = _mm512_dpbusd_epi32(sums[row], codes, values);
                }
            }
            sums
        }
    }

    /// Nobody knows the sum of half a group, so values take over the signs of the codes.
    #[inline(always)]
    fn dots8_of_half<const ROWS: usize>(
        self,
        [first, second]: [&[u8; 128]; 2],
        rows: [&Group; ROWS],
        half: usize,
    ) -> [__m512i; ROWS] {
        let (first, second) = (first.as_chunks::<32>().0, second.as_chunks::<32>().0);
        // SAFETY: `self` proves the instructions.
        unsafe {
            let zero = _mm512_setzero_si512();
            let mut sums = [zero; ROWS];
            for vector in 0..4 {
                let codes = join(&first[vector], &second[vector]);
                let (sizes, is_negative) = (_mm512_abs_epi8(codes), _mm512_movepi8_mask(codes));
                for row in 0..ROWS {
                    let values = broadcast(&rows[row].codes.as_chunks::<4>().0[4 * half + vector]);
                    let values = _mm512_mask_sub_epi8(values, is_negative, zero, values);
                    sums[row] = _mm512_dpbusd_epi32(sums[row], sizes, values);
                }
            }
            sums
        }
    }

    #[inline(always)]
    fn offset(self, sums: __m512i, offset: i32) -> __m512i {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_add_epi32(sums, _mm512_set1_epi32(offset)) }
    }

    #[inline(always)]
    fn to_floats(self, sums: __m512i) -> __m512 {
        // SAFETY: `self` proves the instruction.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}

/// 32 bytes of each panel.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn join(first: &[u8; 32], second: &[u8; 32]) -> __m512i {
    // SAFETY: the caller keeps the promise above, and the arrays have the bytes that are read.
    unsafe {
        let (first, second) = (_mm256_loadu_si256(first.as_ptr().cast()), _mm256_loadu_si256(second.as_ptr().cast()));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second)
    }
}

/// 8 bytes of each panel.
///
/// # Safety
/// The processor has SSE2.
#[inline(always)]
unsafe fn join_halves(first: &[u8; 8], second: &[u8; 8]) -> __m128i {
    // SAFETY: the caller keeps the promise above, and the arrays have the bytes that are read.
    unsafe { _mm_unpacklo_epi64(_mm_loadl_epi64(first.as_ptr().cast()), _mm_loadl_epi64(second.as_ptr().cast())) }
}

/// Four bytes, sixteen times.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn broadcast(values: &[i8; 4]) -> __m512i {
    // SAFETY: the caller keeps the promise above, and the array has the four bytes that are read.
    unsafe { _mm512_set1_epi32(values.as_ptr().cast::<i32>().read_unaligned()) }
}
