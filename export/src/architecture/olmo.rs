//! OLMo: LLaMA with LayerNorm that has no weights (Groeneveld et al. 2024), and q, k and v that may be cut to a bound.

use super::llama::{down, gate_up, output, qkv};
use super::products::{Matrix, Product};
use super::writer::Writer;
use crate::Result;
use crate::checkpoint::DecoderConfig;
use crate::onnx::Value;

/// Tensors that [`write()`] writes.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    7 * config.layers + if config.tied_embeddings { 2 } else { 3 }
}

pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let embedding = Matrix::new("model.embed_tokens.weight", config.vocabulary, config.hidden);
    // The operator has no form without weights.
    let ones = writer.graph.constant("ones", &[config.hidden], &vec![1.0; config.hidden])?;
    let norm =
        |writer: &mut Writer, name: &str, input: &Value| writer.normalized("LayerNormalization", name, &[input, &ones]);
    let mut hidden = writer.embedding(embedding.clone())?;
    let tables = writer.rotary_tables()?;
    writer.hidden_state(0, &hidden);
    for layer in 0..config.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let input = norm(writer, &name("input_norm"), &hidden);
        let qkv = writer.product(qkv(config, layer, &input))?;
        let qkv = clipped(writer, layer, qkv)?;
        let attended = writer.attention(layer, &qkv, Some(&tables), None);
        hidden = writer.product(Product { residual: Some(&hidden), ..output(config, layer, &attended) })?;
        let input = norm(writer, &name("mlp_norm"), &hidden);
        let gated = writer.product(gate_up(config, layer, &input))?;
        hidden = writer.product(Product { residual: Some(&hidden), ..down(config, layer, &gated) })?;
        writer.hidden_state(layer + 1, &hidden);
    }
    let wanted = writer.wanted_rows(&hidden);
    let normalized = norm(writer, "final_norm", &wanted);
    writer.logits(&normalized, None, embedding)
}

fn clipped(writer: &mut Writer, layer: usize, qkv: Value) -> Result<Value> {
    let Some(most) = writer.config.clip_qkv else { return Ok(qkv) };
    let name = |part: &str| format!("model.layers.{layer}.clipped{part}");
    let least = writer.graph.constant(&name(".least"), &[], &[-most])?;
    let most = writer.graph.constant(&name(".most"), &[], &[most])?;
    Ok(writer.graph.standard("Clip", &name(""), &[&qkv, &least, &most], &[]))
}
