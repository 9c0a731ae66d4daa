//! The closed set of panel formats, with their sizes.

use std::fmt;
use std::str::FromStr;

use super::PANEL_COLUMNS;

/// How a panel stores weights; the module above draws each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightFormat {
    /// 32-bit floats.
    F32,
    /// 4 bits, a scale for 32 weights: GGUF's Q4_0.
    Q4,
    /// 4 bits, a scale and a minimum for 32 weights: Q4_1.
    Q4Minimum,
    /// 4 bits, scales and minima of 32 weights scaled again for 256: Q4_K.
    Q4K,
    /// 8 bits, a scale for 32 weights: Q8_0, Q5_0.
    Q8,
    /// 8 bits, a scale and a minimum for 32 weights: Q5_1, Q5_K.
    Q8Minimum,
    /// 8 bits, scales of 16 weights scaled again for 256: Q6_K.
    Q8K,
}

/// How one record of a panel is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordLayout {
    /// Stretch of `k`.
    pub(crate) values: usize,
    /// Bytes of scales and minima before the codes.
    pub(crate) parameter_bytes: usize,
    /// Bits of a code.
    pub(crate) code_bits: usize,
}

impl RecordLayout {
    pub(crate) fn code_bytes(self) -> usize {
        self.values * PANEL_COLUMNS * self.code_bits / 8
    }

    pub(crate) fn bytes(self) -> usize {
        self.parameter_bytes + self.code_bytes()
    }
}

impl WeightFormat {
    /// Every format.
    pub const ALL: [Self; 7] = [Self::F32, Self::Q4, Self::Q4Minimum, Self::Q4K, Self::Q8, Self::Q8Minimum, Self::Q8K];

    /// The name in a graph.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Q4 => "q4",
            Self::Q4Minimum => "q4m",
            Self::Q4K => "q4k",
            Self::Q8 => "q8",
            Self::Q8Minimum => "q8m",
            Self::Q8K => "q8k",
        }
    }

    /// Bytes of a panel whose rows have `k` weights.
    ///
    /// # Panics
    /// When they are more than a `usize` can count.
    pub fn panel_bytes(self, k: usize) -> usize {
        self.checked_panel_bytes(k).expect("a panel fits in memory")
    }

    /// [`Self::panel_bytes`] of a `k` that nobody has checked.
    pub(crate) fn checked_panel_bytes(self, k: usize) -> Option<usize> {
        let record = self.record();
        k.div_ceil(record.values).checked_mul(record.bytes())
    }

    /// Panels of a matrix of `n` rows.
    pub fn panels(self, n: usize) -> usize {
        n.div_ceil(PANEL_COLUMNS)
    }

    pub(crate) fn record(self) -> RecordLayout {
        let (values, parameter_bytes, code_bits) = match self {
            Self::F32 => (1, 0, 32),
            Self::Q4 => (64, 32, 4),
            Self::Q4Minimum => (64, 64, 4),
            Self::Q4K => (256, 160, 4),
            Self::Q8 => (64, 32, 8),
            Self::Q8Minimum => (64, 128, 8),
            Self::Q8K => (256, 144, 8),
        };
        RecordLayout { values, parameter_bytes, code_bits }
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for WeightFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| format!("weight format `{name}`, expected one of {}", known()))
    }
}
