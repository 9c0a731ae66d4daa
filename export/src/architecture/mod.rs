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
mod encoder;
mod t5;
mod post_norm;
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
    /// Writes the encoder of a model that has one.
    write_encoder: Option<fn(&mut Writer) -> Result<()>>,
}

/// Tensors that [`write_graph`] writes.
pub(crate) fn tensor_count(config: &DecoderConfig) -> usize {
    (architecture(config).tensor_count)(config)
}

/// Writes the graph of `config` with the weights of `source` to `path`, and the encoder, if it has one, beside it, calling `written` after each tensor.
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
    let architecture = architecture(config);
    (architecture.write)(&mut writer)?;
    let encoder = match architecture.write_encoder {
        Some(write) => {
            let graph = GraphBuilder::create(&path.with_file_name("encoder.onnx"))?;
            let mut writer = Writer::of_encoder(graph, config, &tensors, export);
            write(&mut writer)?;
            Some(writer)
        }
        None => None,
    };
    tensors.check_all_taken(config)?;
    encoder.map_or(Ok(()), |encoder| encoder.graph.finish())?;
    writer.graph.finish()
}

fn architecture(config: &DecoderConfig) -> Architecture {
    type Count = fn(&DecoderConfig) -> usize;
    type Write = fn(&mut Writer) -> Result<()>;
    let alone = |tensor_count: Count, write: Write| Architecture { tensor_count, write, write_encoder: None };
    match config.architecture.as_str() {
        "llama" | "mistral" | "qwen2" | "qwen3" => alone(llama::tensor_count, llama::write),
        "gemma2" | "gemma3_text" => alone(gemma::tensor_count, gemma::write),
        "phi3" => alone(phi3::tensor_count, phi3::write),
        "gpt2" => alone(gpt2::tensor_count, gpt2::write),
        "gpt_neox" => alone(gpt_neox::tensor_count, gpt_neox::write),
        "olmo" => alone(olmo::tensor_count, olmo::write),
        "olmo2" => alone(olmo2::tensor_count, olmo2::write),
        "t5" | "mt5" => {
            Architecture { tensor_count: t5::tensor_count, write: t5::write, write_encoder: Some(t5::write_encoder) }
        }
        "bart" | "marian" | "nn_transformer" => Architecture {
            tensor_count: post_norm::tensor_count,
            write: post_norm::write,
            write_encoder: Some(post_norm::write_encoder),
        },
        other => unreachable!("no reader of configurations gives `{other}`"),
    }
}
