//! The tiny checkpoints of `tests/reference`, one of each architecture.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A tokenizer that is never asked anything.
const TOKENIZER: &str =
    r#"{ "version": "1.0", "model": { "type": "WordLevel", "vocab": { "a": 0 }, "unk_token": "a" } }"#;

/// A checkpoint made by `tests/reference/architectures.py`, and what `transformers` gives for it.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The folder's name.
    pub case: &'static str,
    /// Whether llama.cpp has files of it, and the folder one.
    has_gguf: bool,
}

impl Reference {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self { case: "llama3", has_gguf: true },
        Self { case: "mistral", has_gguf: true },
        Self { case: "qwen2", has_gguf: true },
        Self { case: "qwen2_windows", has_gguf: false },
        Self { case: "qwen3", has_gguf: true },
        Self { case: "gemma2", has_gguf: true },
        Self { case: "gemma3", has_gguf: true },
        Self { case: "phi3", has_gguf: true },
        Self { case: "gpt2", has_gguf: true },
        Self { case: "gpt_neox", has_gguf: true },
        Self { case: "gpt_neox_serial", has_gguf: false },
        Self { case: "olmo", has_gguf: true },
        Self { case: "olmo2", has_gguf: true },
    ];

    /// Tokens of each vocabulary.
    pub const VOCABULARY: usize = 64;

    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/architectures").join(self.case)
    }

    /// The GGUF file, if there is one.
    pub fn gguf(&self) -> Option<PathBuf> {
        self.has_gguf.then(|| self.folder().join("model.gguf"))
    }

    /// The safetensors as a whole Hugging Face folder, deleted when dropped.
    pub fn hugging_face_folder(&self) -> Result<TempDir> {
        let folder = tempfile::tempdir()?;
        for name in ["config.json", "model.safetensors"] {
            fs::copy(self.folder().join(name), folder.path().join(name)).with_context(|| self.case.to_owned())?;
        }
        fs::write(folder.path().join("tokenizer.json"), TOKENIZER)?;
        Ok(folder)
    }

    /// The text, longer than every window.
    pub fn token_ids(&self) -> Result<Vec<u32>> {
        Ok(serde_json::from_slice(&fs::read(self.folder().join("token_ids.json"))?)?)
    }

    /// The text's logits, `[tokens, VOCABULARY]`.
    pub fn logits(&self) -> Result<Vec<f32>> {
        self.floats("logits.f32")
    }

    /// What goes into the first layer and comes out of each, `[3, tokens, hidden]`; `None` where that is not known.
    pub fn hidden_states(&self) -> Result<Option<Vec<f32>>> {
        let name = "hidden_states.f32";
        self.folder().join(name).exists().then(|| self.floats(name)).transpose()
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let bytes = fs::read(self.folder().join(name))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}
