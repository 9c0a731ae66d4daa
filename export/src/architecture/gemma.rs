//! Gemma 2 and Gemma 3: the LLaMA family with norms before and behind, a GELU gate and scaled embeddings.
//!
//! Gemma 2 bends scores and logits by tanh, and each second layer looks back through a window (Gemma Team 2024). Gemma 3
//! normalises q and k instead, and most layers have a window and a rotary base of their own (Gemma Team 2025). Boxes are
//! products, `norm` is a node:
//!
//! ```text
//! embedding * sqrt(hidden) ─┬─ [norm, qkv] ─ PagedAttention ─ [o] ─ norm ─ + ─┬─ norm ─ [gate] GELU * [up] ─ [down] ─ norm ─ + ─ ...
//!                           └───────────────────────────────────────────────┘ └──────────────────────────────────────────┘
//! ```

use super::llama::{down, gate_up, output, qkv, query_key_norm};
use super::products::{Matrix, Product};
use super::writer::{RotaryTables, Writer};
use crate::Result;
use crate::checkpoint::DecoderConfig;
use crate::onnx::Value;

/// Tensors that [`write()`] writes.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    let has_local = config.local_rope_theta.is_some() && config.windows.iter().any(Option::is_some);
    let has_full = config.local_rope_theta.is_none() || config.windows.contains(&None);
    let layer = if has_head_norms(config) { 13 } else { 11 };
    layer * config.layers + 2 + usize::from(has_local) + usize::from(has_full) + usize::from(!config.tied_embeddings)
}

fn has_head_norms(config: &DecoderConfig) -> bool {
    config.architecture == "gemma3_text"
}

pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let embedding = Matrix::new("model.embed_tokens.weight", config.vocabulary, config.hidden);
    let rows = writer.embedding(embedding.clone())?;
    let scale = writer.graph.constant("embedding_scale", &[1], &[(config.hidden as f32).sqrt()])?;
    let mut hidden = writer.graph.standard("Mul", "scaled_embedding", &[&rows, &scale], &[]);
    let tables = writer.rotary_tables()?;
    writer.hidden_state(0, &hidden);
    for layer in 0..config.layers {
        hidden = attention(writer, layer, &hidden, &tables)?;
        hidden = mlp(writer, layer, &hidden)?;
        writer.hidden_state(layer + 1, &hidden);
    }
    let wanted = writer.wanted_rows(&hidden);
    writer.logits(&wanted, Some("model.norm.weight"), embedding)
}

fn attention(writer: &mut Writer, layer: usize, hidden: &Value, tables: &RotaryTables) -> Result<Value> {
    let config = writer.config;
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let norm = Some((name("input_layernorm.weight"), config.norm_eps));
    let qkv = writer.product(Product { norm, ..qkv(config, layer, hidden) })?;
    let norms = has_head_norms(config).then(|| query_key_norm(writer, layer, [config.head_dim; 2])).transpose()?;
    let attended = writer.attention(layer, &qkv, Some(tables), norms.as_ref());
    let output = writer.product(output(config, layer, &attended))?;
    let output = writer.rms_norm(&name("post_attention_layernorm"), &output)?;
    Ok(writer.add(&name("attention_residual"), hidden, &output))
}

/// The gate of products is SiLU, so here gate and up are two, and a node stands between.
fn mlp(writer: &mut Writer, layer: usize, hidden: &Value) -> Result<Value> {
    let config = writer.config;
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let norm = name("pre_feedforward_layernorm");
    let input = writer.rms_norm(&norm, hidden)?;
    let [gate, up] = gate_up(config, layer, &input).weights.try_into().expect("a gate and what it gates");
    let gate = writer.product(Product::new(&name("gate"), &input, [gate]))?;
    let up = writer.product(Product::new(&name("up"), &input, [up]))?;
    let gate = writer.activated(&name("gelu"), &gate);
    let gated = writer.graph.standard("Mul", &name("gated"), &[&gate, &up], &[]);
    let output = writer.product(down(config, layer, &gated))?;
    let output = writer.rms_norm(&name("post_feedforward_layernorm"), &output)?;
    Ok(writer.add(&name("mlp_residual"), hidden, &output))
}
