//! The LLaMA family: LLaMA, SmolLM2, Mistral, Qwen2, and Qwen3, which normalises q and k of each head.
//!
//! Pre-norm transformer with RMSNorm, rotary embedding, grouped-query attention and a SiLU-gated MLP
//! (Touvron et al. 2023, LLaMA; Ainslie et al. 2023, GQA). Rows of all sequences run as one matrix; each box is one
//! product:
//!
//! ```text
//! input_ids ─ embedding ─┬─ [norm, qkv] ─ PagedAttention ─ [o, +] ─┬─ [norm, gate, up, SiLU, *] ─ [down, +] ─ ...
//!                        └─────────────────────────────────────────┘└────────────────────────────────────┘
//! ... ─ Gather(logit_rows) ─ [norm, head] ─ logits
//! ```

use super::products::{Matrix, Product};
use super::writer::{QueryKeyNorm, RotaryTables, Writer};
use crate::Result;
use crate::checkpoint::DecoderConfig;
use crate::onnx::Value;

/// Tensors that [`write()`] writes.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    let layer = 9 + usize::from(config.attention_bias) + if has_head_norms(config) { 2 } else { 0 };
    layer * config.layers + if config.tied_embeddings { 3 } else { 4 }
}

fn has_head_norms(config: &DecoderConfig) -> bool {
    config.architecture == "qwen3"
}

pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let embedding = Matrix::new("model.embed_tokens.weight", config.vocabulary, config.hidden);
    let mut hidden = writer.embedding(embedding.clone())?;
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
    writer.product(Product { residual: Some(hidden), ..output(config, layer, &attended) })
}

fn mlp(writer: &mut Writer, layer: usize, hidden: &Value) -> Result<Value> {
    let config = writer.config;
    let norm = Some((format!("model.layers.{layer}.post_attention_layernorm.weight"), config.norm_eps));
    let gated = writer.product(Product { norm, ..gate_up(config, layer, hidden) })?;
    writer.product(Product { residual: Some(hidden), ..down(config, layer, &gated) })
}

/// q, k and v side by side.
pub(super) fn qkv<'a>(config: &DecoderConfig, layer: usize, input: &'a Value) -> Product<'a> {
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let kv_columns = config.kv_heads * config.head_dim;
    let parts = [("q", config.heads * config.head_dim), ("k", kv_columns), ("v", kv_columns)];
    let weights = parts.map(|(part, n)| Matrix::new(&name(&format!("self_attn.{part}_proj.weight")), n, config.hidden));
    let biases = parts.map(|(part, n)| (name(&format!("self_attn.{part}_proj.bias")), n));
    let biases = if config.attention_bias { biases.to_vec() } else { Vec::new() };
    Product { biases, ..Product::new(&name("qkv"), input, weights) }
}

/// The weights of q's and k's norms, of these lengths.
pub(super) fn query_key_norm(writer: &mut Writer, layer: usize, lengths: [usize; 2]) -> Result<QueryKeyNorm> {
    let name = |part: &str| format!("model.layers.{layer}.self_attn.{part}_norm.weight");
    let query = writer.tensor(&name("q"), &[lengths[0]])?;
    let key = writer.tensor(&name("k"), &[lengths[1]])?;
    Ok(QueryKeyNorm { query, key })
}

/// What attention gives, to the width of the residual stream.
pub(super) fn output<'a>(config: &DecoderConfig, layer: usize, attended: &'a Value) -> Product<'a> {
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let columns = config.heads * config.head_dim;
    Product::new(&name("o"), attended, [Matrix::new(&name("self_attn.o_proj.weight"), config.hidden, columns)])
}

/// `silu(gate) * up`
pub(super) fn gate_up<'a>(config: &DecoderConfig, layer: usize, input: &'a Value) -> Product<'a> {
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let weights = ["gate", "up"]
        .map(|part| Matrix::new(&name(&format!("mlp.{part}_proj.weight")), config.intermediate, config.hidden));
    Product { is_gated: true, ..Product::new(&name("gate_up"), input, weights) }
}

/// What the MLP gives, to the width of the residual stream.
pub(super) fn down<'a>(config: &DecoderConfig, layer: usize, gated: &'a Value) -> Product<'a> {
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let weight = Matrix::new(&name("mlp.down_proj.weight"), config.hidden, config.intermediate);
    Product::new(&name("down"), gated, [weight])
}
