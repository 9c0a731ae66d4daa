//! Checkpoints of masked language models: a Hugging Face folder whose class predicts blanks.

mod config;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use veridraft_models::Task;

pub use config::{MaskedActivation, MaskedConfig};

use super::TensorSource;
use super::companion_files::{CompanionFiles, copied_from_folder};
use super::safetensors::SafetensorsSource;
use crate::Result;

/// A masked language model as its authors published it.
pub(crate) struct MaskedCheckpoint {
    pub(crate) config: MaskedConfig,
    pub(crate) tensors: Box<dyn TensorSource>,
    folder: PathBuf,
}

impl MaskedCheckpoint {
    /// Opens a folder; `None` for a file, or where `config.json` says that the model is no masked one.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        if !path.is_dir() || Task::of(path)? != Task::Masked {
            return Ok(None);
        }
        let config = MaskedConfig::open(path)?;
        let tensors = Box::new(SafetensorsSource::open(path)?);
        Ok(Some(Self { config, tensors, folder: path.to_owned() }))
    }

    /// The texts beside the graph in a model folder, by file name.
    pub(crate) fn companion_files(&self) -> Result<CompanionFiles> {
        copied_from_folder(&self.folder)
    }
}
