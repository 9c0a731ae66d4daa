//! Dot products of bytes: integers, so exact in any order and equal on every path.

/// The integer side of a dispatch path.
pub(crate) trait Bytes: Copy {
    /// Eight i32, one a column.
    type Sums: Copy;

    /// Products of `ROWS` rows with eight columns over 32 values; see [`weights`](crate::weights) for the layout of codes.
    fn dots4<const ROWS: usize>(self, codes: &[u8; 128], rows: [&[i8; 32]; ROWS]) -> [Self::Sums; ROWS];
    /// The same for codes of 8 bits, over 16 values.
    fn dots8<const ROWS: usize>(self, codes: &[u8; 128], rows: [&[i8; 16]; ROWS]) -> [Self::Sums; ROWS];
    /// `a + b`
    fn add_sums(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// `sums + offset` in every lane.
    fn offset_sums(self, sums: Self::Sums, offset: i32) -> Self::Sums;
}
