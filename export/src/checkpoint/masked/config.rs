//! What an encoder of BERT's kind is: `config.json` of a Hugging Face folder.
//!
//! What a file leaves out has the default of the architecture's configuration class in the `transformers` library, but
//! for sizes, which every file has. What changes the arithmetic in a way that the graph has not is an error.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Result};

/// Values of `model_type` that have a graph.
const KNOWN: &[&str] = &["bert", "distilbert", "electra", "roberta", "xlm-roberta"];

/// Post-norm layers of attention in both directions and an MLP, all with biases, below a head that predicts tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedConfig {
    /// The Hugging Face `model_type`.
    pub architecture: String,
    /// Number of layers.
    pub layers: usize,
    /// Width of the layers.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Attention heads; divides [`hidden`](Self::hidden).
    pub heads: usize,
    /// Width of the embeddings and of the head; [`hidden`](Self::hidden) in all but ELECTRA.
    pub embedding: usize,
    /// Rows of the word embedding.
    pub vocabulary: usize,
    /// Rows of the position embedding.
    pub positions: usize,
    /// Rows of the token type embedding, of which the first is used; 0 for models without it.
    pub token_types: usize,
    /// The padding token. In RoBERTa's family positions count from it on.
    pub padding: u32,
    /// Added to the variance in layer normalisation.
    pub norm_eps: f32,
    /// Within the MLP.
    pub activation: MaskedActivation,
    /// The head multiplies with the word embedding.
    pub tied_embeddings: bool,
}

/// Functions that the MLP may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskedActivation {
    /// x Φ(x) (Hendrycks and Gimpel 2016)
    Gelu,
    /// Its approximation by the hyperbolic tangent.
    GeluTanh,
    /// max(0, x)
    Relu,
}

/// The fields that are read; DistilBERT has names of its own.
#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    #[serde(alias = "n_layers")]
    num_hidden_layers: Option<usize>,
    #[serde(alias = "dim")]
    hidden_size: Option<usize>,
    #[serde(alias = "hidden_dim")]
    intermediate_size: Option<usize>,
    #[serde(alias = "n_heads")]
    num_attention_heads: Option<usize>,
    embedding_size: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    pad_token_id: Option<u32>,
    layer_norm_eps: Option<f32>,
    #[serde(alias = "activation")]
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    tie_word_embeddings: Option<bool>,
    quantization_config: Option<Value>,
}

/// Largest accepted sizes, far above every published model; they keep a damaged file from asking for memory that no
/// machine has.
const MAX_LAYERS: usize = 1 << 12;
const MAX_WIDTH: usize = 1 << 20;
const MAX_VOCABULARY: usize = 1 << 24;

impl MaskedConfig {
    /// Reads `config.json` in a folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let fail = Error::checkpoint(&path);
        let file: File = serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
        let found = file.model_type.as_deref().unwrap_or("missing");
        if !KNOWN.contains(&found) {
            return Err(Error::UnknownArchitecture { path, found: found.to_owned(), known: KNOWN });
        }
        let config = Self::of(&file, found).map_err(&fail)?;
        config.check().map_err(&fail)?;
        Ok(config)
    }

    /// Tokens in one sequence, at most.
    pub fn context_length(&self) -> usize {
        if self.positions_follow_padding() { self.positions - self.padding as usize - 1 } else { self.positions }
    }

    /// Whether the first token's position is that behind the padding token's id: RoBERTa's family.
    pub fn positions_follow_padding(&self) -> bool {
        matches!(self.architecture.as_str(), "roberta" | "xlm-roberta")
    }

    fn of(file: &File, architecture: &str) -> Result<Self, String> {
        file.refuse_other_models(architecture)?;
        let hidden = required("hidden_size", file.hidden_size)?;
        let is_distilbert = architecture == "distilbert";
        let config = Self {
            architecture: architecture.to_owned(),
            layers: required("num_hidden_layers", file.num_hidden_layers)?,
            hidden,
            intermediate: required("intermediate_size", file.intermediate_size)?,
            heads: required("num_attention_heads", file.num_attention_heads)?,
            embedding: if architecture == "electra" { file.embedding_size.unwrap_or(128) } else { hidden },
            vocabulary: required("vocab_size", file.vocab_size)?,
            positions: required("max_position_embeddings", file.max_position_embeddings)?,
            token_types: if is_distilbert { 0 } else { file.type_vocab_size.unwrap_or(2) },
            padding: 0,
            // DistilBERT's classes have it in their code.
            norm_eps: if is_distilbert { 1e-12 } else { file.layer_norm_eps.unwrap_or(1e-12) },
            activation: activation(file.hidden_act.as_deref().unwrap_or("gelu"))?,
            tied_embeddings: file.tie_word_embeddings.unwrap_or(true),
        };
        let padding = file.pad_token_id.unwrap_or(u32::from(config.positions_follow_padding()));
        Ok(Self { padding, ..config })
    }

    /// Checks what the graph relies on. The error is a reason without the file's name.
    fn check(&self) -> Result<(), String> {
        within("the number of layers", self.layers, MAX_LAYERS)?;
        within("the hidden size", self.hidden, MAX_WIDTH)?;
        within("the intermediate size", self.intermediate, MAX_WIDTH)?;
        within("the embedding size", self.embedding, MAX_WIDTH)?;
        within("the number of attention heads", self.heads, self.hidden)?;
        within("the vocabulary size", self.vocabulary, MAX_VOCABULARY)?;
        within("the number of positions", self.positions, MAX_WIDTH)?;
        if self.token_types > MAX_WIDTH {
            return Err(format!("the number of token types is {}, expected 0 to {MAX_WIDTH}", self.token_types));
        }
        if !self.hidden.is_multiple_of(self.heads) {
            return Err(format!("`hidden_size` {} is not a multiple of {} attention heads", self.hidden, self.heads));
        }
        if self.padding as usize >= self.vocabulary {
            let (padding, vocabulary) = (self.padding, self.vocabulary);
            return Err(format!("`pad_token_id` is {padding}, expected less than `vocab_size`, {vocabulary}"));
        }
        if self.positions_follow_padding() && self.positions <= self.padding as usize + 1 {
            let (rows, unused) = (self.positions, self.padding + 1);
            return Err(format!("there are {rows} positions, expected more than the {unused} before the first token"));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps.is_finite()) {
            return Err(format!("`layer_norm_eps` is {}, expected a number above 0", self.norm_eps));
        }
        Ok(())
    }
}

impl File {
    fn refuse_other_models(&self, architecture: &str) -> Result<(), String> {
        let classes = self.architectures.as_deref().unwrap_or_default();
        let predicts = |class: &String| class.ends_with("ForMaskedLM") || class == "BertForPreTraining";
        if !classes.is_empty() && !classes.iter().any(predicts) {
            let found = classes.join(", ");
            return Err(format!(
                "`architectures` is `{found}`, expected a class with a head that predicts tokens: ForMaskedLM"
            ));
        }
        let positions = self.position_embedding_type.as_deref().unwrap_or("absolute");
        if positions != "absolute" {
            return Err(format!(
                "`position_embedding_type` is `{positions}`, expected `absolute` in a `{architecture}`"
            ));
        }
        if self.quantization_config.is_some() {
            return Err("the weights are quantised (`quantization_config`), expected F32, F16 or BF16".to_owned());
        }
        Ok(())
    }
}

fn activation(name: &str) -> Result<MaskedActivation, String> {
    match name {
        "gelu" => Ok(MaskedActivation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(MaskedActivation::GeluTanh),
        "relu" => Ok(MaskedActivation::Relu),
        other => Err(format!("the activation is `{other}`, expected one of gelu, gelu_new, gelu_fast, relu")),
    }
}

fn required(name: &str, value: Option<usize>) -> Result<usize, String> {
    value.ok_or_else(|| format!("no `{name}`"))
}

fn within(what: &str, found: usize, most: usize) -> Result<(), String> {
    if (1..=most).contains(&found) { Ok(()) } else { Err(format!("{what} is {found}, expected 1 to {most}")) }
}
