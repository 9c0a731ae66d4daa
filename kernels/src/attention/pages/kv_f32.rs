//! Keys and values in 32 bits, as they come.

use super::Element;
use crate::lanes::Vectors;

/// Plain numbers.
pub(crate) struct KvF32;

impl Element for KvF32 {
    type Code = f32;

    const IS_SCALED: bool = false;

    fn scale(_: &[f32]) -> f32 {
        1.0
    }

    fn encode(number: f32, _: f32) -> f32 {
        number
    }

    fn decode(code: f32, _: f32) -> f32 {
        code
    }

    #[inline(always)]
    fn load<V: Vectors<N>, const N: usize>(vectors: V, codes: &[f32; N]) -> V::Vector {
        vectors.load(codes)
    }
}
