//! `veridraft model pull`, `list` and `show`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use veridraft_export::Weights;
use veridraft_models::ModelFolder;
use veridraft_models::cache::cache_directory;

use crate::catalogue::Catalogue;
use crate::model_store::{self, PulledModel, Source, checkpoints_in, folder_bytes, models_in, pulled_models};
use crate::output::line;

/// `veridraft model`
#[derive(Debug, Args)]
pub(crate) struct ModelCommand {
    #[command(subcommand)]
    action: ModelAction,
}

#[derive(Debug, Subcommand)]
enum ModelAction {
    /// Download a model if need be, export it into the cache and print the folder
    Pull {
        /// A name from `model list`, a GGUF file, a Hugging Face folder, or hf:owner/name
        #[arg(value_name = "NAME|URI")]
        source: String,
        /// Format of the weights: auto (the checkpoint's own codes), f32, q8, q4
        #[arg(long, value_name = "FORMAT", default_value = "auto")]
        weights: Weights,
    },
    /// List the models in the cache and those that can be pulled by name
    List,
    /// Show what a model folder holds
    Show {
        /// A model folder, or a name from `model list`
        #[arg(value_name = "DIR|NAME")]
        model: String,
    },
}

/// Runs the command.
pub(crate) fn run(command: &ModelCommand) -> anyhow::Result<()> {
    match &command.action {
        ModelAction::Pull { source, weights } => pull(source, *weights),
        ModelAction::List => list(),
        ModelAction::Show { model } => show(model),
    }
}

fn pull(source: &str, weights: Weights) -> anyhow::Result<()> {
    let model = model_store::resolve(Some(source), weights)?;
    line(format_args!("{}", model.path.display()))?;
    Ok(())
}

fn list() -> anyhow::Result<()> {
    let cache = cache_directory()?;
    let pulled = pulled_models(&cache)?;
    for model in &pulled {
        print_row(&model.name, &model.weights, &size(model.bytes), &model.path.display().to_string())?;
    }
    let catalogue = Catalogue::get();
    for (name, entry) in &catalogue.models {
        if !pulled.iter().any(|model| model.name == *name) {
            print_row(name, "-", "not pulled", &format!("{} ({})", entry.description, entry.license))?;
        }
    }
    let checkpoints = checkpoints_in(&cache);
    if checkpoints.is_dir() {
        print_row("checkpoints", "", &size(folder_bytes(&checkpoints)?), &checkpoints.display().to_string())?;
    }
    Ok(())
}

fn print_row(name: &str, weights: &str, size: &str, place: &str) -> anyhow::Result<()> {
    line(format_args!("{name:<28} {weights:<8} {size:>12}  {place}"))
}

fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

fn show(model: &str) -> anyhow::Result<()> {
    let cache = cache_directory()?;
    let name = match Source::parse(model, &models_in(&cache))? {
        Source::Catalogue { name, .. } => name.to_owned(),
        Source::Pulled(name) => name,
        _ => return show_folder(Path::new(model)),
    };
    let pulled: Vec<_> = pulled_models(&cache)?.into_iter().filter(|model| model.name == name).collect();
    for PulledModel { path, .. } in &pulled {
        show_folder(path)?;
    }
    if pulled.is_empty() {
        anyhow::bail!("`{name}` has not been pulled; `veridraft model pull {name}` pulls it");
    }
    Ok(())
}

fn show_folder(path: &Path) -> anyhow::Result<()> {
    let folder = ModelFolder::read(path, None)?;
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    line(format_args!("path        {}", fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path)).display()))?;
    line(format_args!("graph       {}", folder.onnx_path.strip_prefix(path).unwrap_or(&folder.onnx_path).display()))?;
    line(format_args!("size        {}", size(folder_bytes(path)?)))?;
    line(format_args!("holds       {}", folder.task))?;
    line(format_args!("type        {}", or_unknown(folder.config.model_type)))?;
    line(format_args!("vocabulary  {}", folder.config.vocab_size))?;
    line(format_args!(
        "context     {}",
        or_unknown(folder.config.max_position_embeddings.map(|tokens| tokens.to_string()))
    ))?;
    line(format_args!("end tokens  {:?}", folder.generation.eos_token_ids))?;
    line(format_args!(
        "chat        {}",
        if folder.chat_template.is_some() { "has a template" } else { "no template" }
    ))?;
    Ok(())
}
