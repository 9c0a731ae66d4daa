//! A causal model of any folder, whoever made it.

use crate::runtime::Runtime;
use crate::{
    CausalModelConfig, FolderKind, LanguageModel, ModelFolder, Result, UnsizedDenseModel, UnsizedEncoderDecoderModel,
    UnsizedModel,
};

/// A session of any kind whose cache has no size yet.
pub enum UnsizedAnyModel {
    /// Exported by Veridraft: over pages.
    Paged(Box<UnsizedModel>),
    /// Another program's: over dense keys and values.
    Dense(Box<UnsizedDenseModel>),
    /// Another program's with an encoder.
    EncoderDecoder(Box<UnsizedEncoderDecoderModel>),
}

/// A model ready to run, and what there is to say of it.
pub struct AnyModel {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// The format of its weights, or another program's name for it; "foreign" where it has none.
    pub weights: String,
    /// Threads of a forward pass.
    pub threads: usize,
    /// What a user should know of how it runs, a line each.
    pub notes: Vec<String>,
}

impl UnsizedAnyModel {
    /// Opens the graph of a folder.
    pub fn open(runtime: &Runtime, folder: &ModelFolder, config: CausalModelConfig) -> Result<Self> {
        if let Some(files) = folder.encoder.as_ref().filter(|_| folder.kind != FolderKind::Veridraft) {
            let opened = UnsizedEncoderDecoderModel::open(runtime, folder, files, config)?;
            return Ok(Self::EncoderDecoder(Box::new(opened)));
        }
        match folder.kind {
            FolderKind::Veridraft => {
                UnsizedModel::open(runtime, &folder.onnx_path, config).map(Box::new).map(Self::Paged)
            }
            FolderKind::HuggingFace | FolderKind::Genai => {
                UnsizedDenseModel::open(runtime, folder, config).map(Box::new).map(Self::Dense)
            }
        }
    }

    /// Bytes of the cache for one token, rounded up.
    pub fn token_bytes(&self) -> usize {
        match self {
            Self::Paged(model) => model.block_bytes().div_ceil(model.block_tokens()),
            Self::Dense(model) => model.token_bytes(),
            Self::EncoderDecoder(model) => model.token_bytes(),
        }
    }

    /// Makes the cache, of `bytes`; `None` is one whole context, at most 1 GiB.
    pub fn with_memory(self, bytes: Option<u64>) -> Result<AnyModel> {
        match self {
            Self::Paged(model) => {
                let model = model.with_memory(bytes)?;
                let (weights, threads) = (model.metadata().weights.clone(), model.threads());
                Ok(AnyModel { model: Box::new(model), weights, threads, notes: Vec::new() })
            }
            Self::Dense(model) => {
                let model = model.with_memory(bytes)?;
                let (weights, threads, notes) = (model.variant().to_owned(), model.threads(), model.notes().to_vec());
                Ok(AnyModel { model: Box::new(model), weights, threads, notes })
            }
            Self::EncoderDecoder(model) => {
                let model = model.with_memory(bytes)?;
                let (weights, threads, notes) = (model.variant().to_owned(), model.threads(), model.notes().to_vec());
                Ok(AnyModel { model: Box::new(model), weights, threads, notes })
            }
        }
    }
}
