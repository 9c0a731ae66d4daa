//! GPT-NeoX and Pythia, whose folders hold q, k and v head by head.

use super::{Origin, Tensor};
use crate::checkpoint::DecoderConfig;

/// Stands before every name in a folder, the head's excepted.
const PREFIX: &str = "gpt_neox";

pub(super) fn tensors(config: &DecoderConfig) -> Vec<Tensor> {
    let (hidden, intermediate, vocabulary) = (config.hidden, config.intermediate, config.vocabulary);
    let mut tensors = vec![prefixed("embed_in.weight", &[vocabulary, hidden])];
    for layer in 0..config.layers {
        let name = |part: &str| format!("layers.{layer}.{part}");
        let both = |part: &str, shape: &[usize]| {
            [prefixed(&name(&format!("{part}.weight")), shape), prefixed(&name(&format!("{part}.bias")), &shape[..1])]
        };
        tensors.extend(both("input_layernorm", &[hidden]));
        tensors.extend(both("post_attention_layernorm", &[hidden]));
        let mut attention: Vec<_> =
            both("attention.query_key_value", &[3 * hidden, hidden]).map(by_head(config)).into();
        attention.extend(both("attention.dense", &[hidden, hidden]));
        attention.retain(|tensor| config.attention_bias || tensor.name.ends_with(".weight"));
        tensors.extend(attention);
        tensors.extend(both("mlp.dense_h_to_4h", &[intermediate, hidden]));
        tensors.extend(both("mlp.dense_4h_to_h", &[hidden, intermediate]));
    }
    tensors.extend(["weight", "bias"].map(|part| prefixed(&format!("final_layer_norm.{part}"), &[hidden])));
    if !config.tied_embeddings {
        let head = Tensor::same("lm_head.weight", &[vocabulary, hidden]);
        tensors.push(Tensor { name: "embed_out.weight".to_owned(), ..head });
    }
    tensors
}

fn prefixed(name: &str, shape: &[usize]) -> Tensor {
    Tensor { name: format!("{PREFIX}.{name}"), ..Tensor::same(name, shape) }
}

fn by_head(config: &DecoderConfig) -> impl Fn(Tensor) -> Tensor {
    let heads = config.heads;
    move |tensor| match tensor.origin {
        Origin::Same(name) => Tensor { origin: Origin::ByHead { name, heads }, ..tensor },
        _ => tensor,
    }
}
