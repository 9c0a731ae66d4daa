//! The transformer as it was first drawn, norms behind (Vaswani et al. 2017): BART, Marian, PyTorch's `nn.Transformer`.
//!
//! ```text
//! encoder    embedding + positions ─┬─ [qkv] ─ attention ─ [out, +] ─ norm ─┬─ [fc1] ─ function ─ [fc2, +] ─ norm ─ ... ─ [k, v]
//!                                   └────────────────────────────┘         └───────────────────────┘
//! decoder    the same with PagedAttention, and between the two [q] ─ over the source ─ [out, +] ─ norm
//! ```

use super::encoder::{EncoderAttention, pad_source, source_positions};
use super::gpt2::affine;
use super::products::{Matrix, Product};
use super::writer::Writer;
use crate::Result;
use crate::checkpoint::{DecoderConfig, Positions, Style};
use crate::onnx::Value;

/// What models of this kind differ in.
struct Options {
    positions: Positions,
    has_scaled_embedding: bool,
    has_embedding_norm: bool,
    has_final_norms: bool,
    logits_bias: Option<&'static str>,
}

fn options(config: &DecoderConfig) -> Options {
    match config.encoder.as_ref().map(|encoder| &encoder.style) {
        Some(&Style::PostNorm {
            positions,
            has_scaled_embedding,
            has_embedding_norm,
            has_final_norms,
            logits_bias,
        }) => Options { positions, has_scaled_embedding, has_embedding_norm, has_final_norms, logits_bias },
        _ => unreachable!("the reader of these configurations gives this style"),
    }
}

/// Tensors that [`write()`] and [`write_encoder`] write.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    let encoder = config.encoder.as_ref().expect("these models have an encoder");
    let options = options(config);
    let norms = 2 * usize::from(options.has_embedding_norm) + 2 * usize::from(options.has_final_norms);
    // In each of the two an embedding, positions and norms; the matrices and norms of layers; the head.
    let ends = 2 * (2 + norms) + usize::from(!config.tied_embeddings) + usize::from(options.logits_bias.is_some());
    ends + encoder.layers * 14 + config.layers * 23
}

/// Writes the decoder.
pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let options = options(config);
    let positions = writer.pages().positions.clone();
    let mut hidden = embedding(writer, "model.decoder", &positions, config.context_length)?;
    writer.hidden_state(0, &hidden);
    for layer in 0..config.layers {
        let name = |part: &str| format!("model.decoder.layers.{layer}.{part}");
        let qkv = writer.product(projections(config, &name("self_attn"), &hidden, &["q", "k", "v"]))?;
        let attended = writer.biased_attention(layer, &qkv, None);
        hidden = closed(writer, &name("self_attn"), &attended, &hidden)?;
        let query = writer.product(projections(config, &name("encoder_attn"), &hidden, &["q"]))?;
        let attended = writer.cross_attention(layer, &query);
        hidden = closed(writer, &name("encoder_attn"), &attended, &hidden)?;
        hidden = mlp(writer, &name(""), &hidden, config.intermediate)?;
        writer.hidden_state(layer + 1, &hidden);
    }
    let mut wanted = writer.wanted_rows(&hidden);
    if options.has_final_norms {
        wanted = writer.layer_norm("model.decoder.layer_norm", &wanted)?;
    }
    let embedding = Matrix::new("model.shared.weight", config.vocabulary, config.hidden);
    let biases = options.logits_bias.map(|name| (name.to_owned(), config.vocabulary)).into_iter().collect();
    writer.biased_logits(&wanted, None, embedding, biases)
}

/// Writes the encoder, which gives keys and values for each of the decoder's layers.
pub(super) fn write_encoder(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let encoder = config.encoder.as_ref().expect("these models have an encoder");
    pad_source(writer);
    let positions = source_positions(writer);
    let mut hidden = embedding(writer, "model.encoder", &positions, encoder.source_length)?;
    let head_dim = config.hidden / encoder.heads;
    let scale = 1.0 / (head_dim as f32).sqrt();
    for layer in 0..encoder.layers {
        let name = |part: &str| format!("model.encoder.layers.{layer}.{part}");
        let qkv = writer.product(projections(config, &name("self_attn"), &hidden, &["q", "k", "v"]))?;
        let heads = encoder.heads;
        let attended = EncoderAttention { name: name("attention"), qkv: &qkv, heads, head_dim, scale, bias: None };
        let attended = attended.write(writer)?;
        hidden = closed(writer, &name("self_attn"), &attended, &hidden)?;
        hidden = mlp(writer, &name(""), &hidden, encoder.intermediate)?;
    }
    if options(config).has_final_norms {
        hidden = writer.layer_norm("model.encoder.layer_norm", &hidden)?;
    }
    for layer in 0..config.layers {
        let name = format!("model.decoder.layers.{layer}.encoder_attn");
        let product = projections(config, &name, &hidden, &["k", "v"]);
        writer.cross_output(Product { name: format!("cross.{layer}"), ..product })?;
    }
    Ok(())
}

/// Tokens and positions, `[rows, hidden]`.
fn embedding(writer: &mut Writer, side: &str, positions: &Value, length: usize) -> Result<Value> {
    let config = writer.config;
    let options = options(config);
    let mut tokens = writer.embedding(Matrix::new("model.shared.weight", config.vocabulary, config.hidden))?;
    if options.has_scaled_embedding {
        let scale = writer.graph.constant("embedding_scale", &[1], &[(config.hidden as f32).sqrt()])?;
        tokens = writer.graph.standard("Mul", "scaled_embedding", &[&tokens, &scale], &[]);
    }
    let table = position_table(writer, &format!("{side}.embed_positions.weight"), options.positions, length)?;
    let places = writer.graph.standard("Gather", "positions_embedding", &[&table, positions], &[]);
    let sum = writer.add("embedding_sum", &tokens, &places);
    if options.has_embedding_norm { writer.layer_norm(&format!("{side}.layernorm_embedding"), &sum) } else { Ok(sum) }
}

/// What is added at each position, `[length, hidden]`.
fn position_table(writer: &mut Writer, name: &str, positions: Positions, length: usize) -> Result<Value> {
    let hidden = writer.config.hidden;
    let values = match positions {
        Positions::Stored { skipped } => writer.numbers(name, &[length + skipped, hidden])?.split_off(skipped * hidden),
        Positions::Sinusoidal => sinusoids(length, hidden),
    };
    let value = writer.graph.constant(name, &[length, hidden], &values)?;
    writer.count_written();
    Ok(value)
}

/// Sines of all frequencies, then their cosines.
fn sinusoids(length: usize, hidden: usize) -> Vec<f32> {
    let sines = hidden.div_ceil(2);
    let angle = |position: usize, index: usize| position as f64 / 10_000_f64.powf(2.0 * index as f64 / hidden as f64);
    let number = |position: usize, column: usize| match column.checked_sub(sines) {
        None => angle(position, column).sin() as f32,
        Some(column) => angle(position, column).cos() as f32,
    };
    (0..length).flat_map(|position| (0..hidden).map(move |column| number(position, column))).collect()
}

/// Some projections of an attention, with their biases.
fn projections<'a>(config: &DecoderConfig, attention: &str, input: &'a Value, parts: &[&str]) -> Product<'a> {
    let hidden = config.hidden;
    let name = |part: &str, kind: &str| format!("{attention}.{part}_proj.{kind}");
    let weights: Vec<_> = parts.iter().map(|part| Matrix::new(&name(part, "weight"), hidden, hidden)).collect();
    let biases = parts.iter().map(|part| (name(part, "bias"), hidden)).collect();
    Product { biases, ..Product::new(&format!("{attention}.{}", parts.concat()), input, weights) }
}

/// The end of an attention: back to the stream, and its norm.
fn closed(writer: &mut Writer, attention: &str, attended: &Value, hidden: &Value) -> Result<Value> {
    let output = affine(&format!("{attention}.out_proj"), attended, [writer.config.hidden; 2]);
    let sum = writer.product(Product { residual: Some(hidden), ..output })?;
    writer.layer_norm(&format!("{attention}_layer_norm"), &sum)
}

fn mlp(writer: &mut Writer, layer: &str, hidden: &Value, intermediate: usize) -> Result<Value> {
    let width = writer.config.hidden;
    let inner = writer.product(affine(&format!("{layer}fc1"), hidden, [intermediate, width]))?;
    let inner = writer.activated(&format!("{layer}function"), &inner);
    let output = affine(&format!("{layer}fc2"), &inner, [width, intermediate]);
    let sum = writer.product(Product { residual: Some(hidden), ..output })?;
    writer.layer_norm(&format!("{layer}final_layer_norm"), &sum)
}
