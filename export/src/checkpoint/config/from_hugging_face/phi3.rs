//! Phi-3, Phi-3.5 and Phi-4-mini.

use super::super::DecoderConfig;
use super::fields::Fields;
use super::rope::Rope;
use super::{Defaults, USUAL, usual, windows};

/// What a file of long contexts means when it does not say how long the first training's were.
const ORIGINAL_CONTEXT: usize = 4096;

pub(super) fn read(file: &Fields) -> Result<DecoderConfig, String> {
    file.expect_flags(&[("attention_bias", false), ("mlp_bias", false)])?;
    let mut config = usual(file, "phi3", &Defaults { norm_eps: 1e-5, ..USUAL })?;
    let mut rope = Rope::of(file, config.context_length)?;
    rope.original_context = Some(ORIGINAL_CONTEXT);
    config.rope_theta = rope.theta("rope_theta", 10_000.0)?;
    config.rotary_dim = rope.rotary_dim("partial_rotary_factor", 1.0, config.head_dim)?;
    // Names that older files have for the same.
    config.rope_scaling = match rope.kind()? {
        "su" | "yarn" => rope.scaling_of_kind("longrope")?,
        kind => rope.scaling_of_kind(kind)?,
    };
    let short = rope.short_context(&config.rope_scaling)?;
    config.context_length = short.unwrap_or(config.context_length).min(config.context_length);
    if let Some(window) = file.count("sliding_window")? {
        config.windows = windows(file, config.layers, window, |_| false)?;
    }
    Ok(config)
}
