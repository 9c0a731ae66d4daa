//! Gemma 2, and the text model of Gemma 3, alone or beside one for images.

use serde_json::json;

use super::super::DecoderConfig;
use super::fields::Fields;
use super::rope::Rope;
use super::{Defaults, USUAL, rotate, usual, windows};

/// The bases of Gemma 3: of layers without and with a window.
const THETAS: [f64; 2] = [1_000_000.0, 10_000.0];

pub(super) fn read_2(file: &Fields) -> Result<DecoderConfig, String> {
    let mut config = either(file, "gemma2", 2)?;
    config.attention_softcap = softcap(file, "attn_logit_softcapping", 50.0)?;
    config.logit_softcap = softcap(file, "final_logit_softcapping", 30.0)?;
    rotate(file, &mut config)?;
    Ok(config)
}

pub(super) fn read_3(file: &Fields) -> Result<DecoderConfig, String> {
    file.expect_nothing(&["attn_logit_softcapping", "final_logit_softcapping"])?;
    let pattern = file.count("sliding_window_pattern")?.unwrap_or(6);
    let mut config = either(file, "gemma3_text", pattern)?;
    rotate_by_type(file, &mut config)?;
    Ok(config)
}

/// The text model of a folder that has one for images too; sizes that its part leaves out are the class's.
pub(super) fn read_text_of_3(file: &Fields) -> Result<DecoderConfig, String> {
    let text = file.value("text_config").ok_or("no `text_config`")?;
    let mut text = Fields::of(text, "`text_config`")?.0.clone();
    for (name, default) in [
        ("hidden_size", 2304),
        ("intermediate_size", 9216),
        ("num_hidden_layers", 26),
        ("num_attention_heads", 8),
        ("vocab_size", 262_208),
        ("max_position_embeddings", 131_072),
    ] {
        text.entry(name).or_insert(json!(default));
    }
    read_3(&Fields(&text))
}

/// What both have, each layer of `pattern` without a window.
fn either(file: &Fields, architecture: &str, pattern: usize) -> Result<DecoderConfig, String> {
    file.expect_flags(&[("attention_bias", false), ("use_bidirectional_attention", false)])?;
    let (activation_name, activations) = ("hidden_activation", &["gelu_pytorch_tanh"]);
    let sizes = Defaults { kv_heads: Some(4), head_dim: Some(256), is_tied: true, ..USUAL };
    let mut config = usual(file, architecture, &Defaults { activation_name, activations, ..sizes })?;
    let scalar = file.number("query_pre_attn_scalar")?.unwrap_or(256.0);
    config.attention_scale = 1.0 / (scalar as f32).sqrt();
    let window = file.count("sliding_window")?;
    if window.is_none() && file.0.contains_key("sliding_window") {
        return Err("`sliding_window` is null, expected a number".into());
    }
    let has_none = |layer: usize| (layer + 1).is_multiple_of(pattern);
    config.windows = windows(file, config.layers, window.unwrap_or(4096), has_none)?;
    Ok(config)
}

/// A file that is silent means the default; one that says `null` means none.
fn softcap(file: &Fields, name: &str, default: f32) -> Result<Option<f32>, String> {
    let silent = (!file.0.contains_key(name)).then_some(default);
    Ok(file.number(name)?.map(|softcap| softcap as f32).or(silent))
}

/// Layers of Gemma 3 with a window have a base of their own and no scaling.
fn rotate_by_type(file: &Fields, config: &mut DecoderConfig) -> Result<(), String> {
    let context = config.context_length;
    let (full, local) = match Rope::of_layers(file, context, "full_attention")? {
        Some(full) => (full, Rope::of_layers(file, context, "sliding_attention")?),
        None => (Rope::of(file, context)?, None),
    };
    full.check_is_whole()?;
    config.rope_theta = full.theta("rope_theta", THETAS[0])?;
    config.rope_scaling = full.scaling()?;
    let local_theta = match local {
        Some(local) => {
            local.check_is_whole()?;
            if local.kind()? != "default" {
                return Err(format!("layers with a window have the rotary scaling `{}`, expected none", local.kind()?));
            }
            local.theta("rope_local_base_freq", THETAS[1])?
        }
        None => file.number("rope_local_base_freq")?.unwrap_or(THETAS[1]),
    };
    config.local_rope_theta = Some(local_theta);
    Ok(())
}
