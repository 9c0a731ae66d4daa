//! LLaMA, Mistral, Qwen2 and Qwen3.

use super::super::DecoderConfig;
use super::fields::Fields;
use super::{Defaults, USUAL, rotate, usual, windows};

pub(super) fn read(file: &Fields, architecture: &str) -> Result<DecoderConfig, String> {
    refuse_biases(file, architecture)?;
    let (kv_heads, head_dim) = match architecture {
        "mistral" => (Some(8), None),
        "qwen2" => (Some(32), None),
        "qwen3" => (Some(32), Some(128)),
        _ => (None, None),
    };
    let mut config = usual(file, architecture, &Defaults { kv_heads, head_dim, ..USUAL })?;
    rotate(file, &mut config)?;
    config.attention_bias = architecture == "qwen2";
    let full_layers = match architecture {
        "mistral" => Some(0),
        "qwen2" | "qwen3" if file.flag("use_sliding_window")? => Some(file.count("max_window_layers")?.unwrap_or(28)),
        _ => None,
    };
    if let (Some(full_layers), Some(window)) = (full_layers, file.count("sliding_window")?) {
        config.windows = windows(file, config.layers, window, |layer| layer < full_layers)?;
    }
    Ok(config)
}

/// In `llama` the flag stands for biases on q, k, v and o, as in `qwen3`; `qwen2` has those of q, k and v whatever the
/// file says.
fn refuse_biases(file: &Fields, architecture: &str) -> Result<(), String> {
    match architecture {
        "llama" => file.expect_flags(&[("attention_bias", false), ("mlp_bias", false)]),
        "qwen3" => file.expect_flags(&[("attention_bias", false)]),
        _ => Ok(()),
    }
}
