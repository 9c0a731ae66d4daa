//! Which instructions the kernels use, chosen once at run time.

use std::fmt;
use std::str::FromStr;

use crate::lanes::is_available;

/// A dispatch path. Results have the same bits within a path, and those of the two x86-64 paths are equal; the portable path
/// agrees with them to 1e-5 relative, but for values that lie half way between two codes of 8 bits and round either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// Plain Rust that any processor runs.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI besides.
    Avx512Vnni,
}

impl Simd {
    /// Every path, slower ones first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512Vnni];

    /// The fastest path that this processor has.
    pub fn detect() -> Self {
        Self::available().last().expect("every processor has the portable path")
    }

    /// The paths that this processor has, the oracle first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|simd| simd.is_available())
    }

    /// Whether this processor can run the path.
    pub fn is_available(self) -> bool {
        is_available(self)
    }

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
        }
    }
}

impl FromStr for Simd {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let available = || Self::available().map(Self::name).collect::<Vec<_>>().join(", ");
        let found = Self::available().find(|simd| simd.name() == name);
        found.ok_or_else(|| format!("`{name}`, expected one that this processor has: {}", available()))
    }
}

impl fmt::Display for Simd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
