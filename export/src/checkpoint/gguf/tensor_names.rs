//! What tensors are called in a GGUF file and in a Hugging Face checkpoint, by architecture.

/// Pairs of names: in the file, in the checkpoint.
type Names = &'static [(&'static str, &'static str)];

/// An architecture's tensors.
pub(super) struct TensorNames {
    /// Outside of the layers, without `.weight` and `.bias`.
    model: Names,
    /// Behind `blk.N.` in the file and behind the layer's prefix in the checkpoint, without `.weight` and `.bias`.
    layer: Names,
    /// What stands before a layer's number in the checkpoint.
    layers: &'static str,
}

const LLAMA: TensorNames = TensorNames { model: LLAMA_MODEL, layer: LLAMA_LAYER, layers: "model.layers" };

const LLAMA_MODEL: Names =
    &[("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

const LLAMA_LAYER: Names = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Norms stand behind attention and MLP, in Gemma before them as well.
const NORMS_BEHIND: TensorNames = TensorNames {
    layer: &[
        ("attn_norm", "input_layernorm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("attn_output", "self_attn.o_proj"),
        ("post_attention_norm", "post_attention_layernorm"),
        ("ffn_norm", "pre_feedforward_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
        ("post_ffw_norm", "post_feedforward_layernorm"),
    ],
    ..LLAMA
};

const PHI_3: TensorNames = TensorNames {
    layer: &[
        ("attn_norm", "input_layernorm"),
        ("attn_qkv", "self_attn.qkv_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_up", "mlp.gate_up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ],
    ..LLAMA
};

const GPT_2: TensorNames = TensorNames {
    model: &[("token_embd", "wte"), ("position_embd", "wpe"), ("output_norm", "ln_f"), ("output", "lm_head")],
    layer: &[
        ("attn_norm", "ln_1"),
        ("attn_qkv", "attn.c_attn"),
        ("attn_output", "attn.c_proj"),
        ("ffn_norm", "ln_2"),
        ("ffn_up", "mlp.c_fc"),
        ("ffn_down", "mlp.c_proj"),
    ],
    layers: "h",
};

const GPT_NEOX: TensorNames = TensorNames {
    model: &[("token_embd", "embed_in"), ("output_norm", "final_layer_norm"), ("output", "lm_head")],
    layer: &[
        ("attn_norm", "input_layernorm"),
        ("attn_qkv", "attention.query_key_value"),
        ("attn_output", "attention.dense"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_up", "mlp.dense_h_to_4h"),
        ("ffn_down", "mlp.dense_4h_to_h"),
    ],
    layers: "layers",
};

impl TensorNames {
    /// Those of an architecture, as the file calls it.
    pub(super) fn of(architecture: &str) -> Self {
        match architecture {
            "gemma2" | "gemma3" | "olmo2" => NORMS_BEHIND,
            "phi3" => PHI_3,
            "gpt2" => GPT_2,
            "gptneox" => GPT_NEOX,
            _ => LLAMA,
        }
    }

    /// The name in a checkpoint of a tensor that the file calls `name`.
    pub(super) fn in_checkpoint(&self, name: &str) -> Option<String> {
        let (stem, kind) = name.rsplit_once('.').filter(|(_, kind)| ["weight", "bias"].contains(kind))?;
        let find = |names: Names, stem: &str| names.iter().find(|(in_file, _)| *in_file == stem).map(|(_, name)| *name);
        if let Some(found) = find(self.model, stem) {
            return Some(format!("{found}.{kind}"));
        }
        let (layer, part) = stem.strip_prefix("blk.")?.split_once('.')?;
        let layer: usize = layer.parse().ok()?;
        Some(format!("{}.{layer}.{}.{kind}", self.layers, find(self.layer, part)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_hugging_face_checkpoint() {
        let check = |architecture: &str, name: &str, expected: Option<&str>| {
            assert_eq!(TensorNames::of(architecture).in_checkpoint(name).as_deref(), expected);
        };
        check("llama", "token_embd.weight", Some("model.embed_tokens.weight"));
        check("llama", "output.weight", Some("lm_head.weight"));
        check("qwen2", "blk.17.attn_q.bias", Some("model.layers.17.self_attn.q_proj.bias"));
        check("llama", "blk.0.ffn_down.weight", Some("model.layers.0.mlp.down_proj.weight"));
        check("llama", "blk.0.ffn_norm.weight", Some("model.layers.0.post_attention_layernorm.weight"));
        check("gemma3", "blk.0.ffn_norm.weight", Some("model.layers.0.pre_feedforward_layernorm.weight"));
        check("gpt2", "blk.3.attn_qkv.bias", Some("h.3.attn.c_attn.bias"));
        check("gpt2", "blk.3.attn_q.weight", None);
        check("llama", "blk.0.attn_qkv.weight", None);
        check("llama", "blk.0.ffn_gate_exps.weight", None);
        check("llama", "blk.x.attn_q.weight", None);
        check("llama", "blk.0.attn_q.scale", None);
    }
}
