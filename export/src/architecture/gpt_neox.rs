//! GPT-NeoX and Pythia: heads rotated in part, and attention and MLP side by side (Black et al. 2022).
//!
//! ```text
//! embedding ─┬─ norm ─ [qkv] ─ PagedAttention ─ [o, +] ─┐           where the MLP stands behind attention
//!            ├──────────────────────────────────────┘   │           instead, its norm reads what [o, +] gives
//!            └─ norm ─ [h_to_4h] ─ GELU ─ [4h_to_h, +] ─┴─ ...
//! ```

use super::gpt2::affine;
use super::products::{Matrix, Product};
use super::writer::{RotaryTables, Writer};
use crate::Result;
use crate::checkpoint::DecoderConfig;
use crate::onnx::Value;

/// Tensors that [`write()`] writes.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    let layer = if config.attention_bias { 12 } else { 10 };
    layer * config.layers + if config.tied_embeddings { 4 } else { 5 }
}

pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let embedding = Matrix::new("embed_in.weight", config.vocabulary, config.hidden);
    let mut hidden = writer.embedding(embedding.clone())?;
    let tables = writer.rotary_tables()?;
    writer.hidden_state(0, &hidden);
    for layer in 0..config.layers {
        let attended = attention(writer, layer, &hidden, &tables)?;
        let mlp_input = if config.parallel_residual { &hidden } else { &attended };
        hidden = mlp(writer, layer, mlp_input, &attended)?;
        writer.hidden_state(layer + 1, &hidden);
    }
    let wanted = writer.wanted_rows(&hidden);
    let normalized = writer.layer_norm("final_layer_norm", &wanted)?;
    writer.logits(&normalized, None, embedding)
}

/// The residual stream with what attention adds.
fn attention(writer: &mut Writer, layer: usize, hidden: &Value, tables: &RotaryTables) -> Result<Value> {
    let config = writer.config;
    let name = |part: &str| format!("layers.{layer}.{part}");
    let biased = |product| if config.attention_bias { product } else { Product { biases: Vec::new(), ..product } };
    let input = writer.layer_norm(&name("input_layernorm"), hidden)?;
    let qkv = affine(&name("attention.query_key_value"), &input, [3 * config.hidden, config.hidden]);
    let qkv = writer.product(biased(qkv))?;
    let attended = writer.attention(layer, &qkv, Some(tables), None);
    let output = biased(affine(&name("attention.dense"), &attended, [config.hidden; 2]));
    writer.product(Product { residual: Some(hidden), ..output })
}

fn mlp(writer: &mut Writer, layer: usize, input: &Value, residual: &Value) -> Result<Value> {
    let (hidden, intermediate) = (writer.config.hidden, writer.config.intermediate);
    let name = |part: &str| format!("layers.{layer}.{part}");
    let input = writer.layer_norm(&name("post_attention_layernorm"), input)?;
    let inner = writer.product(affine(&name("mlp.dense_h_to_4h"), &input, [intermediate, hidden]))?;
    let inner = writer.activated(&name("mlp.gelu"), &inner);
    let output = affine(&name("mlp.dense_4h_to_h"), &inner, [hidden, intermediate]);
    writer.product(Product { residual: Some(residual), ..output })
}
