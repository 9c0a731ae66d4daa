//! How the numbers of a row are stored.

use crate::lanes::Vectors;

/// A type of keys and values. What a row stands for is `load(codes) * scale`; attention multiplies by the scale once for
/// a row, outside its inner loops.
pub(crate) trait Element: 'static {
    /// One stored number.
    type Code: Copy + Default + Send + Sync;

    /// Whether rows have a scale beside their codes; else it is 1.
    const IS_SCALED: bool;

    /// The scale that a row will be stored with.
    fn scale(row: &[f32]) -> f32;
    /// A number of a row with this scale, to be stored.
    fn encode(number: f32, scale: f32) -> Self::Code;
    /// What was stored.
    fn decode(code: Self::Code, scale: f32) -> f32;
    /// Codes as numbers, not scaled yet.
    fn load<V: Vectors<N>, const N: usize>(vectors: V, codes: &[Self::Code; N]) -> V::Vector;
}
