//! A folder as other programs make them, around one of the graphs that `tests/reference/dense_graphs.py` writes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value, json};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{AnyModel, CausalModelConfig, ModelFolder, UnsizedAnyModel};

/// A folder in the layout of Hugging Face, deleted when dropped.
pub struct DenseFolder {
    folder: tempfile::TempDir,
}

impl DenseFolder {
    /// The graphs: the same decoder in several layouts.
    pub const GRAPHS: [&str; 5] = ["concatenated", "half", "merged", "kept", "in_place"];
    /// Tokens of the vocabulary.
    pub const VOCABULARY: usize = 48;
    /// Tokens of a sequence, at most.
    pub const CONTEXT: usize = 64;
    /// Bytes of a sequence's keys and values in float32.
    pub const SEQUENCE_BYTES: usize = Self::CONTEXT * 2 * 2 * 2 * 8 * 4;

    /// A folder around the graph `name`.
    pub fn create(name: &str) -> Result<Self> {
        let this = Self { folder: tempfile::tempdir()? };
        this.add(name, "model.onnx")?;
        this.write("config.json", &this.config())?;
        this.write("tokenizer.json", &tokenizer())?;
        Ok(this)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Puts the graph `name` there as `file`.
    pub fn add(&self, name: &str, file: &str) -> Result<()> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dense");
        fs::copy(fixtures.join(format!("{name}.onnx")), self.path().join(file))?;
        Ok(())
    }

    /// What its `config.json` says.
    pub fn config(&self) -> Value {
        json!({
            "model_type": "llama", "vocab_size": Self::VOCABULARY, "max_position_embeddings": Self::CONTEXT,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "hidden_size": 16,
            "eos_token_id": 0,
        })
    }

    /// Replaces a JSON file.
    pub fn write(&self, file: &str, content: &Value) -> Result<()> {
        Ok(fs::write(self.path().join(file), content.to_string())?)
    }

    /// Opens the model with room for `sequences` sequences.
    pub fn open(&self, sequences: usize) -> Result<AnyModel> {
        let kv_memory = Some((sequences * Self::SEQUENCE_BYTES) as u64);
        self.open_with(CausalModelConfig { kv_memory, ..CausalModelConfig::default() })
    }

    /// Opens the model as `config` says, on one thread.
    pub fn open_with(&self, config: CausalModelConfig) -> Result<AnyModel> {
        let runtime = Runtime::load(&LibraryChoice::default())?;
        let config = CausalModelConfig { threads: 1, ..config };
        let folder = ModelFolder::open(self.path())?;
        Ok(UnsizedAnyModel::open(&runtime, &folder, config)?.with_memory(config.kv_memory)?)
    }
}

fn tokenizer() -> Value {
    let vocabulary: Map<_, _> = (0..DenseFolder::VOCABULARY).map(|id| (format!("t{id}"), json!(id))).collect();
    json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": { "type": "Whitespace" },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "t0" },
    })
}
