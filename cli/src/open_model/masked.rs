//! Opens what a command with a masked model needs: model folder and mask first, then runtime library and session.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use veridraft_export::Weights;
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{MaskedModel, MaskedModelConfig, ModelFolder, Task, TokenId};

use super::simd;
use crate::arguments::parse_threads;
use crate::model_store;

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct MaskedModelArguments {
    /// A masked language model (BERT, RoBERTa, DistilBERT, ELECTRA, XLM-R): a model folder or a Hugging Face folder
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Format of the weights: auto (the checkpoint's own codes), f32, q8, q4
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(crate) weights: Weights,
    /// Which graph of a folder that holds several, by the name behind `model_`: q4, fp16, int8 ...
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    /// Threads of a forward pass [default: one a hardware thread]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// The ONNX Runtime library to use [default: ORT_DYLIB_PATH, else the installed one]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_lib: Option<PathBuf>,
}

/// The folder of a masked model.
pub(crate) struct MaskedFolder {
    pub(crate) name: String,
    pub(crate) folder: ModelFolder,
    /// The token that stands for a blank.
    pub(crate) mask: TokenId,
    /// How it is written.
    pub(crate) mask_text: String,
}

impl MaskedFolder {
    /// Finds or makes the model folder that the arguments name, and reads it.
    pub(crate) fn find(arguments: &MaskedModelArguments) -> Result<Self> {
        let resolved = model_store::resolve(Some(&arguments.model), arguments.weights)?;
        let folder = ModelFolder::open_variant_for(Task::Masked, &resolved.path, arguments.variant.as_deref())?;
        let no_mask =
            || format!("`{}`: the tokenizer has no mask token, expected one, as `[MASK]`", folder.path.display());
        let mask = folder.tokenizer.mask().with_context(no_mask)?;
        let mask_text = folder.tokenizer.token(mask).with_context(no_mask)?;
        Ok(Self { name: resolved.name, folder, mask, mask_text })
    }

    /// Opens the model itself.
    pub(crate) fn open(&self, arguments: &MaskedModelArguments) -> Result<MaskedModel> {
        let runtime = Runtime::load(&LibraryChoice::from(arguments.ort_lib.clone()))?;
        let config = MaskedModelConfig { threads: arguments.threads.map_or(0, usize::from), simd: simd()? };
        Ok(MaskedModel::open(&runtime, &self.folder, config)?)
    }
}
