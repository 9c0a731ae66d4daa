//! `config.json` for a model that came without one.

use serde_json::{Value, json};

use super::{Activation, DecoderConfig, RopeScaling};

impl DecoderConfig {
    /// The configuration as `transformers` would write it; token ids are not part of it.
    pub fn to_hugging_face(&self) -> Value {
        let mut config = match self.architecture.as_str() {
            "gpt2" => self.gpt2(),
            _ => self.usual(),
        };
        let own = match self.architecture.as_str() {
            "mistral" => json!({ "sliding_window": self.window() }),
            "qwen2" | "qwen3" => self.qwen(),
            "gemma2" | "gemma3_text" => self.gemma(),
            "phi3" => json!({ "sliding_window": self.window(), "partial_rotary_factor": self.rotated_share() }),
            "gpt_neox" => self.gpt_neox(),
            "olmo" => json!({ "clip_qkv": self.clip_qkv }),
            _ => Value::Null,
        };
        merge(&mut config, own);
        if self.windows.contains(&None) && self.window().is_some() {
            config["layer_types"] = self.layer_types();
        }
        config
    }

    fn usual(&self) -> Value {
        let class = match self.architecture.as_str() {
            "mistral" => "MistralForCausalLM",
            "qwen2" => "Qwen2ForCausalLM",
            "qwen3" => "Qwen3ForCausalLM",
            "gemma2" => "Gemma2ForCausalLM",
            "gemma3_text" => "Gemma3ForCausalLM",
            "phi3" => "Phi3ForCausalLM",
            "gpt_neox" => "GPTNeoXForCausalLM",
            "olmo" => "OlmoForCausalLM",
            "olmo2" => "Olmo2ForCausalLM",
            _ => "LlamaForCausalLM",
        };
        json!({
            "architectures": [class],
            "model_type": self.architecture,
            "hidden_act": self.activation.name(),
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context_length,
            "rms_norm_eps": shortest(self.norm_eps),
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling.to_hugging_face(self.context_length),
            "tie_word_embeddings": self.tied_embeddings,
        })
    }

    fn qwen(&self) -> Value {
        let first = self.windows.iter().position(Option::is_some).unwrap_or(self.layers);
        json!({
            "use_sliding_window": self.window().is_some(),
            "sliding_window": self.window(),
            "max_window_layers": first,
        })
    }

    fn gemma(&self) -> Value {
        json!({
            "hidden_activation": self.activation.name(),
            // `transformers` takes no float there.
            "query_pre_attn_scalar": self.attention_scale.powi(-2).round() as u64,
            "rope_local_base_freq": self.local_rope_theta,
            "sliding_window": self.window().unwrap_or(self.context_length),
            "layer_types": self.layer_types(),
            "attn_logit_softcapping": self.attention_softcap,
            "final_logit_softcapping": self.logit_softcap,
        })
    }

    fn gpt_neox(&self) -> Value {
        json!({
            "layer_norm_eps": shortest(self.norm_eps),
            "rotary_pct": self.rotated_share(),
            "rotary_emb_base": self.rope_theta,
            "attention_bias": self.attention_bias,
            "use_parallel_residual": self.parallel_residual,
        })
    }

    fn gpt2(&self) -> Value {
        json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "activation_function": self.activation.name(),
            "n_embd": self.hidden,
            "n_inner": self.intermediate,
            "n_layer": self.layers,
            "n_head": self.heads,
            "vocab_size": self.vocabulary,
            "n_positions": self.context_length,
            "layer_norm_epsilon": shortest(self.norm_eps),
            "tie_word_embeddings": self.tied_embeddings,
        })
    }

    fn rotated_share(&self) -> f64 {
        self.rotary_dim as f64 / self.head_dim as f64
    }

    fn layer_types(&self) -> Value {
        let name = |window: &Option<usize>| if window.is_some() { "sliding_attention" } else { "full_attention" };
        self.windows.iter().map(name).collect()
    }
}

/// Adds the fields of `own`, if it has any.
fn merge(config: &mut Value, own: Value) {
    let Value::Object(own) = own else { return };
    for (name, value) in own {
        config[name] = value;
    }
}

impl Activation {
    /// The name in `config.json`.
    fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_pytorch_tanh",
            Self::Relu => "relu",
        }
    }
}

impl RopeScaling {
    fn to_hugging_face(&self, context_length: usize) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_context,
            }),
            Self::Yarn { factor, attention_factor, beta_fast, beta_slow, original_context, truncate } => json!({
                "rope_type": "yarn",
                "factor": factor,
                "attention_factor": attention_factor,
                "beta_fast": beta_fast,
                "beta_slow": beta_slow,
                "original_max_position_embeddings": original_context,
                "truncate": truncate,
            }),
            // LongRoPE with the same factors for short and long texts divides each frequency by its factor, no more.
            Self::Factors { factors, attention_factor } => json!({
                "rope_type": "longrope",
                "factor": 1.0,
                "attention_factor": attention_factor,
                "short_factor": factors,
                "long_factor": factors,
                "original_max_position_embeddings": context_length,
            }),
        }
    }
}

/// The number that a person would write for an f32: `1e-5`, not `9.999999747378752e-06`.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().expect("a printed float parses")
}
