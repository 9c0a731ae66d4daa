//! From checkpoints (GGUF files, Hugging Face folders of safetensors) to ONNX model folders.
//!
//! Reading order: [`export()`] opens a [`checkpoint`], `architecture` writes its graph through `onnx`, and `tokenizer`
//! makes the tokenizer's files where the checkpoint has none.

mod architecture;
pub mod checkpoint;
mod error;
mod export;
mod mapped_file;
mod quantize;
mod weights;
pub mod onnx;
mod tokenizer;

pub use error::{Error, Result};
pub use export::{ExportConfig, ExportProgress, MatMulOperators, export};
pub use weights::Weights;
