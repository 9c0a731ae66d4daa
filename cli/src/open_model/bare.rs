//! Opens models for passes without an engine: nothing is sampled, and nobody drafts.

use anyhow::{Result, bail};
use veridraft_export::Weights;
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, LanguageModel, ModelFolder, UnsizedModel};

use super::{memory, session};
use crate::arguments::ModelArguments;
use crate::model_store;

/// A model and what its folder holds.
pub(crate) struct BareModel {
    pub(crate) name: String,
    /// The format of its weights, as its file says.
    pub(crate) weights: String,
    pub(crate) folder: ModelFolder,
    pub(crate) model: CausalModel,
}

impl BareModel {
    /// Opens the model that `-m` and `--weights` name.
    pub(crate) fn open(arguments: &ModelArguments) -> Result<Self> {
        let models = open_bare(&[(arguments.model.as_deref(), arguments.weights)], arguments)?;
        Ok(models.into_iter().next().expect("as many models as were named"))
    }
}

/// Opens models under one `--kv-memory`, each named as for `-m` and `--weights`.
pub(crate) fn open_bare(wanted: &[(Option<&str>, Weights)], arguments: &ModelArguments) -> Result<Vec<BareModel>> {
    let session = session(arguments)?;
    let mut folders = Vec::new();
    for &(name, weights) in wanted {
        let resolved = model_store::resolve(name, weights)?;
        folders.push((resolved.name, ModelFolder::open(&resolved.path)?));
    }
    let runtime = Runtime::load(&LibraryChoice::from(arguments.ort_lib.clone()))?;
    let open = |(_, folder): &(String, ModelFolder)| UnsizedModel::open(&runtime, &folder.onnx_path, session);
    let unsized_models = folders.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let models = memory::size(unsized_models, arguments.kv_memory)?;
    let bare = |((name, folder), model): ((String, ModelFolder), CausalModel)| {
        let (found, expected) = (folder.tokenizer.vocabulary(), model.vocabulary());
        if found > expected {
            bail!("`{}`: the tokenizer has {found} tokens, but the model {expected}", folder.path.display());
        }
        let weights = model.metadata().weights.clone();
        Ok(BareModel { name, weights, folder, model })
    };
    folders.into_iter().zip(models).map(bare).collect()
}
