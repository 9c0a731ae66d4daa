//! A view of some columns of a row-major matrix, so that a fused q/k/v need not be taken apart.

/// Some columns of a row-major matrix: a part of a fused q/k/v.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// The whole matrix, `[rows, stride]`.
    pub data: &'a [f32],
    /// Columns of the matrix.
    pub stride: usize,
    /// The first column meant.
    pub offset: usize,
}

impl<'a> Columns<'a> {
    /// `length` numbers of `row`, the first at column `start` of the part.
    pub(crate) fn part(&self, row: usize, start: usize, length: usize) -> &'a [f32] {
        &self.data[row * self.stride + self.offset + start..][..length]
    }
}
