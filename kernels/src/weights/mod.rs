//! Weight matrices as panels: the form that they have on the disk and in which the kernels read them.
//!
//! A matrix of `n` rows of `k` numbers (a projection to `n` columns) is cut into panels of [`PANEL_COLUMNS`] rows, so that
//! a vector holds the same `k` of every column. A panel is a list of records, each a stretch of `k`; what is missing in
//! the last stretch or panel is zero. All numbers are little-endian, and the layout does not depend on the processor.
//!
//! ```text
//! format   k a record   scales and minima, 8 columns each                     codes        bytes   a weight is
//! f32            1      -                                                     8 f32           32   code
//! q4            64      2 scales f16                                          4 bits         288   d * (code - 8)
//! q4m           64      2 scales f16, 2 minima f16                            4 bits         320   d * code + m
//! q4k          256      d f16, e f16, 8 scales u8, 8 minima u8                4 bits        1184   (d * s) * code - (e * m)
//! q8            64      2 scales f16                                          8 bits         544   d * code
//! q8m           64      2 scales f32, 2 minima f32                            8 bits         640   d * code + m
//! q8k          256      d f16, 16 scales i8                                   8 bits        2192   (d * s) * code
//! ```
//!
//! Codes stand in vectors of 32 bytes, four for each column. Byte `4 * c + t` of vector `v` has for column `c` the code of
//! `k = 4 * v + t` (8 bits), or those of `k = 8 * v + t` in the low and `8 * v + 4 + t` in the high half (4 bits): what an
//! instruction that sums four products of bytes wants.

mod format;
mod packed;
mod row;
#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;

pub use format::WeightFormat;
pub use packed::{PackedWeights, pack_panel};
pub use row::WeightRow;

/// Rows of the matrix in a panel.
pub const PANEL_COLUMNS: usize = 8;

/// The version of these layouts, which a graph names.
pub const LAYOUT_VERSION: i64 = 1;
