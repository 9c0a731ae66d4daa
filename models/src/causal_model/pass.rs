//! One run of the session, and its outputs checked.

use std::path::Path;

use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::Tensor;
use veridraft_kernels::Pool;

use super::batch_tensors::BatchTensors;
use crate::error::one_line;
use crate::{Error, Result};

/// Runs the graph over a batch; all of its outputs come back.
pub(super) fn run<'s>(session: &'s mut Session, pool: &Pool, tensors: BatchTensors) -> Result<SessionOutputs<'s>> {
    let mut inputs: Vec<(&str, SessionInputValue)> = vec![
        ("input_ids", tensor([tensors.rows()], tensors.input_ids)?),
        ("positions", tensor([tensors.positions.len()], tensors.positions)?),
        ("slot_mapping", tensor([tensors.slot_mapping.len()], tensors.slot_mapping)?),
        ("block_tables", tensor([tensors.sequences, tensors.blocks_per_table], tensors.block_tables)?),
        ("query_starts", tensor([tensors.query_starts.len()], tensors.query_starts)?),
        ("tree_mask", tensor([tensors.mask_rows, tensors.mask_width], tensors.tree_mask)?),
        ("logit_rows", tensor([tensors.logit_rows.len()], tensors.logit_rows)?),
    ];
    if !tensors.sources.is_empty() {
        inputs.push(("sources", tensor([tensors.sources.len()], tensors.sources)?));
    }
    let _awake = pool.pass();
    session.run(inputs).map_err(|error| Error::Runtime(one_line(&error)))
}

fn tensor<T, const N: usize>(shape: [usize; N], values: Vec<T>) -> Result<SessionInputValue<'static>>
where
    T: ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    let tensor = Tensor::from_array((shape, values)).map_err(|error| Error::Runtime(one_line(&error)))?;
    Ok(tensor.into())
}

/// The numbers of an output of `rows`, and how many a row has.
pub(super) fn rows_of(outputs: &SessionOutputs, path: &Path, name: &str, rows: usize) -> Result<(Vec<f32>, usize)> {
    let output = outputs.get(name);
    let missing = || Error::model_file(path, format!("no output `{name}`; export the checkpoint again"));
    let (shape, values) =
        output.ok_or_else(missing)?.try_extract_tensor::<f32>().map_err(|error| Error::Runtime(one_line(&error)))?;
    match shape[..] {
        [found, columns] if found == rows as i64 && columns > 0 => Ok((values.to_vec(), columns as usize)),
        _ => Err(Error::model_file(path, format!("`{name}` is {shape:?}, expected {rows} rows"))),
    }
}
