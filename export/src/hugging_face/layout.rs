//! Which tensors a Hugging Face folder of an architecture has.

use crate::checkpoint::{DecoderConfig, TensorSource};
use crate::{Error, Result};

/// Architectures whose tensors a checkpoint gives just as a Hugging Face folder stores them.
const KNOWN: &[&str] = &["llama", "mistral", "qwen2"];

/// A tensor of the folder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

/// All of the model's tensors, each seen to be in `source` in its shape, and nothing else there.
pub(super) fn tensors(config: &DecoderConfig, source: &dyn TensorSource) -> Result<Vec<Tensor>> {
    if !KNOWN.contains(&config.architecture.as_str()) {
        let (path, found) = (source.path().to_owned(), config.architecture.clone());
        return Err(Error::UnknownArchitecture { path, found, known: KNOWN });
    }
    let tensors = expected(config);
    check(&tensors, source).map_err(Error::checkpoint(source.path()))?;
    Ok(tensors)
}

fn check(tensors: &[Tensor], source: &dyn TensorSource) -> Result<(), String> {
    for Tensor { name, shape } in tensors {
        match source.shape(name) {
            Some(found) if found == *shape => {}
            Some(found) => return Err(format!("tensor `{name}` is {found:?}, expected {shape:?}")),
            None => return Err(format!("tensor `{name}` is missing, expected {shape:?}")),
        }
    }
    let has_place = |name: &str| tensors.iter().any(|tensor| tensor.name == name);
    match source.names().into_iter().find(|name| !has_place(name)) {
        Some(name) => Err(format!("tensor `{name}` has no place in the model as the file's metadata describes it")),
        None => Ok(()),
    }
}

/// The tensors of the LLaMA family, `[out, in]`.
fn expected(config: &DecoderConfig) -> Vec<Tensor> {
    let (hidden, vocabulary) = (config.hidden, config.vocabulary);
    let tensor = |name: &str, shape: &[usize]| Tensor { name: name.to_owned(), shape: shape.to_vec() };
    let mut tensors = vec![tensor("model.embed_tokens.weight", &[vocabulary, hidden])];
    for layer in 0..config.layers {
        let named = |(part, shape): (&str, Vec<usize>)| Tensor { name: format!("model.layers.{layer}.{part}"), shape };
        tensors.extend(of_layer(config).into_iter().map(named));
    }
    tensors.push(tensor("model.norm.weight", &[hidden]));
    if !config.tied_embeddings {
        tensors.push(tensor("lm_head.weight", &[vocabulary, hidden]));
    }
    tensors
}

/// What stands behind `model.layers.N.`.
fn of_layer(config: &DecoderConfig) -> Vec<(&'static str, Vec<usize>)> {
    let (hidden, intermediate) = (config.hidden, config.intermediate);
    let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let mut tensors = vec![
        ("input_layernorm.weight", vec![hidden]),
        ("self_attn.q_proj.weight", vec![queries, hidden]),
        ("self_attn.k_proj.weight", vec![keys, hidden]),
        ("self_attn.v_proj.weight", vec![keys, hidden]),
        ("self_attn.o_proj.weight", vec![hidden, queries]),
        ("post_attention_layernorm.weight", vec![hidden]),
        ("mlp.gate_proj.weight", vec![intermediate, hidden]),
        ("mlp.up_proj.weight", vec![intermediate, hidden]),
        ("mlp.down_proj.weight", vec![hidden, intermediate]),
    ];
    if config.attention_bias {
        tensors.push(("self_attn.q_proj.bias", vec![queries]));
        tensors.push(("self_attn.k_proj.bias", vec![keys]));
        tensors.push(("self_attn.v_proj.bias", vec![keys]));
    }
    tensors
}
