//! Opens models for passes without an engine: nothing is sampled, and nobody drafts.

use std::iter::repeat;

use anyhow::{Result, bail};
use veridraft_export::Weights;
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{AnyModel, LanguageModel, ModelFolder, UnsizedAnyModel};

use super::{check_session, check_vocabulary, memory, session};
use crate::arguments::ModelArguments;
use crate::model_store;

/// A model and what its folder holds.
pub(crate) struct BareModel {
    pub(crate) name: String,
    /// The format of its weights, as its file says.
    pub(crate) weights: String,
    pub(crate) folder: ModelFolder,
    pub(crate) model: Box<dyn LanguageModel>,
}

impl BareModel {
    /// Opens the model that `-m` and `--weights` name.
    pub(crate) fn open(arguments: &ModelArguments) -> Result<Self> {
        let models = open_bare(&[(arguments.model.as_deref(), arguments.weights)], arguments)?;
        Ok(models.into_iter().next().expect("as many models as were named"))
    }

    /// Puts a model beside its folder, and says what there is to say of it.
    pub(crate) fn new(name: String, folder: ModelFolder, model: AnyModel) -> Result<Self> {
        let AnyModel { model, weights, notes, .. } = model;
        notes.iter().for_each(|note| eprintln!("note: {note}"));
        check_vocabulary(&folder, model.vocabulary())?;
        Ok(Self { name, weights, folder, model })
    }
}

/// Opens models under one `--kv-memory`, each named as for `-m` and `--weights`; `--variant` is that of the first.
pub(crate) fn open_bare(wanted: &[(Option<&str>, Weights)], arguments: &ModelArguments) -> Result<Vec<BareModel>> {
    let session = session(arguments)?;
    let mut folders = Vec::new();
    for (&(name, weights), variant) in wanted.iter().zip([arguments.variant.as_deref()].into_iter().chain(repeat(None)))
    {
        let resolved = model_store::resolve(name, weights)?;
        let folder = ModelFolder::open_variant(&resolved.path, variant)?;
        check_session(&session, &folder)?;
        check_reads_alone(&folder)?;
        folders.push((resolved.name, folder));
    }
    let runtime = Runtime::load(&LibraryChoice::from(arguments.ort_lib.clone()))?;
    let open = |(_, folder): &(String, ModelFolder)| UnsizedAnyModel::open(&runtime, folder, session);
    let unsized_models = folders.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let models = memory::size(unsized_models, arguments.kv_memory)?;
    folders.into_iter().zip(models).map(|((name, folder), model)| BareModel::new(name, folder, model)).collect()
}

/// Refuses a model that reads a text beside the one that is given.
pub(crate) fn check_reads_alone(folder: &ModelFolder) -> Result<()> {
    if folder.has_encoder() {
        bail!("`{}` has an encoder, expected a model that reads given texts by itself", folder.path.display());
    }
    Ok(())
}
