//! Phi-3, Phi-3.5-mini and Phi-4-mini: LLaMA with q, k and v in one matrix, heads that may be rotated in part, and
//! frequencies that depend on the length of the text.
//!
//! Those of texts up to the first training's context are taken, which is what the exported context is cut to (Ding et al.
//! 2024, LongRoPE): a longer text has other frequencies from its first token on.

use super::llama::{down, gate_up, output};
use super::products::{Matrix, Product};
use super::writer::Writer;
use crate::Result;
use crate::checkpoint::DecoderConfig;

/// Tensors that [`write()`] writes.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    7 * config.layers + if config.tied_embeddings { 3 } else { 4 }
}

pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let embedding = Matrix::new("model.embed_tokens.weight", config.vocabulary, config.hidden);
    let columns = (config.heads + 2 * config.kv_heads) * config.head_dim;
    let mut hidden = writer.embedding(embedding.clone())?;
    let tables = writer.rotary_tables()?;
    writer.hidden_state(0, &hidden);
    for layer in 0..config.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let norm = Some((name("input_layernorm.weight"), config.norm_eps));
        let weight = Matrix::new(&name("self_attn.qkv_proj.weight"), columns, config.hidden);
        let qkv = writer.product(Product { norm, ..Product::new(&name("qkv"), &hidden, [weight]) })?;
        let attended = writer.attention(layer, &qkv, Some(&tables), None);
        hidden = writer.product(Product { residual: Some(&hidden), ..output(config, layer, &attended) })?;
        let norm = Some((name("post_attention_layernorm.weight"), config.norm_eps));
        let gated = writer.product(Product { norm, ..gate_up(config, layer, &hidden) })?;
        hidden = writer.product(Product { residual: Some(&hidden), ..down(config, layer, &gated) })?;
        writer.hidden_state(layer + 1, &hidden);
    }
    let wanted = writer.wanted_rows(&hidden);
    writer.logits(&wanted, Some("model.norm.weight"), embedding)
}
