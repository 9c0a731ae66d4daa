//! What a decoder is, whichever file says it.

mod encoder;
mod from_gguf;
mod from_hugging_face;
#[cfg(test)]
mod tests;
mod to_hugging_face;

use std::path::Path;

use crate::Result;
pub use encoder::{EncoderConfig, Padding, Positions, Style};
pub(super) use from_gguf::from_gguf;
pub(super) use from_hugging_face::from_folder;

/// Sizes and settings of a causal decoder. What follows from the architecture's name alone, such as where norms stand,
/// is in `architecture/`.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// The Hugging Face `model_type`, such as `llama`.
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
    /// Added to the mean square, or the variance, in normalisations.
    pub norm_eps: f32,
    /// Numbers of a head that the rotary embedding turns, even; 0 where positions are learned.
    pub rotary_dim: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Base of the rotary frequencies, without scaling, in layers with a window; `None` where it is that of the others.
    pub local_rope_theta: Option<f64>,
    /// How the rotary frequencies are stretched to long contexts.
    pub rope_scaling: RopeScaling,
    /// The attention's projections have a bias: those that have one in the architecture.
    pub attention_bias: bool,
    /// What scores are multiplied by.
    pub attention_scale: f32,
    /// Scores are bent by tanh to stay below it.
    pub attention_softcap: Option<f32>,
    /// The largest absolute number in q, k and v; larger ones are cut to it.
    pub clip_qkv: Option<f32>,
    /// By layer: positions that attention looks back on, its own included; `None` for all.
    pub windows: Vec<Option<usize>>,
    /// The function in the MLP.
    pub activation: Activation,
    /// The MLP reads what attention reads, not what attention gives.
    pub parallel_residual: bool,
    /// The head is the embedding.
    pub tied_embeddings: bool,
    /// Logits are bent by tanh to stay below it.
    pub logit_softcap: Option<f32>,
    /// What reads a source before it; `None` for a decoder by itself.
    pub encoder: Option<EncoderConfig>,
}

/// Functions in an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`
    Silu,
    /// `x` times the normal distribution's function (Hendrycks and Gimpel 2016).
    Gelu,
    /// The same by tanh of a cubic polynomial.
    GeluTanh,
    /// The larger of `x` and 0.
    Relu,
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
        let mlp_matrices = if self.has_gate() { 3 } else { 2 };
        let layer = attention + mlp_matrices * wide(self.intermediate);
        wide(self.hidden) * (wide(self.layers) * layer + wide(self.vocabulary))
    }

    /// Whether the MLP multiplies a gate with what it gates.
    fn has_gate(&self) -> bool {
        match self.encoder.as_ref().map(|encoder| &encoder.style) {
            Some(Style::Relative { is_gated, .. }) => *is_gated,
            Some(Style::PostNorm { .. }) => false,
            None => !matches!(self.architecture.as_str(), "gpt2" | "gpt_neox"),
        }
    }

    /// The one window of the layers that have one.
    fn window(&self) -> Option<usize> {
        self.windows.iter().copied().flatten().next()
    }
}

/// What scores are multiplied by where nothing else is said.
fn usual_scale(head_dim: usize) -> f32 {
    1.0 / (head_dim as f32).sqrt()
}

/// Changes to the rotary frequencies `theta^(-2i / rotary_dim)`.
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
    /// Each divided by its own factor: how GGUF files store Llama 3.1's scaling, and LongRoPE for short texts (Ding et
    /// al. 2024).
    Factors {
        /// `[rotary_dim / 2]`
        factors: Vec<f32>,
        /// Multiplies cosine and sine.
        attention_factor: f64,
    },
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
        check_layers(self.layers)?;
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
        if ["gpt2", "gpt_neox"].contains(&self.architecture.as_str()) {
            self.check_heads_fill_the_stream()?;
        }
        self.encoder.as_ref().map_or(Ok(()), |encoder| encoder.check(self.hidden))?;
        positive("the norm's epsilon", self.norm_eps.into())?;
        positive("the scale of attention", self.attention_scale.into())?;
        self.clip_qkv.map_or(Ok(()), |most| positive("the bound of q, k and v", most.into()))?;
        let softcaps = [self.attention_softcap, self.logit_softcap];
        softcaps.into_iter().flatten().try_for_each(|softcap| positive("a soft cap", softcap.into()))?;
        if self.windows.contains(&Some(0)) {
            return Err("the sliding window is 0, expected at least 1".to_owned());
        }
        if self.rotary_dim == 0 { Ok(()) } else { self.check_rotation() }
    }

    /// Where q, k and v are one matrix as wide as three residual streams.
    fn check_heads_fill_the_stream(&self) -> Result<(), String> {
        let Self { heads, kv_heads, head_dim, hidden, .. } = *self;
        if kv_heads != heads {
            return Err(format!("there are {kv_heads} key-value heads, expected {heads}, one for each attention head"));
        }
        if heads * head_dim != hidden {
            return Err(format!("{heads} heads of {head_dim} numbers are not {hidden} columns"));
        }
        Ok(())
    }

    fn check_rotation(&self) -> Result<(), String> {
        if self.rotary_dim > self.head_dim || !self.rotary_dim.is_multiple_of(2) {
            let (found, head_dim) = (self.rotary_dim, self.head_dim);
            return Err(format!("{found} numbers of a head are rotated, expected an even count up to {head_dim}"));
        }
        for theta in [Some(self.rope_theta), self.local_rope_theta].into_iter().flatten() {
            if !(theta > 1.0 && theta.is_finite()) {
                return Err(format!("the rotary base is {theta}, expected a number above 1"));
            }
        }
        self.rope_scaling.check(self.rotary_dim)
    }
}

/// Checked before anything is made for each layer.
fn check_layers(layers: usize) -> Result<(), String> {
    within("the number of layers", layers, MAX_LAYERS)
}

impl RopeScaling {
    fn check(&self, rotary_dim: usize) -> Result<(), String> {
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
            Self::Factors { factors, .. } if factors.len() != rotary_dim / 2 => {
                Err(format!("there are {} rotary factors, expected {}", factors.len(), rotary_dim / 2))
            }
            Self::Factors { factors, attention_factor } => {
                positive("the attention factor", *attention_factor)?;
                factors.iter().try_for_each(|&factor| positive("a rotary factor", factor.into()))
            }
        }
    }
}

fn within(what: &str, found: usize, most: usize) -> Result<(), String> {
    if (1..=most).contains(&found) { Ok(()) } else { Err(format!("{what} is {found}, expected 1 to {most}")) }
}

fn positive(what: &str, found: f64) -> Result<(), String> {
    if found > 0.0 && found.is_finite() { Ok(()) } else { Err(format!("{what} is {found}, expected a number above 0")) }
}
