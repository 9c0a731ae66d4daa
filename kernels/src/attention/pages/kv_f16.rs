//! Keys and values in 16 bits: IEEE 754 half precision.

use half::f16;

use super::Element;
use crate::lanes::Vectors;

/// Halves, little-endian.
pub(crate) struct KvF16;

impl Element for KvF16 {
    type Code = [u8; 2];

    const IS_SCALED: bool = false;

    fn scale(_: &[f32]) -> f32 {
        1.0
    }

    /// Rounds to the nearest, ties to even.
    fn encode(number: f32, _: f32) -> [u8; 2] {
        f16::from_f32(number).to_le_bytes()
    }

    fn decode(code: [u8; 2], _: f32) -> f32 {
        f16::from_le_bytes(code).to_f32()
    }

    #[inline(always)]
    fn load<V: Vectors<N>, const N: usize>(vectors: V, codes: &[[u8; 2]; N]) -> V::Vector {
        vectors.load_f16(codes)
    }
}
