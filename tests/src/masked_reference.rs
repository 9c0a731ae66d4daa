//! Tiny masked models of every architecture, and what transformers gives for them; `tests/reference/masked.py` makes them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A random checkpoint of two layers with its logits.
pub struct MaskedReference {
    /// Its name, and that of its folder.
    pub case: &'static str,
}

impl MaskedReference {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self { case: "bert" },
        Self { case: "bert_untied" },
        Self { case: "roberta" },
        Self { case: "xlm_roberta" },
        Self { case: "distilbert" },
        Self { case: "electra" },
    ];

    /// Tokens of each vocabulary.
    pub const VOCABULARY: usize = 64;

    /// The checkpoint as a whole Hugging Face folder, deleted when dropped. Its tokenizer knows letters: those that begin
    /// a word and those behind them.
    pub fn hugging_face_folder(&self) -> Result<TempDir> {
        let folder = tempfile::tempdir()?;
        for name in ["config.json", "model.safetensors"] {
            let file = reference().join(self.case).join(name);
            fs::copy(&file, folder.path().join(name)).with_context(|| file.display().to_string())?;
        }
        fs::write(folder.path().join("tokenizer.json"), tokenizer().to_string())?;
        Ok(folder)
    }

    /// The texts, of different lengths; all of them run in one batch.
    pub fn texts(&self) -> Result<Vec<Vec<u32>>> {
        Ok(serde_json::from_slice(&fs::read(reference().join("token_ids.json"))?)?)
    }

    /// The logits of every token of the texts, `[tokens, VOCABULARY]`.
    pub fn logits(&self) -> Result<Vec<f32>> {
        let bytes = fs::read(reference().join(self.case).join("logits.f32"))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/masked")
}

fn tokenizer() -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let letters = ('a'..='z').map(String::from).chain(('a'..='z').map(|letter| format!("##{letter}")));
    let others = [".", ",", "!", "?", "'", "-", "0"].map(str::to_owned);
    let vocabulary: serde_json::Map<_, _> = special
        .iter()
        .cloned()
        .chain(letters)
        .chain(others)
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let added = |(id, token): (usize, &String)| {
        json!({
            "id": id, "content": token, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let around = |name: &str, id: u32| (name.to_owned(), json!({ "id": name, "ids": [id], "tokens": [name] }));
    let token = |name: &str| json!({ "SpecialToken": { "id": name, "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    json!({
        "version": "1.0",
        "added_tokens": special.iter().enumerate().map(added).collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token("[CLS]"), text, token("[SEP]")],
            "pair": [token("[CLS]"), text, token("[SEP]")],
            "special_tokens": Value::Object([around("[CLS]", 2), around("[SEP]", 3)].into_iter().collect()),
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
    })
}
