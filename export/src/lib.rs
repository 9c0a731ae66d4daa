//! From checkpoints (GGUF files, Hugging Face folders of safetensors) to ONNX model folders.
//!
//! Reading order: [`export()`] opens a [`checkpoint`], `architecture` writes its graph through `onnx`, and `tokenizer`
//! makes the tokenizer's files where the checkpoint has none. [`export_hugging_face`] writes no graph but a folder that
//! other tools read.

mod architecture;
pub mod checkpoint;
mod error;
mod export;
mod float_format;
mod hugging_face;
mod mapped_file;
mod weights;
pub mod onnx;
pub mod quantize;
mod tokenizer;

pub use error::{Error, Result};
pub use export::{ExportConfig, ExportProgress, export};
pub use float_format::FloatFormat;
pub use hugging_face::export_hugging_face;
pub use mapped_file::MappedFile;
pub use tokenizer::tokenizer_files;
pub use veridraft_models::MatMulOperators;
pub use weights::Weights;
