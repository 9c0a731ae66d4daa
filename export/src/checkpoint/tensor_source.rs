//! Weights by name, whatever file they come from.

use std::ops::Range;
use std::path::Path;

use veridraft_kernels::{WeightFormat, WeightRow};

use crate::Result;

/// The tensors of a checkpoint under their Hugging Face names, such as `model.layers.0.self_attn.q_proj.weight`.
///
/// Shapes are row-major, `[out, in]` for a projection. Where an architecture stores them in another way, `arranged.rs`
/// says how they stand here.
pub trait TensorSource {
    /// The file or folder that holds the tensors, for messages.
    fn path(&self) -> &Path;

    /// All names, sorted.
    fn names(&self) -> Vec<&str>;

    /// The shape of a tensor; `None` when there is none of that name.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// The format of a tensor's own codes, that of the rows that [`Self::read_rows`] gives; `None` when there is no
    /// tensor of that name.
    fn format(&self, name: &str) -> Option<WeightFormat>;

    /// The values of a tensor as f32, in the order that the Hugging Face checkpoint has.
    fn read_f32(&self, name: &str) -> Result<Vec<f32>>;

    /// Rows of a tensor `[out, in]` in the checkpoint's own codes, in the order that the Hugging Face checkpoint has.
    /// Nothing but these rows is read, so that a large tensor can be taken in pieces.
    fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<WeightRow>>;
}

/// Rows and columns of a tensor, at least one of each. The error is a reason without the file's name.
pub(crate) fn rows_and_columns(name: &str, shape: &[usize]) -> Result<[usize; 2], String> {
    match *shape {
        [rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
        _ => Err(format!("tensor `{name}` has shape {shape:?}, expected rows and columns")),
    }
}

/// [`rows_and_columns`] of a tensor that has all of `rows`.
pub(super) fn check_rows(name: &str, shape: &[usize], rows: &Range<usize>) -> Result<[usize; 2], String> {
    let [count, columns] = rows_and_columns(name, shape)?;
    let Range { start, end } = *rows;
    if start > end || end > count {
        return Err(format!("tensor `{name}` has {count} rows, expected rows {start} to {end}"));
    }
    Ok([count, columns])
}
