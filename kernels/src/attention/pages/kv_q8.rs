//! Keys and values in 8 bits: integers from -127 to 127 with a scale a row and head.

use super::Element;
use crate::lanes::Vectors;

/// The largest code.
const LARGEST: f32 = 127.0;

/// Signed bytes.
pub(crate) struct KvQ8;

impl Element for KvQ8 {
    /// The bits of an `i8`.
    type Code = u8;

    const IS_SCALED: bool = true;

    /// Zero for a row of zeroes; NaN or infinite for a row with such a number, which then reads as NaN throughout.
    fn scale(row: &[f32]) -> f32 {
        if row.iter().any(|number| number.is_nan()) {
            return f32::NAN;
        }
        row.iter().fold(0.0, |largest: f32, number| largest.max(number.abs())) / LARGEST
    }

    /// Rounds to the nearest, ties to even. Where the scale is too small to be exact, codes stay in their range; where
    /// it is no number, they are 0.
    fn encode(number: f32, scale: f32) -> u8 {
        let code = if scale == 0.0 { 0.0 } else { number / scale };
        code.round_ties_even().clamp(-LARGEST, LARGEST) as i8 as u8
    }

    fn decode(code: u8, scale: f32) -> f32 {
        f32::from(code as i8) * scale
    }

    #[inline(always)]
    fn load<V: Vectors<N>, const N: usize>(vectors: V, codes: &[u8; N]) -> V::Vector {
        vectors.load_i8(codes)
    }
}
