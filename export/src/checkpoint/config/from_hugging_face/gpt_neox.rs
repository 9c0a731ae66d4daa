//! GPT-NeoX and Pythia.

use super::super::DecoderConfig;
use super::fields::Fields;
use super::rope::Rope;
use super::{Defaults, USUAL, usual};

pub(super) fn read(file: &Fields) -> Result<DecoderConfig, String> {
    let activations = &["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"];
    let mut config = usual(file, "gpt_neox", &Defaults { activations, ..USUAL })?;
    config.kv_heads = config.heads;
    config.norm_eps = file.number("layer_norm_eps")?.unwrap_or(1e-5) as f32;
    let rope = Rope::of(file, config.context_length)?;
    config.rope_theta = rope.theta("rotary_emb_base", 10_000.0)?;
    config.rotary_dim = rope.rotary_dim("rotary_pct", 0.25, config.head_dim)?;
    config.rope_scaling = rope.scaling()?;
    config.attention_bias = file.flag_or("attention_bias", true)?;
    config.parallel_residual = file.flag_or("use_parallel_residual", true)?;
    Ok(config)
}
