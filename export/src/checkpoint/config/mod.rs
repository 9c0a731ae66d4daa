//! What a decoder of the LLaMA family is, whichever file says it.

mod from_gguf;
mod from_hugging_face;
#[cfg(test)]
mod tests;
mod to_hugging_face;

use std::path::Path;

use crate::Result;
pub(super) use from_gguf::from_gguf;
pub(super) use from_hugging_face::from_folder;

/// The LLaMA family: pre-norm layers of rotary grouped-query attention and a SiLU-gated MLP, without biases but those
/// of q, k and v.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// `llama`, `mistral` or `qwen2`: the Hugging Face `model_type`.
    pub architecture: String,
    /// Number of layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides [`heads`](Self::heads).
    pub kv_heads: usize,
    /// Width of a head; a multiple of 16.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// The longest context in tokens.
    pub context_length: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched to long contexts.
    pub rope_scaling: RopeScaling,
    /// The q, k and v projections have a bias.
    pub attention_bias: bool,
    /// The head is the embedding.
    pub tied_embeddings: bool,
    /// Positions that attention looks back on, its own included; `None` for all.
    pub sliding_window: Option<usize>,
}

impl DecoderConfig {
    /// Reads `config.json` in a Hugging Face folder or an exported model folder.
    pub fn open(folder: &Path) -> Result<Self> {
        from_folder(folder)
    }

    /// Weights that every row with logits is multiplied with: all matrices, the embedding only if it is the head.
    pub fn matmul_weights(&self) -> u64 {
        let wide = |size: usize| size as u64;
        let attention = 2 * wide(self.heads + self.kv_heads) * wide(self.head_dim);
        let layer = attention + 3 * wide(self.intermediate);
        wide(self.hidden) * (wide(self.layers) * layer + wide(self.vocabulary))
    }
}

/// Changes to the rotary frequencies `theta^(-2i / head_dim)`.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// As they are.
    None,
    /// All divided by `factor` (Chen et al. 2023, position interpolation).
    Linear {
        /// At least 1 in practice.
        factor: f64,
    },
    /// Long wavelengths divided by `factor`, short ones kept, a ramp between (Llama 3.1).
    Llama3 {
        /// Divides the low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are high frequencies.
        high_freq_factor: f64,
        /// The context in tokens of the first training.
        original_context: f64,
    },
    /// A ramp over the number of rotations within the original context (Peng et al. 2023, YaRN).
    Yarn {
        /// Divides the low frequencies.
        factor: f64,
        /// Multiplies cosine and sine.
        attention_factor: f64,
        /// Frequencies that rotate more often than this are kept.
        beta_fast: f64,
        /// Frequencies that rotate less often than this are divided.
        beta_slow: f64,
        /// The context in tokens of the first training.
        original_context: f64,
        /// The ramp's ends are rounded outwards to whole dimensions.
        truncate: bool,
    },
    /// Each divided by its own factor, `[head_dim / 2]`; how GGUF files store Llama 3.1's scaling.
    Factors(Vec<f32>),
}

/// YaRN's factor on cosine and sine, as its authors recommend it for a stretch by `factor`.
fn yarn_attention_factor(factor: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 }
}

/// Largest accepted sizes. They are far above every published model and keep a damaged file from asking for memory
/// that no machine has.
const MAX_LAYERS: usize = 1 << 12;
const MAX_WIDTH: usize = 1 << 20;
/// What the attention kernel takes.
const MAX_HEAD_DIM: usize = 256;
const HEAD_DIM_STEP: usize = 16;
const MAX_VOCABULARY: usize = 1 << 24;
/// Values of the rotary table, 4 bytes each.
const MAX_ROTARY_VALUES: usize = 1 << 28;

impl DecoderConfig {
    /// Checks what the graph and the kernels rely on. The error is a reason without the file's name.
    fn check(&self) -> Result<(), String> {
        within("the number of layers", self.layers, MAX_LAYERS)?;
        within("the hidden size", self.hidden, MAX_WIDTH)?;
        within("the intermediate size", self.intermediate, MAX_WIDTH)?;
        within("the number of attention heads", self.heads, MAX_WIDTH)?;
        within("the number of key-value heads", self.kv_heads, self.heads)?;
        within("the head size", self.head_dim, MAX_HEAD_DIM)?;
        within("the vocabulary size", self.vocabulary, MAX_VOCABULARY)?;
        within("the context length", self.context_length, MAX_ROTARY_VALUES / self.head_dim)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            let (heads, kv_heads) = (self.heads, self.kv_heads);
            return Err(format!("{heads} attention heads cannot share {kv_heads} key-value heads evenly"));
        }
        if !self.head_dim.is_multiple_of(HEAD_DIM_STEP) {
            return Err(format!("the head size is {}, expected a multiple of {HEAD_DIM_STEP}", self.head_dim));
        }
        positive("the norm's epsilon", self.rms_eps.into())?;
        if self.sliding_window == Some(0) {
            return Err("the sliding window is 0, expected at least 1".to_owned());
        }
        if !(self.rope_theta > 1.0 && self.rope_theta.is_finite()) {
            return Err(format!("the rotary base is {}, expected a number above 1", self.rope_theta));
        }
        self.rope_scaling.check(self.head_dim)
    }
}

impl RopeScaling {
    fn check(&self, head_dim: usize) -> Result<(), String> {
        match self {
            Self::None => Ok(()),
            Self::Linear { factor } => positive("the rotary scaling factor", *factor),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                positive("the rotary scaling factor", *factor)?;
                positive("the low frequency factor", *low_freq_factor)?;
                positive("the original context length", *original_context)?;
                if high_freq_factor > low_freq_factor && high_freq_factor.is_finite() {
                    return Ok(());
                }
                Err(format!(
                    "the high frequency factor is {high_freq_factor}, expected more than the low one, {low_freq_factor}"
                ))
            }
            Self::Yarn { factor, attention_factor, beta_fast, beta_slow, original_context, .. } => {
                positive("the rotary scaling factor", *factor)?;
                positive("the attention factor", *attention_factor)?;
                positive("beta_fast", *beta_fast)?;
                positive("beta_slow", *beta_slow)?;
                positive("the original context length", *original_context)
            }
            Self::Factors(factors) if factors.len() != head_dim / 2 => {
                Err(format!("there are {} rotary factors, expected {}", factors.len(), head_dim / 2))
            }
            Self::Factors(factors) => factors.iter().try_for_each(|&factor| positive("a rotary factor", factor.into())),
        }
    }
}

fn within(what: &str, found: usize, most: usize) -> Result<(), String> {
    if (1..=most).contains(&found) { Ok(()) } else { Err(format!("{what} is {found}, expected 1 to {most}")) }
}

fn positive(what: &str, found: f64) -> Result<(), String> {
    if found > 0.0 && found.is_finite() { Ok(()) } else { Err(format!("{what} is {found}, expected a number above 0")) }
}
