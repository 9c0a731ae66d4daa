//! T5, BART, Marian, and PyTorch's own transformer in a form that `tests/reference` writes.

use super::super::encoder::{EncoderConfig, Padding, Positions, Style};
use super::super::{Activation, DecoderConfig, RopeScaling, check_layers, usual_scale};
use super::activation;
use super::fields::Fields;

/// Tokens of a source, and of a text, where positions are relative and the file names no number.
const UNNAMED_LENGTH: usize = 2048;
const ACTIVATIONS: &[&str] = &["gelu", "gelu_new", "relu", "silu", "swish"];

pub(super) fn read_t5(file: &Fields, architecture: &str) -> Result<DecoderConfig, String> {
    let encoder_layers = file.required("num_layers")?;
    let layers = file.count("num_decoder_layers")?.unwrap_or(encoder_layers);
    check_layers(layers)?;
    let (heads, intermediate) = (file.required("num_heads")?, file.required("d_ff")?);
    let projection = file.text("feed_forward_proj")?.unwrap_or("relu");
    let (is_gated, function) = match projection.strip_prefix("gated-") {
        // The class means another GELU by this name than elsewhere.
        Some("gelu") => (true, Activation::GeluTanh),
        Some(name) => (true, named(name)?),
        None => (false, named(projection)?),
    };
    let context_length = file.count("n_positions")?.filter(|&length| length > 0).unwrap_or(UNNAMED_LENGTH);
    let encoder = EncoderConfig {
        layers: encoder_layers,
        heads,
        intermediate,
        source_length: context_length,
        padding: None,
        style: Style::Relative {
            buckets: file.count("relative_attention_num_buckets")?.unwrap_or(32),
            max_distance: file.count("relative_attention_max_distance")?.unwrap_or(128),
            is_gated,
        },
    };
    let head_dim = file.required("d_kv")?;
    Ok(DecoderConfig {
        intermediate,
        head_dim,
        vocabulary: file.required("vocab_size")?,
        context_length,
        norm_eps: file.number("layer_norm_epsilon")?.unwrap_or(1e-6) as f32,
        // Scores are as large as training made them.
        attention_scale: 1.0,
        activation: function,
        tied_embeddings: file.flag_or("tie_word_embeddings", true)?,
        ..base(architecture, layers, file.required("d_model")?, heads, encoder)
    })
}

pub(super) fn read_post_norm(file: &Fields, architecture: &str) -> Result<DecoderConfig, String> {
    file.expect_flags(&[("normalize_before", false)])?;
    let (hidden, heads, layers) =
        (file.required("d_model")?, file.required("decoder_attention_heads")?, file.required("decoder_layers")?);
    check_layers(layers)?;
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(format!("`d_model` {hidden} is not a multiple of `decoder_attention_heads` {heads}"));
    }
    let context_length = file.required("max_position_embeddings")?;
    let is_bart = architecture == "bart";
    let style = Style::PostNorm {
        positions: match architecture {
            "bart" => Positions::Stored { skipped: 2 },
            "marian" => Positions::Sinusoidal,
            _ => Positions::Stored { skipped: 0 },
        },
        has_scaled_embedding: file.flag("scale_embedding")?,
        has_embedding_norm: if is_bart { true } else { file.flag("normalize_embedding")? },
        has_final_norms: file.flag("add_final_layer_norm")?,
        logits_bias: Some(if architecture == "nn_transformer" { "lm_head.bias" } else { "final_logits_bias" }),
    };
    let encoder = EncoderConfig {
        layers: file.required("encoder_layers")?,
        heads: file.required("encoder_attention_heads")?,
        intermediate: file.required("encoder_ffn_dim")?,
        source_length: context_length,
        padding: padding(file)?,
        style,
    };
    Ok(DecoderConfig {
        intermediate: file.required("decoder_ffn_dim")?,
        head_dim: hidden / heads,
        vocabulary: file.count("decoder_vocab_size")?.map_or_else(|| file.required("vocab_size"), Ok)?,
        context_length,
        norm_eps: file.number("layer_norm_eps")?.unwrap_or(1e-5) as f32,
        attention_bias: true,
        attention_scale: usual_scale(hidden / heads),
        activation: match file.text("activation_function")? {
            Some("swish") => Activation::Silu,
            _ => activation(file, "activation_function", ACTIVATIONS)?,
        },
        tied_embeddings: file.flag_or("tie_word_embeddings", true)?,
        ..base(architecture, layers, hidden, heads, encoder)
    })
}

/// What `pad_source_to` says, a field that only `nn_transformer` has.
fn padding(file: &Fields) -> Result<Option<Padding>, String> {
    let Some(length) = file.count("pad_source_to")? else { return Ok(None) };
    let token = file.required("pad_token_id")?;
    let vocabulary = file.required("vocab_size")?;
    if token >= vocabulary {
        return Err(format!("`pad_token_id` is {token}, expected less than `vocab_size`, {vocabulary}"));
    }
    Ok(Some(Padding { token, length }))
}

fn named(name: &str) -> Result<Activation, String> {
    match name {
        "relu" => Ok(Activation::Relu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" => Ok(Activation::GeluTanh),
        "silu" => Ok(Activation::Silu),
        other => Err(format!(
            "`feed_forward_proj` has `{other}`, expected relu, gelu, gelu_new or silu, or gated- before it"
        )),
    }
}

/// Without what either kind sets for itself.
fn base(architecture: &str, layers: usize, hidden: usize, heads: usize, encoder: EncoderConfig) -> DecoderConfig {
    DecoderConfig {
        architecture: architecture.to_owned(),
        layers,
        hidden,
        intermediate: 0,
        heads,
        kv_heads: heads,
        head_dim: 0,
        vocabulary: 0,
        context_length: 0,
        norm_eps: 0.0,
        rotary_dim: 0,
        rope_theta: 10_000.0,
        local_rope_theta: None,
        rope_scaling: RopeScaling::None,
        attention_bias: false,
        attention_scale: 1.0,
        attention_softcap: None,
        clip_qkv: None,
        windows: vec![None; layers],
        activation: Activation::Relu,
        parallel_residual: false,
        tied_embeddings: true,
        logit_softcap: None,
        encoder: Some(encoder),
    }
}
