//! The numbers of a tensor in the order in which a folder stores them, in pieces.

use super::layout::{Origin, Tensor};
use crate::Result;
use crate::checkpoint::TensorSource;

/// Numbers that are in memory at once, of tensors that need no rearrangement: 8 MiB of f32.
const PIECE_VALUES: usize = 2 << 20;

/// Hands the numbers of `tensor` to `write`, piece after piece.
pub(super) fn read(
    tensor: &Tensor,
    source: &dyn TensorSource,
    write: &mut dyn FnMut(&[f32]) -> Result<()>,
) -> Result<()> {
    match &tensor.origin {
        Origin::Same(name) => rows(name, source, write),
        Origin::Stacked(names) => names.iter().try_for_each(|name| rows(name, source, write)),
        Origin::Transposed(name) => write(&transposed(&source.read_f32(name)?, tensor.shape[1])),
        Origin::ByHead { name, heads } => write(&by_head(&source.read_f32(name)?, tensor.shape[0], *heads)),
        Origin::MinusOne(name) => {
            let values: Vec<_> = source.read_f32(name)?.iter().map(|value| value - 1.0).collect();
            write(&values)
        }
    }
}

/// A tensor in pieces of whole rows; one that is no matrix is small.
fn rows(name: &str, source: &dyn TensorSource, write: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
    let shape = source.shape(name).unwrap_or_default();
    let [rows, columns] = *shape.as_slice() else { return write(&source.read_f32(name)?) };
    let step = (PIECE_VALUES / columns.max(1)).max(1);
    for start in (0..rows).step_by(step) {
        let piece = source.read_rows(name, start..rows.min(start + step))?;
        let values: Vec<f32> = piece.iter().flat_map(veridraft_kernels::WeightRow::dequantize).collect();
        write(&values)?;
    }
    Ok(())
}

/// The columns of a matrix of `rows` rows, one behind the other.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// Rows `[kind, head, row of a head]` as `[head, kind, row of a head]`, with three kinds.
fn by_head(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    const KINDS: usize = 3;
    let (columns, head_rows) = (values.len() / rows, rows / heads / KINDS);
    let block =
        |kind: usize, head: usize| &values[(kind * heads + head) * head_rows * columns..][..head_rows * columns];
    (0..heads).flat_map(|head| (0..KINDS).flat_map(move |kind| block(kind, head))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows() {
        assert_eq!(transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn heads_have_their_kinds_side_by_side() {
        // Two heads of two rows: q 0 to 3, k 4 to 7, v 8 to 11.
        let rows: Vec<f32> = (0..12).map(|row| row as f32).collect();
        let expected = [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11].map(|row| row as f32);
        assert_eq!(by_head(&rows, 12, 2), expected);
    }
}
