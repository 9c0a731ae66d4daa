//! Panels with AVX2: a register for each.
//!
//! Loops over arrays of vectors are written out, not mapped by closures: what a closure is given to would be compiled
//! without the path's instructions. The steps inside are assembly, because the compiler reorders the additions of many
//! rows until they need more registers than there are: with two panels and four rows, fifteen of sixteen are in use.

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::{Group, LANES, Panels, Vectors};
use super::Avx2;

/// Sums of each row in each panel.
type Dots<const ROWS: usize, const PANELS: usize> = [[__m256i; PANELS]; ROWS];

impl<const PANELS: usize> Panels<PANELS> for Avx2 {
    type Vector = [__m256; PANELS];
    type Sums = [__m256i; PANELS];

    #[inline(always)]
    fn splat(self, number: f32) -> [__m256; PANELS] {
        [Vectors::splat(self, number); PANELS]
    }

    #[inline(always)]
    fn load_f32(self, numbers: [&[u8; 4 * LANES]; PANELS]) -> [__m256; PANELS] {
        let mut vector = Panels::splat(self, 0.0);
        for panel in 0..PANELS {
            // SAFETY: `self` proves that the processor has the instruction, and the array has the bytes that it reads; so in
            // the loads below.
            vector[panel] = unsafe { _mm256_loadu_ps(numbers[panel].as_ptr().cast()) };
        }
        vector
    }

    #[inline(always)]
    fn load_f16(self, numbers: [&[u8; 2 * LANES]; PANELS]) -> [__m256; PANELS] {
        let mut vector = Panels::splat(self, 0.0);
        for panel in 0..PANELS {
            // SAFETY: as in `load_f32`.
            vector[panel] = unsafe { _mm256_cvtph_ps(_mm_loadu_si128(numbers[panel].as_ptr().cast())) };
        }
        vector
    }

    #[inline(always)]
    fn load_u8(self, numbers: [&[u8; LANES]; PANELS]) -> [__m256; PANELS] {
        let mut vector = Panels::splat(self, 0.0);
        for panel in 0..PANELS {
            // SAFETY: as in `load_f32`.
            let integers = unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(numbers[panel].as_ptr().cast())) };
            // SAFETY: `self` proves the instruction.
            vector[panel] = unsafe { _mm256_cvtepi32_ps(integers) };
        }
        vector
    }

    #[inline(always)]
    fn load_i8(self, numbers: [&[u8; LANES]; PANELS]) -> [__m256; PANELS] {
        let mut vector = Panels::splat(self, 0.0);
        for panel in 0..PANELS {
            vector[panel] = Vectors::load_i8(self, numbers[panel]);
        }
        vector
    }

    #[inline(always)]
    fn store(self, vector: [__m256; PANELS]) -> [[f32; LANES]; PANELS] {
        let mut numbers = [[0.0; LANES]; PANELS];
        for panel in 0..PANELS {
            Vectors::store(self, vector[panel], &mut numbers[panel]);
        }
        numbers
    }

    #[inline(always)]
    fn multiply(self, a: [__m256; PANELS], b: [__m256; PANELS]) -> [__m256; PANELS] {
        let mut product = a;
        for panel in 0..PANELS {
            product[panel] = Vectors::multiply(self, a[panel], b[panel]);
        }
        product
    }

    #[inline(always)]
    fn multiply_add(self, a: [__m256; PANELS], b: [__m256; PANELS], sum: [__m256; PANELS]) -> [__m256; PANELS] {
        let mut result = sum;
        for panel in 0..PANELS {
            result[panel] = Vectors::multiply_add(self, a[panel], b[panel], sum[panel]);
        }
        result
    }

    /// Unsigned codes times signed values, in 16 bits: eight products of at most 2 * 15 * 127 do not overflow, so one
    /// widening serves a group.
    #[inline(always)]
    fn dots4<const ROWS: usize>(self, codes: [&[u8; 128]; PANELS], rows: [&Group; ROWS]) -> Dots<ROWS, PANELS> {
        // SAFETY: `self` proves the instructions; every read is inside the arrays that the loops cut.
        unsafe {
            let mut sums = [[_mm256_setzero_si256(); PANELS]; ROWS];
            for vector in 0..4 {
                let low_half = _mm256_set1_epi8(15);
                let (mut low, mut high) = ([low_half; PANELS], [low_half; PANELS]);
                for panel in 0..PANELS {
                    let codes = load(&codes[panel].as_chunks::<32>().0[vector]);
                    low[panel] = _mm256_and_si256(codes, low_half);
                    high[panel] = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low_half);
                }
                for row in 0..ROWS {
                    let (values, _) = rows[row].codes.as_chunks::<4>();
                    add_unsigned(&mut sums[row], low, &values[2 * vector]);
                    add_unsigned(&mut sums[row], high, &values[2 * vector + 1]);
                }
            }
            for sum in sums.as_flattened_mut() {
                *sum = _mm256_madd_epi16(*sum, _mm256_set1_epi16(1));
            }
            sums
        }
    }

    #[inline(always)]
    fn dots8<const ROWS: usize>(self, codes: [&[u8; 256]; PANELS], rows: [&Group; ROWS]) -> Dots<ROWS, PANELS> {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let mut sums = [[_mm256_setzero_si256(); PANELS]; ROWS];
            for vector in 0..8 {
                let mut vectors = [_mm256_setzero_si256(); PANELS];
                for panel in 0..PANELS {
                    vectors[panel] = load(&codes[panel].as_chunks::<32>().0[vector]);
                }
                for row in 0..ROWS {
                    add_signed(&mut sums[row], vectors, &rows[row].codes.as_chunks::<4>().0[vector]);
                }
            }
            sums
        }
    }

    #[inline(always)]
    fn dots8_of_half<const ROWS: usize>(
        self,
        codes: [&[u8; 128]; PANELS],
        rows: [&Group; ROWS],
        half: usize,
    ) -> Dots<ROWS, PANELS> {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let mut sums = [[_mm256_setzero_si256(); PANELS]; ROWS];
            for vector in 0..4 {
                let mut vectors = [_mm256_setzero_si256(); PANELS];
                for panel in 0..PANELS {
                    vectors[panel] = load(&codes[panel].as_chunks::<32>().0[vector]);
                }
                for row in 0..ROWS {
                    add_signed(&mut sums[row], vectors, &rows[row].codes.as_chunks::<4>().0[4 * half + vector]);
                }
            }
            sums
        }
    }

    #[inline(always)]
    fn offset(self, mut sums: [__m256i; PANELS], offset: i32) -> [__m256i; PANELS] {
        for sum in &mut sums {
            // SAFETY: `self` proves the instructions.
            *sum = unsafe { _mm256_add_epi32(*sum, _mm256_set1_epi32(offset)) };
        }
        sums
    }

    #[inline(always)]
    fn to_floats(self, sums: [__m256i; PANELS]) -> [__m256; PANELS] {
        let mut vector = Panels::splat(self, 0.0);
        for panel in 0..PANELS {
            // SAFETY: `self` proves the instruction.
            vector[panel] = unsafe { _mm256_cvtepi32_ps(sums[panel]) };
        }
        vector
    }
}

/// # Safety
/// The processor has AVX.
#[inline(always)]
unsafe fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the caller keeps the promise above, and the array has the bytes that are read.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Adds products of unsigned codes with four values, as sums of two in 16 bits.
///
/// # Safety
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_unsigned<const PANELS: usize>(sums: &mut [__m256i; PANELS], codes: [__m256i; PANELS], values: &[i8; 4]) {
    for panel in (0..PANELS).step_by(2) {
        if panel + 1 == PANELS {
            // SAFETY: the caller keeps the promise above, and the array has the four bytes that are read.
            unsafe {
                asm!(
                    "vpbroadcastd {values}, dword ptr [{place}]",
                    "vpmaddubsw {values}, {codes}, {values}",
                    "vpaddw {sums}, {sums}, {values}",
                    sums = inout(ymm_reg) sums[panel],
                    codes = in(ymm_reg) codes[panel],
                    place = in(reg) values.as_ptr(),
                    values = out(ymm_reg) _,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
        } else {
            let (mut first, mut second) = (sums[panel], sums[panel + 1]);
            // SAFETY: as above.
            unsafe {
                asm!(
                    "vpbroadcastd {values}, dword ptr [{place}]",
                    "vpmaddubsw {product}, {first_codes}, {values}",
                    "vpaddw {first}, {first}, {product}",
                    "vpmaddubsw {values}, {second_codes}, {values}",
                    "vpaddw {second}, {second}, {values}",
                    first = inout(ymm_reg) first,
                    second = inout(ymm_reg) second,
                    first_codes = in(ymm_reg) codes[panel],
                    second_codes = in(ymm_reg) codes[panel + 1],
                    place = in(reg) values.as_ptr(),
                    values = out(ymm_reg) _,
                    product = out(ymm_reg) _,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            (sums[panel], sums[panel + 1]) = (first, second);
        }
    }
}

/// Adds products of signed codes with four values.
///
/// The sign of a code goes over to the value; two products of at most 128 * 127 fit into 16 bits, four do not.
///
/// # Safety
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_signed<const PANELS: usize>(sums: &mut [__m256i; PANELS], codes: [__m256i; PANELS], values: &[i8; 4]) {
    let ones = _mm256_set1_epi16(1);
    // SAFETY: the caller keeps the promise above, and the array has the four bytes that are read.
    let values = unsafe { _mm256_set1_epi32(values.as_ptr().cast::<i32>().read_unaligned()) };
    for panel in 0..PANELS {
        let sizes = _mm256_abs_epi8(codes[panel]);
        // SAFETY: the caller keeps the promise above.
        unsafe {
            asm!(
                "vpsignb {product}, {values}, {codes}",
                "vpmaddubsw {product}, {sizes}, {product}",
                "vpmaddwd {product}, {product}, {ones}",
                "vpaddd {sums}, {sums}, {product}",
                sums = inout(ymm_reg) sums[panel],
                codes = in(ymm_reg) codes[panel],
                sizes = in(ymm_reg) sizes,
                values = in(ymm_reg) values,
                ones = in(ymm_reg) ones,
                product = out(ymm_reg) _,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
}
