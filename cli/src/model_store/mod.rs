//! From what the user calls a model to a folder that can be opened: pulled and exported on first use.
//!
//! ```text
//! $CACHE/checkpoints/NAME-DIGEST.gguf      downloaded checkpoints, kept so that other weights need no download
//! $CACHE/models/NAME/WEIGHTS/              exported model folders, one a format of weights
//! ```
//!
//! Everything there is complete; see [`veridraft_models::cache`].

mod checkpoint;
#[cfg(feature = "hub")]
mod hub;
mod listing;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use veridraft_export::{ExportConfig, Weights};
use veridraft_models::ModelFolder;
use veridraft_models::cache::{cache_directory, place_once, to_stderr};

pub(crate) use checkpoint::Checkpoint;
pub(crate) use listing::{PulledModel, folder_bytes, pulled_models};
pub(crate) use source::Source;

use crate::arguments::ModelArguments;
use crate::catalogue::Catalogue;
use crate::progress::{ExportBar, Spinner};
use crate::usage::UsageError;

/// A model folder that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredModel {
    /// The folder, in the Hugging Face layout.
    pub(crate) path: PathBuf,
    /// What reports call it: the catalogue's name, or one made from the path.
    pub(crate) name: String,
}

/// The folder for a `-m` argument, `None` being the catalogue's default. Downloads and exports what is not there.
pub(crate) fn resolve(argument: Option<&str>, weights: Weights) -> anyhow::Result<StoredModel> {
    let cache = cache_directory()?;
    match Source::parse(argument.unwrap_or(&Catalogue::get().default), &models_in(&cache))? {
        Source::Folder(path) => named_folder(path, weights),
        Source::Pulled(name) => pulled(&cache, name, weights),
        Source::Catalogue { name, entry } => {
            exported(&cache, name, weights, || checkpoint::from_catalogue(&cache, name, entry))
        }
        Source::Checkpoint(path) => {
            let checkpoint = Checkpoint::local(&path)?;
            exported(&cache, &checkpoint.name.clone(), weights, || Ok(checkpoint))
        }
        Source::Hub { owner, model } => from_hub(&cache, &owner, &model, weights),
    }
}

/// The folder for a `-m` argument, opened for the graph of a variant, and what reports call it.
pub(crate) fn open(arguments: &ModelArguments) -> anyhow::Result<(String, ModelFolder)> {
    let StoredModel { path, name } = resolve(arguments.model.as_deref(), arguments.weights)?;
    Ok((name, ModelFolder::open_variant(&path, arguments.variant.as_deref())?))
}

/// Where exported models are.
pub(crate) fn models_in(cache: &Path) -> PathBuf {
    cache.join("models")
}

/// Where downloaded checkpoints are.
pub(crate) fn checkpoints_in(cache: &Path) -> PathBuf {
    cache.join("checkpoints")
}

fn named_folder(path: PathBuf, weights: Weights) -> anyhow::Result<StoredModel> {
    if weights != Weights::Auto {
        let path = path.display();
        bail!(UsageError::new(format!("`{path}` is an ONNX model folder; `--weights {weights}` cannot change it")));
    }
    let path = fs::canonicalize(&path).with_context(|| format!("cannot find `{}`", path.display()))?;
    let name = path.file_name().map_or("model".into(), |name| name.to_string_lossy().into_owned());
    Ok(StoredModel { path, name })
}

/// A model that is only known by its name in the cache; its checkpoint may be gone.
fn pulled(cache: &Path, name: String, weights: Weights) -> anyhow::Result<StoredModel> {
    let path = models_in(cache).join(&name).join(weights.name());
    if !path.is_dir() {
        let wanted = weights.name();
        bail!("`{name}` has not been pulled with weights `{wanted}`; name its checkpoint to export it again");
    }
    Ok(StoredModel { path, name })
}

/// The variant in the cache, exported from the checkpoint if it is not there.
fn exported(
    cache: &Path,
    name: &str,
    weights: Weights,
    checkpoint: impl FnOnce() -> anyhow::Result<Checkpoint>,
) -> anyhow::Result<StoredModel> {
    let path = models_in(cache).join(name).join(weights.name());
    let model = StoredModel { path, name: name.to_owned() };
    if model.path.is_dir() {
        return Ok(model);
    }
    let checkpoint = checkpoint()?;
    place_once(&model.path, &to_stderr, |folder| export(&checkpoint, folder, weights))?;
    Ok(model)
}

fn export(checkpoint: &Checkpoint, folder: &Path, weights: Weights) -> anyhow::Result<()> {
    fs::create_dir(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let title = format!("exporting {} with weights {}", checkpoint.name, weights.name());
    let bar = ExportBar::start(&title);
    let progress = |progress: veridraft_export::ExportProgress| bar.set(progress.tensors_done, progress.tensors_total);
    let config = ExportConfig { weights, ..ExportConfig::default() };
    veridraft_export::export(&checkpoint.path, folder, &config, &progress)?;
    Ok(())
}

#[cfg(feature = "hub")]
fn from_hub(cache: &Path, owner: &str, model: &str, weights: Weights) -> anyhow::Result<StoredModel> {
    let name = format!("{owner}--{model}");
    exported(cache, &name, weights, || hub::download(cache, &name, owner, model))
}

#[cfg(not(feature = "hub"))]
fn from_hub(_cache: &Path, owner: &str, model: &str, _weights: Weights) -> anyhow::Result<StoredModel> {
    let source = format!("`hf:{owner}/{model}`");
    bail!(UsageError::new(format!("{source} needs the cargo feature `hub`: `cargo install --path cli --features hub`")))
}

/// Runs `work` with a spinner to report to.
fn with_spinner<T>(work: impl FnOnce(&dyn Fn(&str)) -> T) -> T {
    let spinner = Spinner::start();
    work(&|line| spinner.say(line))
}
