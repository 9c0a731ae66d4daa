//! Checkpoints: what people download, in one view for the graph builder.
//!
//! ```text
//! model.gguf ──────────────── GgufFile ─ names, q/k rows, dequantisation ─┐
//! config.json, *.safetensors ─ Safetensors ──────────────────────────────┴─ Arranged ─ DecoderConfig + TensorSource
//! ```
//!
//! Invariant: everything a file says about sizes and places is checked when it is opened, before memory of such a size
//! is asked for; reading a tensor that is there fails only where its type or shape is none that the model can have.

mod arranged;
mod companion_files;
mod config;
mod masked;
pub mod gguf;
mod rotary;
mod safetensors;
mod tensor_source;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use config::{Activation, DecoderConfig, EncoderConfig, Padding, Positions, RopeScaling, Style};
pub use masked::{MaskedActivation, MaskedConfig};
pub use rotary::{local_rotary_table, rotary_table};
pub use tensor_source::TensorSource;

pub(crate) use companion_files::CompanionFiles;
pub(crate) use masked::MaskedCheckpoint;
pub(crate) use tensor_source::rows_and_columns;

use crate::Result;
use arranged::Arranged;
use gguf::{GgufFile, GgufTensors};
use safetensors::SafetensorsSource;

/// A model as its authors published it.
pub struct Checkpoint {
    /// What the model is.
    pub config: DecoderConfig,
    /// Its weights.
    pub tensors: Box<dyn TensorSource>,
    origin: Origin,
}

/// Where the files beside the weights come from.
enum Origin {
    Gguf(Arc<GgufFile>),
    Folder(PathBuf),
}

impl Checkpoint {
    /// Opens a GGUF file or a Hugging Face folder. Weights are mapped, not read.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() { Self::open_folder(path) } else { Self::open_gguf(path) }
    }

    /// The texts beside the graph in a model folder, by file name: `config.json`, `tokenizer.json` and the optional
    /// ones. From a GGUF file they are made; from a folder they are copied as they are, once they were read, but a missing
    /// `tokenizer.json` is made from the vocabulary files that are there.
    pub fn companion_files(&self) -> Result<Vec<(&'static str, String)>> {
        match &self.origin {
            Origin::Gguf(file) => companion_files::made_from_gguf(file, &self.config),
            Origin::Folder(folder) => companion_files::copied_from_folder(folder),
        }
    }

    fn open_gguf(path: &Path) -> Result<Self> {
        let file = Arc::new(GgufFile::open(path)?);
        let config = config::from_gguf(&file)?;
        let tensors = GgufTensors::new(Arc::clone(&file), &config)?;
        let tensors = Arranged::gguf(Box::new(tensors), &config)?;
        Ok(Self { config, tensors, origin: Origin::Gguf(file) })
    }

    fn open_folder(folder: &Path) -> Result<Self> {
        let config = config::from_folder(folder)?;
        let tensors = SafetensorsSource::open(folder)?;
        let tensors = Arranged::folder(Box::new(tensors), &config)?;
        Ok(Self { config, tensors, origin: Origin::Folder(folder.to_owned()) })
    }
}
