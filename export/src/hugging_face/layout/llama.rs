//! The LLaMA family, and those whose layers differ by a norm or by how matrices are joined.

use super::{Origin, Tensor};
use crate::checkpoint::DecoderConfig;

pub(super) fn tensors(config: &DecoderConfig) -> Vec<Tensor> {
    let (hidden, vocabulary) = (config.hidden, config.vocabulary);
    let mut tensors = vec![Tensor::same("model.embed_tokens.weight", &[vocabulary, hidden])];
    for layer in 0..config.layers {
        let mut layer = Layer { prefix: format!("model.layers.{layer}"), config, tensors: Vec::new() };
        layer.norms();
        layer.attention();
        layer.mlp();
        tensors.extend(layer.tensors);
    }
    if config.architecture != "olmo" {
        tensors.push(Tensor::same("model.norm.weight", &[hidden]));
    }
    if !config.tied_embeddings {
        tensors.push(Tensor::same("lm_head.weight", &[vocabulary, hidden]));
    }
    if config.architecture.starts_with("gemma") {
        tensors.iter_mut().for_each(store_as_difference);
    }
    tensors
}

/// Gemma's norms multiply by 1 and a number.
fn store_as_difference(tensor: &mut Tensor) {
    if tensor.name.ends_with("norm.weight") {
        tensor.origin = Origin::MinusOne(tensor.name.clone());
    }
}

struct Layer<'a> {
    prefix: String,
    config: &'a DecoderConfig,
    tensors: Vec<Tensor>,
}

impl Layer<'_> {
    fn add(&mut self, part: &str, shape: &[usize]) {
        self.tensors.push(Tensor::same(format!("{}.{part}", self.prefix), shape));
    }

    fn norms(&mut self) {
        let names: &[&str] = match self.config.architecture.as_str() {
            "olmo" => &[],
            "olmo2" => &["post_attention_layernorm", "post_feedforward_layernorm"],
            "gemma2" | "gemma3_text" => &[
                "input_layernorm",
                "post_attention_layernorm",
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm",
            ],
            _ => &["input_layernorm", "post_attention_layernorm"],
        };
        names.iter().for_each(|name| self.add(&format!("{name}.weight"), &[self.config.hidden]));
    }

    fn attention(&mut self) {
        let DecoderConfig { hidden, head_dim, heads, kv_heads, attention_bias, .. } = *self.config;
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        if self.config.architecture == "phi3" {
            self.add("self_attn.qkv_proj.weight", &[queries + 2 * keys, hidden]);
        } else {
            for (part, rows) in [("q", queries), ("k", keys), ("v", keys)] {
                self.add(&format!("self_attn.{part}_proj.weight"), &[rows, hidden]);
                if attention_bias {
                    self.add(&format!("self_attn.{part}_proj.bias"), &[rows]);
                }
            }
        }
        self.add("self_attn.o_proj.weight", &[hidden, queries]);
        let norms = match self.config.architecture.as_str() {
            "qwen3" | "gemma3_text" => Some([head_dim, head_dim]),
            "olmo2" => Some([queries, keys]),
            _ => None,
        };
        if let Some([query, key]) = norms {
            self.add("self_attn.q_norm.weight", &[query]);
            self.add("self_attn.k_norm.weight", &[key]);
        }
    }

    fn mlp(&mut self) {
        let (hidden, intermediate) = (self.config.hidden, self.config.intermediate);
        if self.config.architecture == "phi3" {
            let [gate, up] = ["gate", "up"].map(|part| format!("{}.mlp.{part}_proj.weight", self.prefix));
            let name = format!("{}.mlp.gate_up_proj.weight", self.prefix);
            let (shape, origin) = (vec![2 * intermediate, hidden], Origin::Stacked([gate, up]));
            self.tensors.push(Tensor { name, shape, origin });
        } else {
            self.add("mlp.gate_proj.weight", &[intermediate, hidden]);
            self.add("mlp.up_proj.weight", &[intermediate, hidden]);
        }
        self.add("mlp.down_proj.weight", &[hidden, intermediate]);
    }
}
