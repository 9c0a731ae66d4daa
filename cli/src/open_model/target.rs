//! Opens a model alone, for commands that read what it makes of given texts.

use anyhow::{Result, bail};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, LanguageModel, ModelFolder};

use super::{name_the_flag, session};
use crate::arguments::ModelArguments;
use crate::model_store;

/// A model without an engine.
pub(crate) struct OpenTarget {
    pub(crate) name: String,
    pub(crate) weights: String,
    pub(crate) folder: ModelFolder,
    pub(crate) model: CausalModel,
}

impl OpenTarget {
    /// Finds or makes the model folder that the arguments name, and opens it.
    pub(crate) fn open(arguments: &ModelArguments) -> Result<Self> {
        let session = session(arguments)?;
        let resolved = model_store::resolve(arguments.model.as_deref(), arguments.weights)?;
        let folder = ModelFolder::open(&resolved.path)?;
        let runtime = Runtime::load(&LibraryChoice::from(arguments.ort_lib.clone()))?;
        let model = CausalModel::open(&runtime, &folder.onnx_path, session).map_err(name_the_flag)?;
        let (found, expected) = (folder.tokenizer.vocabulary(), model.vocabulary());
        if found > expected {
            bail!("`{}`: the tokenizer has {found} tokens, but the model {expected}", resolved.path.display());
        }
        let weights = model.metadata().weights.clone();
        Ok(Self { name: resolved.name, weights, folder, model })
    }
}
