//! How keys and values are stored.

use std::fmt;
use std::str::FromStr;

use super::AttentionConfig;
use super::pages::{Element, KvF16, KvF32, KvQ8};
use crate::{Error, Result};

/// The type of the numbers in KV pages. Whatever it is, a row is stored by itself, so its bits depend on no other row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// 32-bit numbers, as they come.
    #[default]
    F32,
    /// IEEE 754 half precision, rounded to the nearest, ties to even; infinite above 65504.
    F16,
    /// 8-bit integers from -127 to 127 and one f32 scale a row and head: its largest absolute number by 127. A row with
    /// NaN or an infinity is NaN throughout.
    Q8,
}

impl KvType {
    /// Every type, the exact one first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8];

    /// Bytes of one block of keys and values in one layer.
    pub fn block_bytes(self, config: &AttentionConfig) -> usize {
        let row_bytes = match self {
            Self::F32 => row_bytes::<KvF32>(config.head_dim),
            Self::F16 => row_bytes::<KvF16>(config.head_dim),
            Self::Q8 => row_bytes::<KvQ8>(config.head_dim),
        };
        2 * config.kv_heads * config.block_tokens * row_bytes
    }
}

/// Bytes of a key or value of one head.
fn row_bytes<E: Element>(head_dim: usize) -> usize {
    let scale_bytes = if E::IS_SCALED { size_of::<f32>() } else { 0 };
    head_dim * size_of::<E::Code>() + scale_bytes
}

impl FromStr for KvType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kv_type| kv_type.to_string() == text);
        found.ok_or_else(|| Error::new(format!("`{text}` is not a type of keys and values, expected f32, f16 or q8")))
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8",
        })
    }
}
