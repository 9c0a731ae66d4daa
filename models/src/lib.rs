//! What a model is and how one forward pass runs.
//!
//! Reading order: a [`Batch`] goes into a [`LanguageModel`], logits come out; everything else serves that.

mod batch;
mod language_model;
mod causal_model;
mod dense_model;
mod any_model;
mod masked_language_model;
mod masked_model;
pub mod operators;
mod folder;
mod onnx_file;
mod tokenizer;
mod chat_template;
pub mod runtime;
pub mod python_package;
pub mod cache;
mod error;

pub use any_model::{AnyModel, UnsizedAnyModel};
pub use batch::{Batch, BlockId, SourceId, TokenId, TreeMask};
pub use causal_model::{
    CausalModel, CausalModelConfig, FORMAT_VERSION, HiddenStates, MatMulOperators, Metadata, Profile, UnsizedModel,
};
pub use chat_template::{ChatTemplate, Message};
pub use dense_model::{DenseModel, EncoderDecoderModel, UnsizedDenseModel, UnsizedEncoderDecoderModel};
pub use error::{Error, Result};
pub use folder::{FolderKind, GenerationDefaults, GraphNames, ModelConfig, ModelFolder, Task};
pub use language_model::{CacheSpec, EncoderSpec, LanguageModel, Limits, Logits};
pub use masked_language_model::{MaskedBatch, MaskedLanguageModel, MaskedLimits, MaskedPlace};
pub use masked_model::{MaskedModel, MaskedModelConfig};
pub use tokenizer::{Tokenizer, WordEncoding};
pub use veridraft_kernels::{KvType, Simd};
