//! Dot products of bytes: integers, so exact in any order and equal on every path.
//!
//! Rows of values meet columns of codes, laid out as [`weights`](crate::weights) draws them. Two panels at once share the
//! reading of the values.

/// Dot products of `ROWS` rows with the eight columns of `PANELS` panels.
pub(crate) type Dots<S, const ROWS: usize, const PANELS: usize> = [[S; ROWS]; PANELS];

/// The integer side of a dispatch path.
pub(crate) trait Bytes: Copy {
    /// Eight i32, one a column.
    type Sums: Copy;

    /// Products of codes of 4 bits with values from -127 to 127, over 32 of them.
    fn dots4<const ROWS: usize, const PANELS: usize>(
        self,
        codes: [&[u8; 128]; PANELS],
        rows: [&[i8; 32]; ROWS],
    ) -> Dots<Self::Sums, ROWS, PANELS>;
    /// The same for codes of 8 bits, over 16 values.
    fn dots8<const ROWS: usize, const PANELS: usize>(
        self,
        codes: [&[u8; 128]; PANELS],
        rows: [&[i8; 16]; ROWS],
    ) -> Dots<Self::Sums, ROWS, PANELS>;
    /// The same over 32 values.
    fn dots8_of_32<const ROWS: usize, const PANELS: usize>(
        self,
        codes: [&[u8; 256]; PANELS],
        rows: [&[i8; 32]; ROWS],
    ) -> Dots<Self::Sums, ROWS, PANELS>;
    /// `sums + offset` in every lane.
    fn offset_sums(self, sums: Self::Sums, offset: i32) -> Self::Sums;
}
