//! GPT-2, whose files have names of their own.

use super::super::{DecoderConfig, RopeScaling, check_layers, usual_scale};
use super::activation;
use super::fields::Fields;

pub(super) fn read(file: &Fields) -> Result<DecoderConfig, String> {
    file.expect_flags(&[("scale_attn_by_inverse_layer_idx", false), ("add_cross_attention", false)])?;
    if !file.flag_or("scale_attn_weights", true)? {
        return Err("`scale_attn_weights` is false, expected true".to_owned());
    }
    let (hidden, heads, layers) = (file.required("n_embd")?, file.required("n_head")?, file.required("n_layer")?);
    check_layers(layers)?;
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(format!("`n_embd` {hidden} is not a multiple of `n_head` {heads}"));
    }
    let head_dim = hidden / heads;
    Ok(DecoderConfig {
        architecture: "gpt2".to_owned(),
        layers,
        hidden,
        intermediate: file.count("n_inner")?.unwrap_or(hidden.saturating_mul(4)),
        heads,
        kv_heads: heads,
        head_dim,
        vocabulary: file.required("vocab_size")?,
        context_length: file.count("n_positions")?.or(file.count("n_ctx")?).ok_or("no `n_positions`")?,
        norm_eps: file.number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
        rotary_dim: 0,
        rope_theta: 10_000.0,
        local_rope_theta: None,
        rope_scaling: RopeScaling::None,
        attention_bias: true,
        attention_scale: usual_scale(head_dim),
        attention_softcap: None,
        clip_qkv: None,
        windows: vec![None; layers],
        activation: activation(file, "activation_function", &["gelu_new", "gelu", "gelu_fast", "gelu_pytorch_tanh"])?,
        parallel_residual: false,
        tied_embeddings: file.flag_or("tie_word_embeddings", true)?,
        logit_softcap: None,
        encoder: None,
    })
}
