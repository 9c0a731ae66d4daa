//! GPT-2, whose folders hold matrices as `[in, out]`.

use super::{Origin, Tensor};
use crate::checkpoint::DecoderConfig;

/// Stands before every name in a folder, the head's excepted.
const PREFIX: &str = "transformer";

pub(super) fn tensors(config: &DecoderConfig) -> Vec<Tensor> {
    let (hidden, intermediate) = (config.hidden, config.intermediate);
    let mut tensors = vec![
        prefixed("wte.weight", &[config.vocabulary, hidden]),
        prefixed("wpe.weight", &[config.context_length, hidden]),
    ];
    for layer in 0..config.layers {
        let name = |part: &str| format!("h.{layer}.{part}");
        tensors.extend(norm(&name("ln_1"), hidden));
        tensors.extend(affine(&name("attn.c_attn"), [hidden, 3 * hidden]));
        tensors.extend(affine(&name("attn.c_proj"), [hidden, hidden]));
        tensors.extend(norm(&name("ln_2"), hidden));
        tensors.extend(affine(&name("mlp.c_fc"), [hidden, intermediate]));
        tensors.extend(affine(&name("mlp.c_proj"), [intermediate, hidden]));
    }
    tensors.extend(norm("ln_f", hidden));
    if !config.tied_embeddings {
        tensors.push(Tensor::same("lm_head.weight", &[config.vocabulary, hidden]));
    }
    tensors
}

fn prefixed(name: &str, shape: &[usize]) -> Tensor {
    Tensor { name: format!("{PREFIX}.{name}"), ..Tensor::same(name, shape) }
}

fn norm(name: &str, size: usize) -> [Tensor; 2] {
    ["weight", "bias"].map(|part| prefixed(&format!("{name}.{part}"), &[size]))
}

fn affine(name: &str, [input, output]: [usize; 2]) -> [Tensor; 2] {
    let weight = format!("{name}.weight");
    let matrix = prefixed(&weight, &[input, output]);
    [Tensor { origin: Origin::Transposed(weight), ..matrix }, prefixed(&format!("{name}.bias"), &[output])]
}
