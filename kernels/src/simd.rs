//! Which instructions the kernels use, chosen once at run time.

use std::fmt;

/// A dispatch path. Results have the same bits within a path; between paths f32 results agree to 1e-5 relative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// Plain Rust that any processor runs.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
}

impl Simd {
    /// The fastest path that this processor has.
    pub fn detect() -> Self {
        if Self::Avx2.is_available() { Self::Avx2 } else { Self::Portable }
    }

    /// The paths that this processor has, the oracle first.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Portable, Self::Avx2].into_iter().filter(|simd| simd.is_available())
    }

    /// Whether this processor can run the path.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => crate::lanes::has_avx2(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 => false,
        }
    }
}

impl fmt::Display for Simd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
        })
    }
}
