//! The configuration in a GGUF file's metadata, where keys begin with the architecture's name.

mod rope;

use super::{Activation, DecoderConfig, check_layers, usual_scale};
use crate::checkpoint::gguf::GgufFile;
use crate::{Error, Result};

/// Values of `general.architecture` that have a graph. Mistral's and SmolLM's files call themselves `llama`.
const KNOWN: &[&str] = &["llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "gpt2", "gptneox", "olmo", "olmo2"];

/// Keys, behind the architecture's name, of settings that no graph has; 0 means that the model neither has.
const REFUSED: [&str; 6] =
    ["expert_count", "attention.scale", "attention.max_alibi_bias", "embedding_scale", "residual_scale", "logit_scale"];

/// Reads the configuration.
pub(in crate::checkpoint) fn from_gguf(file: &GgufFile) -> Result<DecoderConfig> {
    let found = file.text("general.architecture")?.unwrap_or("missing");
    if !KNOWN.contains(&found) {
        return Err(Error::UnknownArchitecture { path: file.path().to_owned(), found: found.to_owned(), known: KNOWN });
    }
    let config = Reader { file, architecture: found }.read()?;
    config.check().map_err(|reason| file.error(reason))?;
    Ok(config)
}

struct Reader<'a> {
    file: &'a GgufFile,
    architecture: &'a str,
}

impl Reader<'_> {
    fn read(&self) -> Result<DecoderConfig> {
        self.refuse_other_models()?;
        let (hidden, heads) = (self.required("embedding_length")?, self.required("attention.head_count")?);
        let layers = self.required("block_count")?;
        check_layers(layers).map_err(|reason| self.file.error(reason))?;
        let head_dim = self.head_dim(hidden, heads)?;
        let rotary_dim = self.rotary_dim(head_dim)?;
        let attention_bias = self.has_tensor("blk.0.attn_q.bias") || self.has_tensor("blk.0.attn_qkv.bias");
        let windows = self.windows(layers)?;
        let rope_scaling = self.rope_scaling()?;
        Ok(DecoderConfig {
            architecture: self.hugging_face_name(attention_bias, windows.contains(&None)).to_owned(),
            layers,
            hidden,
            intermediate: self.required("feed_forward_length")?,
            heads,
            kv_heads: self.count("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            vocabulary: self.vocabulary()?,
            context_length: self.context_length()?,
            norm_eps: self.norm_eps()? as f32,
            rotary_dim,
            rope_theta: self.number("rope.freq_base")?.unwrap_or(10_000.0),
            local_rope_theta: self.local_rope_theta()?,
            rope_scaling,
            attention_bias,
            attention_scale: self.attention_scale(hidden, heads, head_dim, layers),
            attention_softcap: self.softcap("attn_logit_softcapping", 50.0)?,
            clip_qkv: self.clip_qkv()?,
            windows,
            activation: self.activation(),
            parallel_residual: self.parallel_residual()?,
            tied_embeddings: !self.has_tensor("output.weight"),
            logit_softcap: self.softcap("final_logit_softcapping", 30.0)?,
            encoder: None,
        })
    }

    /// The `model_type` of the same model in a Hugging Face folder: there, `llama` has neither a sliding window nor
    /// biases on q, k and v alone.
    fn hugging_face_name(&self, attention_bias: bool, sees_all: bool) -> &'static str {
        match (self.architecture, attention_bias, sees_all) {
            ("qwen3", ..) => "qwen3",
            ("gemma2", ..) => "gemma2",
            ("gemma3", ..) => "gemma3_text",
            ("phi3", ..) => "phi3",
            ("gpt2", ..) => "gpt2",
            ("gptneox", ..) => "gpt_neox",
            ("olmo", ..) => "olmo",
            ("olmo2", ..) => "olmo2",
            ("qwen2", ..) | (_, true, _) => "qwen2",
            (_, false, false) => "mistral",
            (_, false, true) => "llama",
        }
    }

    fn refuse_other_models(&self) -> Result<()> {
        for name in REFUSED {
            let value = self.number(name)?.unwrap_or(0.0);
            if value != 0.0 {
                return Err(self.wrong(name, value, "none"));
            }
        }
        Ok(())
    }

    fn head_dim(&self, hidden: usize, heads: usize) -> Result<usize> {
        let head_dim = match self.count("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if heads > 0 && hidden.is_multiple_of(heads) => hidden / heads,
            None => return Err(self.file.error(format!("{hidden} columns do not split into {heads} attention heads"))),
        };
        let found = self.count("attention.value_length")?.unwrap_or(head_dim);
        if found != head_dim {
            return Err(self.wrong("attention.value_length", found, &format!("the head size {head_dim}")));
        }
        Ok(head_dim)
    }

    fn has_tensor(&self, name: &str) -> bool {
        self.file.tensor_shape(name).is_some()
    }

    fn norm_eps(&self) -> Result<f64> {
        self.required_number(match self.architecture {
            "gpt2" | "gptneox" | "olmo" => "attention.layer_norm_epsilon",
            _ => "attention.layer_norm_rms_epsilon",
        })
    }

    /// By layer. Files of Gemma need not say which layers have no window: each second or each sixth.
    fn windows(&self, layers: usize) -> Result<Vec<Option<usize>>> {
        let window = self.count("attention.sliding_window")?.filter(|&window| window > 0);
        let key = self.key("attention.sliding_window_pattern");
        let pattern = self.file.booleans(&key)?;
        if let Some(found) = pattern.as_ref().map(Vec::len).filter(|&found| found != layers) {
            return Err(self.file.error(format!("`{key}` has {found} entries, expected {layers}")));
        }
        let has_window = |layer: usize| match &pattern {
            Some(pattern) => pattern[layer],
            None => match self.architecture {
                "gemma2" => !(layer + 1).is_multiple_of(2),
                "gemma3" => !(layer + 1).is_multiple_of(6),
                _ => true,
            },
        };
        Ok((0..layers).map(|layer| window.filter(|_| has_window(layer))).collect())
    }

    /// The file does not say it: the largest Gemma, of so many layers, alone scales by the hidden size a head.
    fn attention_scale(&self, hidden: usize, heads: usize, head_dim: usize, layers: usize) -> f32 {
        let is_large = matches!((self.architecture, layers), ("gemma2", 46) | ("gemma3", 62));
        usual_scale(if is_large && heads > 0 { hidden / heads } else { head_dim })
    }

    /// Gemma 2 has those of its authors where the file says nothing.
    fn softcap(&self, name: &str, of_gemma2: f64) -> Result<Option<f32>> {
        let silent = if self.architecture == "gemma2" { of_gemma2 } else { 0.0 };
        let found = self.number(name)?.unwrap_or(silent);
        if found != 0.0 && self.architecture != "gemma2" {
            return Err(self.wrong(name, found, "none"));
        }
        Ok((found != 0.0).then_some(found as f32))
    }

    fn clip_qkv(&self) -> Result<Option<f32>> {
        let name = "attention.clamp_kqv";
        let most = self.number(name)?.filter(|&most| most != 0.0);
        match most {
            Some(found) if self.architecture != "olmo" => Err(self.wrong(name, found, "none")),
            most => Ok(most.map(|most| most as f32)),
        }
    }

    /// The file does not say it either.
    fn activation(&self) -> Activation {
        match self.architecture {
            "gemma2" | "gemma3" | "gpt2" => Activation::GeluTanh,
            "gptneox" => Activation::Gelu,
            _ => Activation::Silu,
        }
    }

    fn parallel_residual(&self) -> Result<bool> {
        let is_neox = self.architecture == "gptneox";
        Ok(is_neox && self.file.boolean(&self.key("use_parallel_residual"))?.unwrap_or(true))
    }

    /// The embedding's rows: the only statement about the vocabulary that cannot be out of date.
    fn vocabulary(&self) -> Result<usize> {
        let name = "token_embd.weight";
        let shape =
            self.file.tensor_shape(name).ok_or_else(|| self.file.error(format!("tensor `{name}` is missing")))?;
        Ok(shape[0])
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn count(&self, name: &str) -> Result<Option<usize>> {
        self.file.count(&self.key(name))
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.file.number(&self.key(name))
    }

    fn required(&self, name: &str) -> Result<usize> {
        self.count(name)?.ok_or_else(|| self.file.error(format!("no `{}`", self.key(name))))
    }

    fn required_number(&self, name: &str) -> Result<f64> {
        self.number(name)?.ok_or_else(|| self.file.error(format!("no `{}`", self.key(name))))
    }

    fn wrong(&self, name: &str, found: impl std::fmt::Display, expected: &str) -> Error {
        self.file.error(format!("`{}` is `{found}`, expected {expected}", self.key(name)))
    }
}
