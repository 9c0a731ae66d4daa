//! How a GGUF tensor's values are stored, with the format's numbers.

/// The types that can be read. A block is the smallest unit that stands by itself; rows hold whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorType {
    /// 32-bit float.
    F32,
    /// IEEE 16-bit float.
    F16,
    /// The upper half of a 32-bit float.
    BF16,
    /// 32 4-bit values with one scale.
    Q4_0,
    /// 32 4-bit values with one scale and minimum.
    Q4_1,
    /// 32 5-bit values with one scale.
    Q5_0,
    /// 32 5-bit values with one scale and minimum.
    Q5_1,
    /// 32 8-bit values with one scale.
    Q8_0,
    /// 256 4-bit values with 8 scales and minima of 6 bits.
    Q4K,
    /// 256 5-bit values with 8 scales and minima of 6 bits.
    Q5K,
    /// 256 6-bit values with 16 scales of 8 bits.
    Q6K,
}

/// Number in the file, name, and the readable type: every type that a file may have, so that messages can name it.
const TYPES: [(u32, &str, Option<TensorType>); 34] = [
    (0, "F32", Some(TensorType::F32)),
    (1, "F16", Some(TensorType::F16)),
    (2, "Q4_0", Some(TensorType::Q4_0)),
    (3, "Q4_1", Some(TensorType::Q4_1)),
    (6, "Q5_0", Some(TensorType::Q5_0)),
    (7, "Q5_1", Some(TensorType::Q5_1)),
    (8, "Q8_0", Some(TensorType::Q8_0)),
    (9, "Q8_1", None),
    (10, "Q2_K", None),
    (11, "Q3_K", None),
    (12, "Q4_K", Some(TensorType::Q4K)),
    (13, "Q5_K", Some(TensorType::Q5K)),
    (14, "Q6_K", Some(TensorType::Q6K)),
    (15, "Q8_K", None),
    (16, "IQ2_XXS", None),
    (17, "IQ2_XS", None),
    (18, "IQ3_XXS", None),
    (19, "IQ1_S", None),
    (20, "IQ4_NL", None),
    (21, "IQ3_S", None),
    (22, "IQ2_S", None),
    (23, "IQ4_XS", None),
    (24, "I8", None),
    (25, "I16", None),
    (26, "I32", None),
    (27, "I64", None),
    (28, "F64", None),
    (29, "IQ1_M", None),
    (30, "BF16", Some(TensorType::BF16)),
    (34, "TQ1_0", None),
    (35, "TQ2_0", None),
    (39, "MXFP4", None),
    (40, "NVFP4", None),
    (41, "Q1_0", None),
];

impl TensorType {
    /// The type with the file's number `code`, or how a message should call it and what it should expect.
    pub(super) fn from_code(code: u32) -> Result<Self, String> {
        let entry = TYPES.iter().find(|(known, ..)| *known == code);
        if let Some((_, _, Some(readable))) = entry {
            return Ok(*readable);
        }
        let found = entry.map_or_else(|| code.to_string(), |(_, name, _)| (*name).to_owned());
        let readable: Vec<&str> =
            TYPES.iter().filter(|(.., found)| found.is_some()).map(|(_, name, _)| *name).collect();
        Err(format!("type `{found}`, expected one of {}", readable.join(", ")))
    }

    /// The format's name.
    pub fn name(self) -> &'static str {
        let entry = TYPES.iter().find(|(.., readable)| *readable == Some(self));
        entry.expect("every readable type is in the table").1
    }

    /// Values in a block.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 2 + 2 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 2 + 2 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 2 + 2 + 12 + 128,
            Self::Q5K => 2 + 2 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }
}
