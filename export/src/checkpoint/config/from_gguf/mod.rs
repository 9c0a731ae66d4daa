//! The configuration in a GGUF file's metadata, where keys begin with the architecture's name.

use super::{DecoderConfig, RopeScaling, yarn_attention_factor};
use crate::checkpoint::gguf::{GgufFile, ROPE_FACTORS};
use crate::{Error, Result};

/// Values of `general.architecture` that have a graph. Mistral's and SmolLM's files call themselves `llama`.
const KNOWN: &[&str] = &["llama", "qwen2"];

/// Keys, behind the architecture's name, of settings that the graph does not have; 0 means that the model neither has.
const REFUSED: [&str; 7] = [
    "expert_count",
    "attention.scale",
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
];

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
        let head_dim = self.head_dim(hidden, heads)?;
        let attention_bias = self.file.tensor_shape("blk.0.attn_q.bias").is_some();
        let sliding_window = self.count("attention.sliding_window")?.filter(|&window| window > 0);
        Ok(DecoderConfig {
            architecture: self.hugging_face_name(attention_bias, sliding_window).to_owned(),
            layers: self.required("block_count")?,
            hidden,
            intermediate: self.required("feed_forward_length")?,
            heads,
            kv_heads: self.count("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            vocabulary: self.vocabulary()?,
            context_length: self.required("context_length")?,
            rms_eps: self.required_number("attention.layer_norm_rms_epsilon")? as f32,
            rope_theta: self.number("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: self.rope_scaling()?,
            attention_bias,
            tied_embeddings: self.file.tensor_shape("output.weight").is_none(),
            sliding_window,
        })
    }

    /// The `model_type` of the same model in a Hugging Face folder: there, `llama` has neither a sliding window nor
    /// biases on q, k and v alone.
    fn hugging_face_name(&self, attention_bias: bool, sliding_window: Option<usize>) -> &'static str {
        match (attention_bias || self.architecture == "qwen2", sliding_window) {
            (true, _) => "qwen2",
            (false, Some(_)) => "mistral",
            (false, None) => "llama",
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
        for name in ["attention.value_length", "rope.dimension_count"] {
            let found = self.count(name)?.unwrap_or(head_dim);
            if found != head_dim {
                return Err(self.wrong(name, found, &format!("the head size {head_dim}")));
            }
        }
        Ok(head_dim)
    }

    /// The embedding's rows: the only statement about the vocabulary that cannot be out of date.
    fn vocabulary(&self) -> Result<usize> {
        let name = "token_embd.weight";
        let shape =
            self.file.tensor_shape(name).ok_or_else(|| self.file.error(format!("tensor `{name}` is missing")))?;
        Ok(shape[0])
    }

    fn rope_scaling(&self) -> Result<RopeScaling> {
        let scaling = match self.file.text(&self.key("rope.scaling.type"))? {
            None | Some("none") => self.scaling_without_type()?,
            Some("linear") => RopeScaling::Linear { factor: self.required_number("rope.scaling.factor")? },
            Some("yarn") => self.yarn()?,
            Some(other) => return Err(self.wrong("rope.scaling.type", other, "one of none, linear, yarn")),
        };
        match (self.file.tensor_f32(ROPE_FACTORS), scaling) {
            (None, scaling) => Ok(scaling),
            (Some(factors), RopeScaling::None) => Ok(RopeScaling::Factors(factors)),
            (Some(_), _) => {
                let key = self.key("rope.scaling.type");
                Err(self.file.error(format!("has both `{ROPE_FACTORS}` and `{key}`, expected at most one")))
            }
        }
    }

    /// Files from before `rope.scaling.type` have a factor alone.
    fn scaling_without_type(&self) -> Result<RopeScaling> {
        let factor = self.number("rope.scale_linear")?.filter(|&factor| factor != 1.0);
        Ok(factor.map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor }))
    }

    fn yarn(&self) -> Result<RopeScaling> {
        for name in ["rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_ext_factor"] {
            if self.file.has(&self.key(name)) {
                return Err(self.file.error(format!("`{}` is not supported", self.key(name))));
            }
        }
        let factor = self.required_number("rope.scaling.factor")?;
        let given_factor = match self.number("rope.scaling.yarn_attn_factor")? {
            Some(given) => given,
            None => self.number("rope.scaling.attn_factor")?.unwrap_or(1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            attention_factor: given_factor * yarn_attention_factor(factor),
            beta_fast: self.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: self.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            original_context: self.required_number("rope.scaling.original_context_length")?,
            truncate: true,
        })
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
