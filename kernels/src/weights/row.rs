//! One row of a weight matrix before it is packed: codes, and the numbers that turn them into weights.

use half::f16;

use super::WeightFormat;

/// A row of `k` weights. Lists of scales have one number for each block that the format names, the last one perhaps of
/// fewer weights.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightRow {
    /// [`WeightFormat::F32`]
    F32(Vec<f32>),
    /// [`WeightFormat::Q4`]
    Q4 {
        /// 0 to 15
        codes: Vec<i8>,
        /// For 32 weights.
        scales: Vec<f16>,
    },
    /// [`WeightFormat::Q4Minimum`]
    Q4Minimum {
        /// 0 to 15
        codes: Vec<i8>,
        /// For 32 weights: scale and minimum.
        scales: Vec<[f16; 2]>,
    },
    /// [`WeightFormat::Q4K`]
    Q4K {
        /// 0 to 15
        codes: Vec<i8>,
        /// For 256 weights: what scales and what minima are multiplied by.
        super_scales: Vec<[f16; 2]>,
        /// For 32 weights: scale and minimum.
        scales: Vec<[u8; 2]>,
    },
    /// [`WeightFormat::Q8`]
    Q8 {
        /// -128 to 127
        codes: Vec<i8>,
        /// For 32 weights.
        scales: Vec<f16>,
    },
    /// [`WeightFormat::Q8Minimum`]
    Q8Minimum {
        /// -128 to 127
        codes: Vec<i8>,
        /// For 32 weights: scale and minimum.
        scales: Vec<[f32; 2]>,
    },
    /// [`WeightFormat::Q8K`]
    Q8K {
        /// -128 to 127
        codes: Vec<i8>,
        /// For 256 weights: what scales are multiplied by.
        super_scales: Vec<f16>,
        /// For 16 weights.
        scales: Vec<i8>,
    },
}

impl WeightRow {
    /// The format that the row is packed in.
    pub fn format(&self) -> WeightFormat {
        match self {
            Self::F32(_) => WeightFormat::F32,
            Self::Q4 { .. } => WeightFormat::Q4,
            Self::Q4Minimum { .. } => WeightFormat::Q4Minimum,
            Self::Q4K { .. } => WeightFormat::Q4K,
            Self::Q8 { .. } => WeightFormat::Q8,
            Self::Q8Minimum { .. } => WeightFormat::Q8Minimum,
            Self::Q8K { .. } => WeightFormat::Q8K,
        }
    }

    /// Weights in the row.
    pub fn k(&self) -> usize {
        match self {
            Self::F32(weights) => weights.len(),
            Self::Q4 { codes, .. }
            | Self::Q4Minimum { codes, .. }
            | Self::Q4K { codes, .. }
            | Self::Q8 { codes, .. }
            | Self::Q8Minimum { codes, .. }
            | Self::Q8K { codes, .. } => codes.len(),
        }
    }

    /// The weights as f32, in the order of operations that the `gguf` package has.
    pub fn dequantize(&self) -> Vec<f32> {
        let each = |codes: &[i8], weight: &dyn Fn(usize, f32) -> f32| {
            codes.iter().enumerate().map(|(k, code)| weight(k, f32::from(*code))).collect()
        };
        match self {
            Self::F32(weights) => weights.clone(),
            Self::Q4 { codes, scales } => each(codes, &|k, code| scales[k / 32].to_f32() * (code - 8.0)),
            Self::Q4Minimum { codes, scales } => each(codes, &|k, code| {
                let [scale, minimum] = scales[k / 32].map(f16::to_f32);
                scale * code + minimum
            }),
            Self::Q4K { codes, super_scales, scales } => each(codes, &|k, code| {
                let ([d, e], [scale, minimum]) = (super_scales[k / 256].map(f16::to_f32), scales[k / 32]);
                d * f32::from(scale) * code - e * f32::from(minimum)
            }),
            Self::Q8 { codes, scales } => each(codes, &|k, code| scales[k / 32].to_f32() * code),
            Self::Q8Minimum { codes, scales } => each(codes, &|k, code| {
                let [scale, minimum] = scales[k / 32];
                scale * code + minimum
            }),
            Self::Q8K { codes, super_scales, scales } => {
                each(codes, &|k, code| super_scales[k / 256].to_f32() * f32::from(scales[k / 16]) * code)
            }
        }
    }
}
