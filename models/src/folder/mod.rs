//! A model folder, ours or another program's, read and checked once.
//!
//! ```text
//! config.json              what the model is          required
//! onnx/model.onnx          its graph                  required; `graph_file.rs` has the other names and places, and the
//!                                                     graphs of models with an encoder
//! tokenizer.json           text <-> token ids         required
//! tokenizer_config.json    special tokens, template   optional
//! chat_template.jinja      the template by itself     optional, wins over tokenizer_config.json
//! generation_config.json   how to sample              optional
//! genai_config.json        onnxruntime-genai's own    in place of config.json, generation_config.json and the
//!                                                     graph's usual name
//! ```
//!
//! Invariant: every file that is there has been read, and every field that is used has the type it should have, so
//! nothing below has to look again.

mod config;
mod genai_config;
mod generation_defaults;
mod graph_file;
pub(crate) mod json_object;
mod names;
mod task;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use config::ModelConfig;
pub use generation_defaults::GenerationDefaults;
pub(crate) use graph_file::EncoderFiles;
pub use names::GraphNames;
pub use task::Task;

use crate::causal_model::encoder;
use crate::causal_model::metadata::SOURCE_LENGTH;
use crate::onnx_file::OnnxFile;
use crate::{ChatTemplate, Error, Result, TokenId, Tokenizer};

/// Who made a folder, and so what its graph takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderKind {
    /// `veridraft export`: paged attention, all sequences in one pass.
    Veridraft,
    /// Hugging Face's optimum, or a repository laid out as theirs: keys and values go in and come out.
    HuggingFace,
    /// onnxruntime-genai's model builder: the same, named by `genai_config.json`.
    Genai,
}

/// A model folder's contents, all but the graph itself.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
    /// Who made it.
    pub kind: FolderKind,
    /// The ONNX file in it.
    pub onnx_path: PathBuf,
    /// The graphs of a model with an encoder, of which `onnx_path` begins a text.
    pub(crate) encoder: Option<EncoderFiles>,
    /// The other graphs of such a model, and the files that their weights lie in.
    beside: Vec<PathBuf>,
    /// Which of several graphs that is; `None` for the one without a name.
    pub variant: Option<String>,
    /// Under which names that takes what; [`FolderKind::Veridraft`] has its own.
    pub names: GraphNames,
    pub(crate) onnx: OnnxFile,
    /// What the model is made for.
    pub task: Task,
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
    /// Reads the folder of a causal model. The tokenizer takes most of the time: a tenth of a second or so for a
    /// vocabulary of 50 thousand.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_for(Task::Causal, path)
    }

    /// Reads the folder of a model made for `task`, and refuses others.
    pub fn open_for(task: Task, path: impl AsRef<Path>) -> Result<Self> {
        Self::open_variant_for(task, path, None)
    }

    /// Reads the folder of a causal model, for the graph of a variant such as `q4`; `None` is the one without a name.
    pub fn open_variant(path: impl AsRef<Path>, variant: Option<&str>) -> Result<Self> {
        Self::open_variant_for(Task::Causal, path, variant)
    }

    /// Reads the folder of a model made for `task`, for the graph of a variant.
    pub fn open_variant_for(task: Task, path: impl AsRef<Path>, variant: Option<&str>) -> Result<Self> {
        let path = path.as_ref();
        check_is_folder(path)?;
        if path.join("config.json").exists() {
            // First of all: a folder for another task may lack what this one needs.
            Task::of(path)?.expect(task, path)?;
        }
        let folder = Self::read(path, variant)?;
        folder.task.expect(task, path)?;
        Ok(folder)
    }

    /// Reads the folder, whatever its model is made for.
    pub fn read(path: impl AsRef<Path>, variant: Option<&str>) -> Result<Self> {
        let path = path.as_ref();
        check_is_folder(path)?;
        let task = Task::of(path)?;
        let Description { onnx_path, encoder, names, config, mut generation } =
            match path.join(genai_config::FILE).is_file() {
                true if variant.is_some() => return Err(no_variants(path)),
                true => genai_config::open(path)?,
                false => description(path, variant)?,
            };
        let onnx = OnnxFile::open(&onnx_path)?;
        let encoder = encoder.or_else(|| of_export(&onnx, &onnx_path));
        let mut beside = Vec::new();
        for file in encoder.iter().flat_map(|files| [Some(&files.encoder), files.goes_on.as_ref()]).flatten() {
            beside.push(file.clone());
            beside.extend(OnnxFile::open(file)?.data_files(file));
        }
        let tokenizer = Tokenizer::open(path)?;
        generation.eos_token_ids =
            merge_end_tokens([&generation.eos_token_ids[..], &config.eos_token_ids[..], tokenizer.eos().as_slice()]);
        Ok(Self {
            path: path.to_owned(),
            kind: kind(path, &onnx),
            onnx_path,
            encoder,
            beside,
            variant: variant.map(str::to_owned),
            names,
            onnx,
            task,
            config,
            generation,
            tokenizer,
            chat_template: ChatTemplate::open(path)?,
        })
    }

    /// Whether the model has an encoder, which reads a source.
    pub fn has_encoder(&self) -> bool {
        self.encoder.is_some()
    }

    /// The token that a decoder behind an encoder starts with; `None` for a decoder by itself.
    pub fn decoder_start(&self) -> Result<Option<TokenId>> {
        if self.encoder.is_none() {
            return Ok(None);
        }
        let named = self.generation.decoder_start_token_id.or(self.config.decoder_start_token_id);
        let missing = || Error::model_file(&self.path, "the configuration names no `decoder_start_token_id`");
        named.map(Some).ok_or_else(missing)
    }

    /// The file that [`generation`](Self::generation) is of, whether it is there or not.
    pub fn generation_file(&self) -> PathBuf {
        self.path.join(match self.kind {
            FolderKind::Genai => genai_config::FILE,
            FolderKind::Veridraft | FolderKind::HuggingFace => "generation_config.json",
        })
    }

    /// The graph, an encoder's and what else a decoder has, and the files that their weights lie in.
    pub fn graph_files(&self) -> Vec<PathBuf> {
        [vec![self.onnx_path.clone()], self.onnx.data_files(&self.onnx_path), self.beside.clone()].concat()
    }
}

/// What the configuration files say, whichever they are.
struct Description {
    onnx_path: PathBuf,
    encoder: Option<EncoderFiles>,
    names: GraphNames,
    config: ModelConfig,
    generation: GenerationDefaults,
}

fn description(path: &Path, variant: Option<&str>) -> Result<Description> {
    let encoder = graph_file::find_with_encoder(path, variant)?;
    let begins = encoder.as_ref().map(|files| files.begins.clone());
    Ok(Description {
        onnx_path: begins.map_or_else(|| graph_file::find(path, variant), Ok)?,
        encoder,
        names: GraphNames::default(),
        config: ModelConfig::open(path)?,
        generation: GenerationDefaults::open(path)?,
    })
}

fn kind(path: &Path, onnx: &OnnxFile) -> FolderKind {
    if onnx.metadata("veridraft.format_version").is_some() {
        FolderKind::Veridraft
    } else if path.join(genai_config::FILE).is_file() {
        FolderKind::Genai
    } else {
        FolderKind::HuggingFace
    }
}

/// The graphs of a model with an encoder that Veridraft exported.
fn of_export(onnx: &OnnxFile, onnx_path: &Path) -> Option<EncoderFiles> {
    onnx.metadata(SOURCE_LENGTH)?;
    let encoder = onnx_path.with_file_name(encoder::FILE);
    Some(EncoderFiles { encoder, begins: onnx_path.to_owned(), goes_on: None })
}

fn no_variants(path: &Path) -> Error {
    Error::model_file(path, format!("`{}` names the one graph, so there is no variant to choose", genai_config::FILE))
}

fn check_is_folder(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(Error::io("open the model folder", path))?;
    if metadata.is_dir() {
        return Ok(());
    }
    Err(Error::model_file(path, "is a file, expected a model folder; make one with `veridraft export SRC DST`"))
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
