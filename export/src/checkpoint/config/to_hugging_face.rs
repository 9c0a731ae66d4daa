//! `config.json` for a model that came without one.

use serde_json::{Value, json};

use super::{DecoderConfig, RopeScaling};

impl DecoderConfig {
    /// The configuration as `transformers` would write it; token ids are not part of it.
    pub fn to_hugging_face(&self) -> Value {
        let class = match self.architecture.as_str() {
            "mistral" => "MistralForCausalLM",
            "qwen2" => "Qwen2ForCausalLM",
            _ => "LlamaForCausalLM",
        };
        let mut config = json!({
            "architectures": [class],
            "model_type": self.architecture,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context_length,
            "rms_norm_eps": shortest(self.rms_eps),
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling.to_hugging_face(self.context_length),
            "tie_word_embeddings": self.tied_embeddings,
        });
        match self.architecture.as_str() {
            "mistral" => config["sliding_window"] = json!(self.sliding_window),
            "qwen2" => {
                config["use_sliding_window"] = json!(self.sliding_window.is_some());
                config["sliding_window"] = json!(self.sliding_window);
                config["max_window_layers"] = json!(if self.sliding_window.is_some() { 0 } else { self.layers });
            }
            _ => {}
        }
        config
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
            Self::Factors(factors) => json!({
                "rope_type": "longrope",
                "factor": 1.0,
                "attention_factor": 1.0,
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
