//! GPT-2: learned positions, LayerNorm, biases everywhere, and an MLP without a gate (Radford et al. 2019).
//!
//! ```text
//! wte[input_ids] + wpe[positions] ─┬─ norm ─ [qkv] ─ PagedAttention ─ [o, +] ─┬─ norm ─ [fc] ─ GELU ─ [proj, +] ─ ...
//!                                  └──────────────────────────────────────────┘└────────────────────────────────┘
//! ```

use super::products::{Matrix, Product};
use super::writer::Writer;
use crate::Result;
use crate::checkpoint::DecoderConfig;
use crate::onnx::Value;

/// Tensors that [`write()`] writes.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    12 * config.layers + if config.tied_embeddings { 4 } else { 5 }
}

pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let embedding = Matrix::new("wte.weight", config.vocabulary, config.hidden);
    let tokens = writer.embedding(embedding.clone())?;
    let positions = writer.tensor("wpe.weight", &[config.context_length, config.hidden])?;
    let places = writer.pages().positions.clone();
    let positions = writer.graph.standard("Gather", "positions_embedding", &[&positions, &places], &[]);
    let mut hidden = writer.add("embedding_sum", &tokens, &positions);
    writer.hidden_state(0, &hidden);
    for layer in 0..config.layers {
        hidden = block(writer, layer, &hidden)?;
        writer.hidden_state(layer + 1, &hidden);
    }
    let wanted = writer.wanted_rows(&hidden);
    let normalized = writer.layer_norm("ln_f", &wanted)?;
    writer.logits(&normalized, None, embedding)
}

fn block(writer: &mut Writer, layer: usize, hidden: &Value) -> Result<Value> {
    let (hidden_size, intermediate) = (writer.config.hidden, writer.config.intermediate);
    let name = |part: &str| format!("h.{layer}.{part}");
    let input = writer.layer_norm(&name("ln_1"), hidden)?;
    let qkv = writer.product(affine(&name("attn.c_attn"), &input, [3 * hidden_size, hidden_size]))?;
    let attended = writer.attention(layer, &qkv, None, None);
    let output = affine(&name("attn.c_proj"), &attended, [hidden_size, hidden_size]);
    let hidden = writer.product(Product { residual: Some(hidden), ..output })?;
    let input = writer.layer_norm(&name("ln_2"), &hidden)?;
    let inner = writer.product(affine(&name("mlp.c_fc"), &input, [intermediate, hidden_size]))?;
    let inner = writer.activated(&name("mlp.gelu"), &inner);
    let output = affine(&name("mlp.c_proj"), &inner, [hidden_size, intermediate]);
    writer.product(Product { residual: Some(&hidden), ..output })
}

/// A product with `NAME.weight`, `[n, k]`, and `NAME.bias`.
pub(super) fn affine<'a>(name: &str, input: &'a Value, [n, k]: [usize; 2]) -> Product<'a> {
    let biases = vec![(format!("{name}.bias"), n)];
    Product { biases, ..Product::new(name, input, [Matrix::new(&format!("{name}.weight"), n, k)]) }
}
