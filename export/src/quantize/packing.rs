//! A tensor of a checkpoint as panels, a group of rows at a time.
//!
//! Invariant: the format depends on the tensor's own and on what was asked for, never on its values, so that it is known
//! before a byte is written. Never more than a group's rows are in memory.

use rayon::prelude::*;
use veridraft_kernels::{PANEL_COLUMNS, WeightFormat, WeightRow, pack_panel};

use super::{quantize_q4, quantize_q8};
use crate::checkpoint::{TensorSource, rows_and_columns};
use crate::{Error, Result, Weights};

/// Rows that are converted at once: whole panels, enough of them for all threads, and 8 MiB of f32 for 4096 columns.
const GROUP_ROWS: usize = 64 * PANEL_COLUMNS;

/// What [`pack`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackedShape {
    pub(crate) format: WeightFormat,
    /// Weights in a row.
    pub(crate) k: usize,
    /// Rows.
    pub(crate) n: usize,
    /// Bytes of each of the `format.panels(n)` panels.
    pub(crate) panel_bytes: usize,
}

/// The shape in which [`pack`] writes the tensor `name`, `[out, in]`.
pub(crate) fn packed_shape(tensors: &dyn TensorSource, name: &str, weights: Weights) -> Result<PackedShape> {
    let own = tensors.format(name).ok_or_else(|| fail(tensors, format!("tensor `{name}` is missing")))?;
    let format = target_format(own, weights);
    let shape = tensors.shape(name).unwrap_or_default();
    let [n, k] = rows_and_columns(name, &shape).map_err(|reason| fail(tensors, reason))?;
    Ok(PackedShape { format, k, n, panel_bytes: format.panel_bytes(k) })
}

/// Hands the tensor `name`, of this [`packed_shape`], panel after panel to `write`, in pieces of whole panels.
pub(crate) fn pack(
    tensors: &dyn TensorSource,
    name: &str,
    shape: PackedShape,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let PackedShape { format, n, panel_bytes, .. } = shape;
    for start in (0..n).step_by(GROUP_ROWS) {
        let rows = tensors.read_rows(name, start..n.min(start + GROUP_ROWS))?;
        let rows = converted(rows, format).map_err(|reason| fail(tensors, format!("tensor `{name}`: {reason}")))?;
        write(&panels(&rows, panel_bytes))?;
    }
    Ok(())
}

/// Codes that have the bits already stay as they are: rounding them again would lose some and save nothing.
fn target_format(own: WeightFormat, weights: Weights) -> WeightFormat {
    use WeightFormat::{F32, Q4, Q4K, Q4Minimum, Q8, Q8K, Q8Minimum};
    match (weights, own) {
        (Weights::Auto, own) => own,
        (Weights::F32, _) => F32,
        (Weights::Q8, Q8 | Q8Minimum | Q8K) | (Weights::Q4, Q4 | Q4Minimum | Q4K) => own,
        (Weights::Q8, _) => Q8,
        (Weights::Q4, _) => Q4Minimum,
    }
}

fn converted(rows: Vec<WeightRow>, format: WeightFormat) -> Result<Vec<WeightRow>, String> {
    let convert = |row: WeightRow| match format {
        format if format == row.format() => Ok(row),
        WeightFormat::F32 => Ok(WeightRow::F32(row.dequantize())),
        WeightFormat::Q8 => quantize_q8(&row.dequantize()),
        WeightFormat::Q4Minimum => quantize_q4(&row.dequantize()),
        other => unreachable!("`{other}` is only kept, never made"),
    };
    rows.into_par_iter().map(convert).collect()
}

fn panels(rows: &[WeightRow], panel_bytes: usize) -> Vec<u8> {
    let mut panels = vec![0; rows.len().div_ceil(PANEL_COLUMNS) * panel_bytes];
    let work = panels.par_chunks_mut(panel_bytes).zip(rows.par_chunks(PANEL_COLUMNS));
    work.for_each(|(panel, rows)| pack_panel(rows, panel));
    panels
}

fn fail(tensors: &dyn TensorSource, reason: String) -> Error {
    Error::Checkpoint { path: tensors.path().to_owned(), reason }
}

#[cfg(test)]
mod tests;
