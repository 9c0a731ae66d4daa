//! `config.json` of a Hugging Face folder.
//!
//! What a file leaves out has the default of the architecture's configuration class in the `transformers` library.
//! What changes the arithmetic in a way that no graph has is an error that names it.

mod encoder_decoder;
mod fields;
mod gemma;
mod gpt2;
mod gpt_neox;
mod llama;
mod olmo;
mod phi3;
mod rope;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Activation, DecoderConfig, RopeScaling, check_layers, usual_scale};
use crate::{Error, Result};
use fields::Fields;
use rope::Rope;

/// Values of `model_type` that have a graph.
const KNOWN: &[&str] = &[
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "phi3",
    "gpt2",
    "gpt_neox",
    "olmo",
    "olmo2",
    "t5",
    "mt5",
    "bart",
    "marian",
    "nn_transformer",
];

/// Reads `config.json` in `folder`.
pub(in crate::checkpoint) fn from_folder(folder: &Path) -> Result<DecoderConfig> {
    let path = folder.join("config.json");
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    parse(path, &bytes)
}

pub(super) fn parse(path: PathBuf, bytes: &[u8]) -> Result<DecoderConfig> {
    let fail = Error::checkpoint(&path);
    let json: Value = serde_json::from_slice(bytes).map_err(|error| fail(format!("not JSON: {error}")))?;
    let file = Fields::of(&json, "the file").map_err(&fail)?;
    let found = file.text("model_type").map_err(&fail)?.unwrap_or("missing");
    if !KNOWN.contains(&found) {
        return Err(Error::UnknownArchitecture { path, found: found.to_owned(), known: KNOWN });
    }
    let config = read(&file, found).map_err(&fail)?;
    config.check().map_err(&fail)?;
    Ok(config)
}

fn read(file: &Fields, architecture: &str) -> Result<DecoderConfig, String> {
    if file.value("quantization_config").is_some() {
        return Err("the weights are quantised (`quantization_config`), expected F32, F16 or BF16".to_owned());
    }
    match architecture {
        "gemma2" => gemma::read_2(file),
        "gemma3" => gemma::read_text_of_3(file),
        "gemma3_text" => gemma::read_3(file),
        "gpt2" => gpt2::read(file),
        "gpt_neox" => gpt_neox::read(file),
        "olmo" | "olmo2" => olmo::read(file, architecture),
        "phi3" => phi3::read(file),
        "t5" | "mt5" => encoder_decoder::read_t5(file, architecture),
        "bart" | "marian" | "nn_transformer" => encoder_decoder::read_post_norm(file, architecture),
        _ => llama::read(file, architecture),
    }
}

/// What a file leaves out, by architecture.
struct Defaults {
    /// Key and value heads of a file that is silent; `None` for as many as query heads.
    kv_heads: Option<usize>,
    head_dim: Option<usize>,
    norm_eps: f64,
    /// What the file calls the function in the MLP.
    activation_name: &'static str,
    /// The functions that the graph has; the first is meant where the file is silent.
    activations: &'static [&'static str],
    is_tied: bool,
}

/// Those that most architectures have.
const USUAL: Defaults = Defaults {
    kv_heads: None,
    head_dim: None,
    norm_eps: 1e-6,
    activation_name: "hidden_act",
    activations: &["silu"],
    is_tied: false,
};

/// Sizes and settings under the names that most architectures have for them; rotary settings are as without any.
fn usual(file: &Fields, architecture: &str, defaults: &Defaults) -> Result<DecoderConfig, String> {
    let (hidden, heads) = (file.required("hidden_size")?, file.required("num_attention_heads")?);
    let layers = file.required("num_hidden_layers")?;
    check_layers(layers)?;
    // A file that is silent means the class's default; one that says `null` means as many as query heads.
    let silent_kv_heads = defaults.kv_heads.filter(|_| !file.0.contains_key("num_key_value_heads"));
    let head_dim = match file.count("head_dim")?.or(defaults.head_dim) {
        Some(head_dim) => head_dim,
        None if heads > 0 && hidden.is_multiple_of(heads) => hidden / heads,
        None => return Err(format!("`hidden_size` {hidden} is not a multiple of `num_attention_heads` {heads}")),
    };
    Ok(DecoderConfig {
        architecture: architecture.to_owned(),
        layers,
        hidden,
        intermediate: file.required("intermediate_size")?,
        heads,
        kv_heads: file.count("num_key_value_heads")?.or(silent_kv_heads).unwrap_or(heads),
        head_dim,
        vocabulary: file.required("vocab_size")?,
        context_length: file.required("max_position_embeddings")?,
        norm_eps: file.number("rms_norm_eps")?.unwrap_or(defaults.norm_eps) as f32,
        rotary_dim: head_dim,
        rope_theta: 10_000.0,
        local_rope_theta: None,
        rope_scaling: RopeScaling::None,
        attention_bias: false,
        attention_scale: usual_scale(head_dim),
        attention_softcap: None,
        clip_qkv: None,
        windows: vec![None; layers],
        activation: activation(file, defaults.activation_name, defaults.activations)?,
        parallel_residual: false,
        tied_embeddings: file.flag_or("tie_word_embeddings", defaults.is_tied)?,
        logit_softcap: None,
        encoder: None,
    })
}

/// Sets what the one rotary setting for all layers says, for heads that are rotated as a whole.
fn rotate(file: &Fields, config: &mut DecoderConfig) -> Result<(), String> {
    let rope = Rope::of(file, config.context_length)?;
    rope.check_is_whole()?;
    config.rope_theta = rope.theta("rope_theta", 10_000.0)?;
    config.rope_scaling = rope.scaling()?;
    let short = rope.short_context(&config.rope_scaling)?;
    config.context_length = short.unwrap_or(config.context_length).min(config.context_length);
    Ok(())
}

/// The function that the file calls `name`, one of those in `allowed`; the first where the file is silent.
fn activation(file: &Fields, name: &str, allowed: &[&str]) -> Result<Activation, String> {
    let found = file.text(name)?.unwrap_or(allowed[0]);
    let activation = match found {
        "silu" => Some(Activation::Silu),
        "relu" => Some(Activation::Relu),
        "gelu" => Some(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Activation::GeluTanh),
        _ => None,
    };
    let expected = allowed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    let activation = activation.filter(|_| allowed.contains(&found));
    activation.ok_or_else(|| format!("`{name}` is `{found}`, expected {expected}"))
}

/// By layer, its window. Where the file has no `layer_types`, `is_full` says which layers have none.
fn windows(
    file: &Fields,
    layers: usize,
    window: usize,
    is_full: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>, String> {
    let Some(types) = file.typed("layer_types", "a list", Value::as_array)? else {
        return Ok((0..layers).map(|layer| (!is_full(layer)).then_some(window)).collect());
    };
    if types.len() != layers {
        return Err(format!("`layer_types` has {} entries, expected {layers}", types.len()));
    }
    let window_of = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Ok(None),
        Some("sliding_attention") => Ok(Some(window)),
        _ => Err(format!("`layer_types` has `{kind}`, expected full_attention or sliding_attention")),
    };
    types.iter().map(window_of).collect()
}
