//! OLMo 2: LLaMA with norms behind attention and MLP alone, and q and k normalised over all heads together (OLMo team
//! 2024, 2 OLMo 2 Furious).

use super::llama::{down, gate_up, output, qkv, query_key_norm};
use super::products::Matrix;
use super::writer::Writer;
use crate::Result;
use crate::checkpoint::DecoderConfig;

/// Tensors that [`write()`] writes.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    11 * config.layers + if config.tied_embeddings { 3 } else { 4 }
}

pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let embedding = Matrix::new("model.embed_tokens.weight", config.vocabulary, config.hidden);
    let mut hidden = writer.embedding(embedding.clone())?;
    let tables = writer.rotary_tables()?;
    writer.hidden_state(0, &hidden);
    for layer in 0..config.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let qkv = writer.product(qkv(config, layer, &hidden))?;
        let lengths = [config.heads, config.kv_heads].map(|heads| heads * config.head_dim);
        let norms = query_key_norm(writer, layer, lengths)?;
        let attended = writer.attention(layer, &qkv, Some(&tables), Some(&norms));
        let output = writer.product(output(config, layer, &attended))?;
        let output = writer.rms_norm(&name("post_attention_layernorm"), &output)?;
        hidden = writer.add(&name("attention_residual"), &hidden, &output);
        let gated = writer.product(gate_up(config, layer, &hidden))?;
        let output = writer.product(down(config, layer, &gated))?;
        let output = writer.rms_norm(&name("post_feedforward_layernorm"), &output)?;
        hidden = writer.add(&name("mlp_residual"), &hidden, &output);
        writer.hidden_state(layer + 1, &hidden);
    }
    let wanted = writer.wanted_rows(&hidden);
    writer.logits(&wanted, Some("model.norm.weight"), embedding)
}
