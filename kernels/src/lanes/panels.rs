//! Columns of weight panels side by side: the operations that products are written in, once for all dispatch paths.
//!
//! Two panels at once share the reading of the values that they are multiplied with, and fill a vector of 512 bits where a
//! path has such. Dot products of bytes are integers, so exact in any order and equal on every path.

use super::LANES;

/// Values in a group.
pub(crate) const GROUP: usize = 32;

/// Quantised values of one row that share a scale.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Group {
    /// -127 to 127
    pub(crate) codes: [i8; GROUP],
    /// What codes are multiplied by.
    pub(crate) scale: f32,
    /// Scale times sum of the codes.
    pub(crate) scaled_sum: f32,
    /// -8 times the sum of the codes: what makes weight codes from 0 to 15 signed.
    pub(crate) offset: i32,
}

impl Group {
    /// Nothing but zeros.
    pub(crate) const ZERO: Self = Self { codes: [0; GROUP], scale: 0.0, scaled_sum: 0.0, offset: 0 };
}

/// The columns of `PANELS` panels on a dispatch path. Every float operation works column by column.
pub(crate) trait Panels<const PANELS: usize>: Copy {
    /// A f32 for each column.
    type Vector: Copy;
    /// An i32 for each column.
    type Sums: Copy;

    /// The same number for every column.
    fn splat(self, number: f32) -> Self::Vector;
    /// Eight f32 of each panel, little-endian.
    fn load_f32(self, numbers: [&[u8; 4 * LANES]; PANELS]) -> Self::Vector;
    /// Eight f16 of each panel, little-endian.
    fn load_f16(self, numbers: [&[u8; 2 * LANES]; PANELS]) -> Self::Vector;
    /// Eight unsigned bytes of each panel.
    fn load_u8(self, numbers: [&[u8; LANES]; PANELS]) -> Self::Vector;
    /// Eight signed bytes of each panel.
    fn load_i8(self, numbers: [&[u8; LANES]; PANELS]) -> Self::Vector;
    /// The numbers, panel by panel.
    fn store(self, vector: Self::Vector) -> [[f32; LANES]; PANELS];
    /// `a * b`
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + sum`, rounded as the path rounds: once with FMA, twice without.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector;

    /// Products of codes of 4 bits, 0 to 15, with a group of each row; see [`weights`](crate::weights) for the layout.
    fn dots4<const ROWS: usize>(self, codes: [&[u8; 128]; PANELS], rows: [&Group; ROWS]) -> [Self::Sums; ROWS];
    /// The same for codes of 8 bits, -128 to 127.
    fn dots8<const ROWS: usize>(self, codes: [&[u8; 256]; PANELS], rows: [&Group; ROWS]) -> [Self::Sums; ROWS];
    /// The same for one half of the group.
    fn dots8_of_half<const ROWS: usize>(
        self,
        codes: [&[u8; 128]; PANELS],
        rows: [&Group; ROWS],
        half: usize,
    ) -> [Self::Sums; ROWS];
    /// `sums + offset` in every column.
    fn offset(self, sums: Self::Sums, offset: i32) -> Self::Sums;
    /// Integers that f32 can hold.
    fn to_floats(self, sums: Self::Sums) -> Self::Vector;
}
