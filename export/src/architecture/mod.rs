//! Graphs, one file an architecture.
//!
//! An architecture says what its layers are made of; `writer` has the parts that it may use, and `products` says which
//! operators compute products.

mod llama;
mod gemma;
mod phi3;
mod gpt2;
mod gpt_neox;
mod olmo;
mod olmo2;
mod masked;
mod products;
mod tensors;
mod writer;

pub(crate) use masked::{tensor_count as masked_tensor_count, write_graph as write_masked};

use std::path::Path;

use crate::checkpoint::{DecoderConfig, TensorSource};
use crate::onnx::GraphBuilder;
use crate::{ExportConfig, Result};
use tensors::Tensors;
use writer::Writer;

/// A kind of graph.
struct Architecture {
    /// Tensors that it writes.
    tensor_count: fn(&DecoderConfig) -> usize,
    write: fn(&mut Writer) -> Result<()>,
}

/// Tensors that [`write_graph`] writes.
pub(crate) fn tensor_count(config: &DecoderConfig) -> usize {
    (architecture(config).tensor_count)(config)
}

/// Writes the graph of `config` with the weights of `source` to `path`, calling `written` after each tensor.
pub(crate) fn write_graph(
    config: &DecoderConfig,
    source: &dyn TensorSource,
    path: &Path,
    export: &ExportConfig,
    written: &dyn Fn(),
) -> Result<()> {
    let tensors = Tensors::new(source, written);
    tensors.check_hidden_states(config, &export.hidden_states)?;
    let mut writer = Writer::new(GraphBuilder::create(path)?, config, &tensors, export);
    (architecture(config).write)(&mut writer)?;
    tensors.check_all_taken(config)?;
    writer.graph.finish()
}

fn architecture(config: &DecoderConfig) -> Architecture {
    match config.architecture.as_str() {
        "llama" | "mistral" | "qwen2" | "qwen3" => {
            Architecture { tensor_count: llama::tensor_count, write: llama::write }
        }
        "gemma2" | "gemma3_text" => Architecture { tensor_count: gemma::tensor_count, write: gemma::write },
        "phi3" => Architecture { tensor_count: phi3::tensor_count, write: phi3::write },
        "gpt2" => Architecture { tensor_count: gpt2::tensor_count, write: gpt2::write },
        "gpt_neox" => Architecture { tensor_count: gpt_neox::tensor_count, write: gpt_neox::write },
        "olmo" => Architecture { tensor_count: olmo::tensor_count, write: olmo::write },
        "olmo2" => Architecture { tensor_count: olmo2::tensor_count, write: olmo2::write },
        other => unreachable!("no reader of configurations gives `{other}`"),
    }
}
