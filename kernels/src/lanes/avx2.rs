//! Lanes as an AVX register.

use std::arch::x86_64::{__m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps};

use super::{LANES, Lanes};

#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

impl Lanes for Avx2 {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller runs where AVX2 is, as `Lanes` asks.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(values: &[f32]) -> Self {
        debug_assert!(values.len() >= LANES);
        // SAFETY: the caller passes at least eight numbers and runs where AVX2 is, as `Lanes` asks.
        Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    unsafe fn store(self, values: &mut [f32]) {
        debug_assert!(values.len() >= LANES);
        // SAFETY: the caller passes at least eight places and runs where AVX2 is, as `Lanes` asks.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller runs where FMA is, as `Lanes` asks.
        Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn multiply_add_one(sum: f32, a: f32, b: f32) -> f32 {
        a.mul_add(b, sum)
    }
}
