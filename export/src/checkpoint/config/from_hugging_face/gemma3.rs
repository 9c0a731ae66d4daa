//! The text model of Gemma 3.

use super::super::DecoderConfig;
use super::fields::Fields;
use super::rope::Rope;
use super::{Defaults, USUAL, usual, windows};

/// Of layers without and with a window.
const THETAS: [f64; 2] = [1_000_000.0, 10_000.0];

pub(super) fn read(file: &Fields) -> Result<DecoderConfig, String> {
    file.expect_flags(&[("attention_bias", false), ("use_bidirectional_attention", false)])?;
    file.expect_nothing(&["attn_logit_softcapping", "final_logit_softcapping"])?;
    let (activation_name, activations) = ("hidden_activation", &["gelu_pytorch_tanh"]);
    let sizes = Defaults { kv_heads: Some(4), head_dim: Some(256), is_tied: true, ..USUAL };
    let defaults = Defaults { activation_name, activations, ..sizes };
    let mut config = usual(file, "gemma3_text", &defaults)?;
    let scalar = file.number("query_pre_attn_scalar")?.unwrap_or(256.0);
    config.attention_scale = 1.0 / (scalar as f32).sqrt();
    let pattern = file.count("sliding_window_pattern")?.unwrap_or(6);
    let window = match file.count("sliding_window")? {
        None if file.0.contains_key("sliding_window") => {
            return Err("`sliding_window` is null, expected a number".into());
        }
        window => window.unwrap_or(4096),
    };
    config.windows = windows(file, config.layers, window, |layer| (layer + 1).is_multiple_of(pattern))?;
    rotate_by_type(file, &mut config)?;
    Ok(config)
}

/// Layers with a window have a base of their own and no scaling.
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
