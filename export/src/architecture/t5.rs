//! T5: RMSNorm before, no biases, positions by distance, and cross-attention in the decoder (Raffel et al. 2020).
//!
//! ```text
//! encoder    embedding ─┬─ [norm, qkv] ─ attention + bias ─ [o, +] ─┬─ MLP, + ─ ... ─ norm ─ [k, v] of each decoder layer
//!                       └────────────────────────────────────────────┘
//! decoder    embedding ─┬─ [norm, qkv] ─ PagedAttention + bias ─ [o, +] ─┬─ [norm, q] ─ over the source ─ [o, +] ─┬─ MLP, + ─ ...
//!                       └─────────────────────────────────────────────────┘└───────────────────────────────────────┘
//! ```

use super::encoder::{EncoderAttention, integers, source_positions};
use super::products::{Matrix, Product};
use super::writer::Writer;
use crate::Result;
use crate::checkpoint::{DecoderConfig, Style};
use crate::onnx::Attribute::Int;
use crate::onnx::Value;

/// Tensors that [`write()`] and [`write_encoder`] write.
pub(super) fn tensor_count(config: &DecoderConfig) -> usize {
    let encoder = config.encoder.as_ref().expect("a T5 has an encoder");
    let mlp = if relative(config).2 { 4 } else { 3 };
    let of_encoder = 3 + encoder.layers * (5 + mlp) + 2 * config.layers;
    of_encoder + config.layers * (8 + mlp) + if config.tied_embeddings { 3 } else { 4 }
}

/// Buckets, the distance from which on all are one, and whether the MLP has a gate.
fn relative(config: &DecoderConfig) -> (usize, usize, bool) {
    match config.encoder.as_ref().map(|encoder| &encoder.style) {
        Some(&Style::Relative { buckets, max_distance, is_gated }) => (buckets, max_distance, is_gated),
        _ => unreachable!("the reader of T5's configuration gives this style"),
    }
}

/// Writes the decoder.
pub(super) fn write(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let embedding = Matrix::new("shared.weight", config.vocabulary, config.hidden);
    let mut hidden = writer.embedding(embedding.clone())?;
    let bias = decoder_bias(writer)?;
    writer.hidden_state(0, &hidden);
    for layer in 0..config.layers {
        let name = |part: &str| format!("decoder.block.{layer}.{part}");
        let qkv = writer.product(normed(
            config,
            &name("layer.0"),
            &name("layer.0.SelfAttention"),
            &hidden,
            &["q", "k", "v"],
        ))?;
        let attended = writer.biased_attention(layer, &qkv, Some(&bias));
        hidden = output(writer, &name("layer.0.SelfAttention"), &attended, &hidden)?;
        let query =
            writer.product(normed(config, &name("layer.1"), &name("layer.1.EncDecAttention"), &hidden, &["q"]))?;
        let attended = writer.cross_attention(layer, &query);
        hidden = output(writer, &name("layer.1.EncDecAttention"), &attended, &hidden)?;
        hidden = mlp(writer, &name("layer.2"), &hidden, config.intermediate)?;
        writer.hidden_state(layer + 1, &hidden);
    }
    let wanted = writer.wanted_rows(&hidden);
    if !config.tied_embeddings {
        return writer.logits(&wanted, Some("decoder.final_layer_norm.weight"), embedding);
    }
    // A head that is the embedding reads rows of another size than the embedding gives.
    let normalized = writer.rms_norm("decoder.final_layer_norm", &wanted)?;
    let scale = writer.graph.constant("head_scale", &[1], &[(config.hidden as f32).powf(-0.5)])?;
    let scaled = writer.graph.standard("Mul", "scaled", &[&normalized, &scale], &[]);
    writer.logits(&scaled, None, embedding)
}

/// Writes the encoder, which gives keys and values for each of the decoder's layers.
pub(super) fn write_encoder(writer: &mut Writer) -> Result<()> {
    let config = writer.config;
    let encoder = config.encoder.as_ref().expect("a T5 has an encoder");
    let mut hidden = writer.embedding(Matrix::new("shared.weight", config.vocabulary, config.hidden))?;
    let bias = encoder_bias(writer, encoder.source_length)?;
    for layer in 0..encoder.layers {
        let name = |part: &str| format!("encoder.block.{layer}.{part}");
        let attention = name("layer.0.SelfAttention");
        let qkv = writer.product(normed(config, &name("layer.0"), &attention, &hidden, &["q", "k", "v"]))?;
        let (heads, head_dim, scale) = (encoder.heads, config.head_dim, config.attention_scale);
        let attended =
            EncoderAttention { name: name("attention"), qkv: &qkv, heads, head_dim, scale, bias: Some(&bias) };
        let attended = attended.write(writer)?;
        hidden = output(writer, &attention, &attended, &hidden)?;
        hidden = mlp(writer, &name("layer.1"), &hidden, encoder.intermediate)?;
    }
    let hidden = writer.rms_norm("encoder.final_layer_norm", &hidden)?;
    for layer in 0..config.layers {
        let name = format!("decoder.block.{layer}.layer.1.EncDecAttention");
        let weights = ["k", "v"].map(|part| projection(config, &name, part));
        writer.cross_output(Product::new(&format!("cross.{layer}"), &hidden, weights))?;
    }
    Ok(())
}

fn projection(config: &DecoderConfig, attention: &str, part: &str) -> Matrix {
    Matrix::new(&format!("{attention}.{part}.weight"), config.heads * config.head_dim, config.hidden)
}

/// Some projections of the normalised stream.
fn normed<'a>(config: &DecoderConfig, layer: &str, attention: &str, input: &'a Value, parts: &[&str]) -> Product<'a> {
    let weights: Vec<_> = parts.iter().map(|part| projection(config, attention, part)).collect();
    let norm = Some((format!("{layer}.layer_norm.weight"), config.norm_eps));
    Product { norm, ..Product::new(&format!("{attention}.{}", parts.concat()), input, weights) }
}

fn output(writer: &mut Writer, attention: &str, attended: &Value, hidden: &Value) -> Result<Value> {
    let config = writer.config;
    let name = format!("{attention}.o");
    let matrix = Matrix::new(&format!("{name}.weight"), config.hidden, config.heads * config.head_dim);
    writer.product(Product { residual: Some(hidden), ..Product::new(&name, attended, [matrix]) })
}

fn mlp(writer: &mut Writer, layer: &str, hidden: &Value, intermediate: usize) -> Result<Value> {
    let config = writer.config;
    let name = |part: &str| format!("{layer}.DenseReluDense.{part}");
    let inner = |part: &str| Matrix::new(&name(&format!("{part}.weight")), intermediate, config.hidden);
    let norm = format!("{layer}.layer_norm");
    let gated = if relative(config).2 {
        let input = writer.rms_norm(&norm, hidden)?;
        let gate = writer.product(Product::new(&name("wi_0"), &input, [inner("wi_0")]))?;
        let gate = writer.activated(&name("function"), &gate);
        let up = writer.product(Product::new(&name("wi_1"), &input, [inner("wi_1")]))?;
        writer.graph.standard("Mul", &name("gated"), &[&gate, &up], &[])
    } else {
        let norm = Some((format!("{norm}.weight"), config.norm_eps));
        let up = writer.product(Product { norm, ..Product::new(&name("wi"), hidden, [inner("wi")]) })?;
        writer.activated(&name("function"), &up)
    };
    let down = Matrix::new(&name("wo.weight"), config.hidden, intermediate);
    writer.product(Product { residual: Some(hidden), ..Product::new(&name("wo"), &gated, [down]) })
}

/// By head and distance, what the decoder adds to scores, `[heads, max_distance + 1]`.
fn decoder_bias(writer: &mut Writer) -> Result<Value> {
    let config = writer.config;
    let (buckets, max_distance, _) = relative(config);
    let table = bias_table(writer, "decoder", config.heads)?;
    let by_distance = |head: usize| {
        let table = &table;
        (0..=max_distance).map(move |distance| table[bucket(distance, buckets, max_distance) * config.heads + head])
    };
    let values: Vec<f32> = (0..config.heads).flat_map(by_distance).collect();
    writer.graph.constant("decoder.position_bias", &[config.heads, max_distance + 1], &values)
}

/// What the encoder adds to scores, `[heads, source, source]`.
fn encoder_bias(writer: &mut Writer, source_length: usize) -> Result<Value> {
    let config = writer.config;
    let heads = config.encoder.as_ref().expect("a T5 has an encoder").heads;
    let (buckets, max_distance, _) = relative(config);
    let table = bias_table(writer, "encoder", heads)?;
    let most = max_distance.min(source_length);
    // Half of the classes are for keys before the query, half for those behind.
    let of_offset = |offset: i64| {
        let behind = if offset > 0 { buckets / 2 } else { 0 };
        behind + bucket(offset.unsigned_abs() as usize, buckets / 2, max_distance)
    };
    let offsets = -(most as i64)..=most as i64;
    let by_offset = |head: usize| offsets.clone().map(of_offset).map(move |bucket| bucket * heads + head);
    let values: Vec<f32> = (0..heads).flat_map(by_offset).map(|place| table[place]).collect();
    let values = writer.graph.constant("encoder.position_bias", &[heads, 2 * most + 1], &values)?;
    let positions = source_positions(writer);
    let [first, second] = [0, 1].map(|axis| {
        let axis_name = format!("source.axis.{axis}");
        let axes = integers(writer, &axis_name, &[axis]);
        writer.graph.standard("Unsqueeze", &format!("source.by.{axis}"), &[&positions, &axes], &[])
    });
    let graph = &mut writer.graph;
    let offsets = graph.standard("Sub", "source.offsets", &[&first, &second], &[]);
    let [least, greatest] = [("least", -(most as i64)), ("most", most as i64)]
        .map(|(name, value)| graph.standard("Constant", &format!("source.{name}"), &[], &[("value_int", Int(value))]));
    let bounded = graph.standard("Clip", "source.bounded", &[&offsets, &least, &greatest], &[]);
    let places = graph.standard("Add", "source.places", &[&bounded, &greatest], &[]);
    Ok(graph.standard("Gather", "source.bias", &[&values, &places], &[("axis", Int(1))]))
}

/// `[buckets, heads]`
fn bias_table(writer: &mut Writer, side: &str, heads: usize) -> Result<Vec<f32>> {
    let buckets = relative(writer.config).0;
    writer.count_written();
    writer.numbers(&format!("{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"), &[buckets, heads])
}

/// The class of a distance: small ones have one each, larger ones share them on a logarithmic scale.
fn bucket(distance: usize, buckets: usize, max_distance: usize) -> usize {
    let exact = buckets / 2;
    if distance < exact {
        return distance;
    }
    // In the precision of the library that trained the table, as distances lie on the borders of classes.
    let share = (distance as f32 / exact as f32).ln() / ((max_distance as f64 / exact as f64).ln() as f32);
    let class = exact + (share * (buckets - exact) as f32) as usize;
    class.min(buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn distances_fall_into_the_classes_of_the_paper() {
        let classes: Vec<_> = (0..12).map(|distance| bucket(distance, 8, 128)).collect();
        assert_eq!(classes, [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 5, 5]);
        assert_eq!([23, 24, 54, 55, 127, 128, 5000].map(|distance| bucket(distance, 8, 128)), [6, 6, 7, 7, 7, 7, 7]);
    }
}
