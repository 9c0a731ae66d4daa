//! Which operators a graph multiplies with: `--matmul` and the metadata `veridraft.matmul`.

use std::str::FromStr;

/// Operators that multiply rows with weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatMulOperators {
    /// `veridraft.MatMul` over packed weights: row-exact, for the CPU.
    #[default]
    Veridraft,
    /// ONNX Runtime's own `Gemm` and `MatMulNBits`, which other providers have as well; not row-exact when quantised.
    Standard,
}

impl MatMulOperators {
    /// Every set.
    pub const ALL: [Self; 2] = [Self::Veridraft, Self::Standard];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Veridraft => "veridraft",
            Self::Standard => "standard",
        }
    }
}

impl FromStr for MatMulOperators {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|operators| operators.name() == text);
        found.ok_or_else(|| format!("operators `{text}`, expected one of {}", known()))
    }
}
