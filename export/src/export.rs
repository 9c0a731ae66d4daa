//! From a checkpoint to a model folder in the Hugging Face layout.

use std::cell::Cell;
use std::path::Path;

use crate::checkpoint::{Checkpoint, CompanionFiles, MaskedCheckpoint};
use crate::{Error, MatMulOperators, Result, Weights, architecture};

/// How a checkpoint is exported.
#[derive(Clone, Debug, Default)]
pub struct ExportConfig {
    /// Format of the weights.
    pub weights: Weights,
    /// What multiplies them.
    pub operators: MatMulOperators,
    /// Numbers of layers behind which the graph gives out the residual stream, as `hidden_states.N`, for draft heads
    /// that read it: 0 is the embedding, the count of layers what the last norm reads.
    pub hidden_states: Vec<usize>,
}

/// How far an export has come.
#[derive(Clone, Copy, Debug)]
pub struct ExportProgress {
    /// Tensors written.
    pub tensors_done: usize,
    /// Tensors in the model.
    pub tensors_total: usize,
}

/// Fills the empty folder `destination` with the model of `source`, a GGUF file or a Hugging Face folder of a causal, an
/// encoder-decoder or a masked language model.
///
/// Writes `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json`, `onnx/model.onnx` and
/// `onnx/model.onnx.data`, and `onnx/encoder.onnx` with its data where there is an encoder. On an error the folder holds an unknown part of that: write beside the place where a model
/// is looked for, and rename.
pub fn export(
    source: &Path,
    destination: &Path,
    config: &ExportConfig,
    progress: &dyn Fn(ExportProgress),
) -> Result<()> {
    if let Some(checkpoint) = MaskedCheckpoint::open(source)? {
        let MaskedCheckpoint { config: encoder, tensors, .. } = &checkpoint;
        let write =
            |path: &Path, written: &dyn Fn()| architecture::write_masked(encoder, &**tensors, path, config, written);
        let tensors_total = architecture::masked_tensor_count(encoder);
        return fill(destination, &checkpoint.companion_files()?, &write, (tensors_total, progress));
    }
    let checkpoint = Checkpoint::open(source)?;
    let write = |path: &Path, written: &dyn Fn()| {
        architecture::write_graph(&checkpoint.config, &*checkpoint.tensors, path, config, written)
    };
    let tensors_total = architecture::tensor_count(&checkpoint.config);
    fill(destination, &checkpoint.companion_files()?, &write, (tensors_total, progress))
}

/// Writes a graph to a path and tells of each tensor.
type WriteGraph<'a> = dyn Fn(&Path, &dyn Fn()) -> Result<()> + 'a;

/// Writes the graph with `write_graph`, and the other files.
fn fill(
    destination: &Path,
    files: &CompanionFiles,
    write_graph: &WriteGraph,
    (tensors_total, progress): (usize, &dyn Fn(ExportProgress)),
) -> Result<()> {
    for (name, text) in files {
        write(&destination.join(name), text.as_bytes())?;
    }
    let folder = destination.join("onnx");
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let done = Cell::new(0);
    let written = || {
        done.set(done.get() + 1);
        progress(ExportProgress { tensors_done: done.get(), tensors_total });
    };
    write_graph(&folder.join("model.onnx"), &written)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(Error::io("write", path))
}
