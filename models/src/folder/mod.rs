//! A model folder in the Hugging Face layout, read and checked once.
//!
//! ```text
//! config.json              what the model is          required
//! onnx/model.onnx          its graph                  required, or model.onnx beside config.json
//! tokenizer.json           text <-> token ids         required
//! tokenizer_config.json    special tokens, template   optional
//! chat_template.jinja      the template by itself     optional, wins over tokenizer_config.json
//! generation_config.json   how to sample              optional
//! ```
//!
//! Invariant: every file that is there has been read, and every field that is used has the type it should have, so
//! nothing below has to look again.

mod config;
mod generation_defaults;
pub(crate) mod json_object;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use config::ModelConfig;
pub use generation_defaults::GenerationDefaults;

use crate::{ChatTemplate, Error, Result, TokenId, Tokenizer};

/// Where the graph may lie, in the order of preference.
const GRAPH_FILES: [&str; 2] = ["onnx/model.onnx", "model.onnx"];

/// A model folder's contents, all but the graph itself.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
    /// The ONNX file in it.
    pub onnx_path: PathBuf,
    /// What `config.json` says.
    pub config: ModelConfig,
    /// What `generation_config.json` says, with the end tokens of all files.
    pub generation: GenerationDefaults,
    /// Text to token ids and back.
    pub tokenizer: Tokenizer,
    /// How messages become one text; `None` for a model that is not made for chat.
    pub chat_template: Option<ChatTemplate>,
}

impl ModelFolder {
    /// Reads the folder. The tokenizer takes most of the time: a tenth of a second or so for a vocabulary of 50 thousand.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        check_is_folder(path)?;
        let onnx_path = find_graph(path)?;
        let config = ModelConfig::open(path)?;
        let tokenizer = Tokenizer::open(path)?;
        let mut generation = GenerationDefaults::open(path)?;
        generation.eos_token_ids =
            merge_end_tokens([&generation.eos_token_ids[..], &config.eos_token_ids[..], tokenizer.eos().as_slice()]);
        let chat_template = ChatTemplate::open(path)?;
        Ok(Self { path: path.to_owned(), onnx_path, config, generation, tokenizer, chat_template })
    }
}

fn check_is_folder(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(Error::io("open the model folder", path))?;
    if metadata.is_dir() {
        return Ok(());
    }
    Err(Error::model_file(path, "is a file, expected a model folder; make one with `veridraft export SRC DST`"))
}

fn find_graph(folder: &Path) -> Result<PathBuf> {
    GRAPH_FILES.iter().map(|name| folder.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        Error::model_file(folder, "no `onnx/model.onnx` or `model.onnx`; export one with `veridraft export SRC DST`")
    })
}

/// Each id once, in the order of first mention. Files disagree in practice: a chat model's `config.json` often names
/// the end of text, and only `generation_config.json` or the tokenizer the end of a turn. Either ends the answer.
fn merge_end_tokens(lists: [&[TokenId]; 3]) -> Vec<TokenId> {
    let mut merged = Vec::new();
    for &id in lists.into_iter().flatten() {
        if !merged.contains(&id) {
            merged.push(id);
        }
    }
    merged
}
