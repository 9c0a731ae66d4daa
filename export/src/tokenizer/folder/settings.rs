//! What a folder's JSON files say about its tokenizer: `tokenizer_config.json`, `special_tokens_map.json`,
//! `added_tokens.json`, and `config.json` for the class alone. All of them are optional.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::class::Class;
use crate::tokenizer::word_piece;
use crate::{Error, Result};

/// Special tokens by their names in these files.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The files of a folder and the class that they mean.
pub(super) struct Settings {
    pub(super) class: &'static Class,
    path: PathBuf,
    config: Map<String, Value>,
    special: Map<String, Value>,
    /// Contents and ids.
    pub(super) added: Map<String, Value>,
}

impl Settings {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer_config.json");
        let config = object(&path)?;
        let class = class(folder, &path, &config)?;
        let special = object(&folder.join("special_tokens_map.json"))?;
        let added = object(&folder.join("added_tokens.json"))?;
        Ok(Self { class, path, config, special, added })
    }

    /// An error about `tokenizer_config.json`.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), reason: reason.into() }
    }

    /// The text of a special token; a folder that gives it as `null` has none.
    pub(super) fn named(&self, name: &str) -> Result<Option<&str>> {
        let default = || self.class.named.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        match self.config.get(name).or_else(|| self.special.get(name)) {
            None => Ok(default()),
            Some(Value::Null) => Ok(None),
            Some(value) => match text_of(value) {
                Some(text) => Ok(Some(text)),
                None => Err(self.error(format!("`{name}` is {value}, expected a string or an object with `content`"))),
            },
        }
    }

    /// All special tokens, each once, in the order in which the library numbers those that a vocabulary lacks.
    pub(super) fn special_tokens(&self) -> Result<Vec<&str>> {
        let mut found = Vec::new();
        for name in NAMES {
            found.extend(self.named(name)?);
        }
        for name in ["additional_special_tokens", "extra_special_tokens"] {
            let more = self.config.get(name).or_else(|| self.special.get(name)).and_then(Value::as_array);
            found.extend(more.into_iter().flatten().filter_map(text_of));
        }
        let mut seen = std::collections::HashSet::new();
        found.retain(|text| seen.insert(*text));
        Ok(found)
    }

    /// Whether `text` is the mask token and takes the space before it.
    pub(super) fn takes_space(&self, text: &str) -> Result<bool> {
        Ok(self.class.mask_takes_space && self.named("mask_token")? == Some(text))
    }

    /// Tokens under `added_tokens_decoder`: ids as texts, and rules.
    pub(super) fn described(&self) -> Result<Vec<(&str, &Value)>> {
        match self.config.get("added_tokens_decoder") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Object(tokens)) => Ok(tokens.iter().map(|(id, token)| (id.as_str(), token)).collect()),
            Some(other) => Err(self.error(format!("`added_tokens_decoder` is {other}, expected an object"))),
        }
    }

    /// A setting that is true or false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.config.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.error(format!("`{name}` is {other}, expected true or false"))),
        }
    }

    /// The number of `<extra_id_N>` tokens.
    pub(super) fn extra_ids(&self) -> Result<usize> {
        const MOST: u64 = 1 << 16;
        match self.config.get("extra_ids") {
            None | Some(Value::Null) => Ok(self.class.extra_ids),
            Some(value) => match value.as_u64().filter(|&count| count <= MOST) {
                Some(count) => Ok(count as usize),
                None => Err(self.error(format!("`extra_ids` is {value}, expected 0 to {MOST}"))),
            },
        }
    }

    pub(super) fn word_piece_options(&self) -> Result<word_piece::Options> {
        if self.flag("do_basic_tokenize")? == Some(false) {
            return Err(self.error("`do_basic_tokenize` is false, expected true"));
        }
        Ok(word_piece::Options {
            lowercase: self.flag("do_lower_case")?.unwrap_or(true),
            strips_accents: self.flag("strip_accents")?,
            parts_chinese: self.flag("tokenize_chinese_chars")?.unwrap_or(true),
        })
    }

    /// `tokenizer_config.json` for a folder that has a `tokenizer.json`: the class that reads it, and all names.
    pub(super) fn config(&self) -> Result<Value> {
        let mut config = self.config.clone();
        config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
        for name in NAMES {
            if let Some(text) = self.named(name)? {
                config.insert(name.to_owned(), json!(text));
            }
        }
        Ok(Value::Object(config))
    }
}

/// A token is given by its text, or by its text and rules.
pub(super) fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => fields.get("content")?.as_str(),
        other => other.as_str(),
    }
}

fn class(folder: &Path, path: &Path, config: &Map<String, Value>) -> Result<&'static Class> {
    let unknown =
        |path: &Path, key, found: String, known| Error::UnknownTokenizer { path: path.to_owned(), key, found, known };
    match config.get("tokenizer_class").and_then(Value::as_str) {
        Some(name) => {
            Class::named(name).ok_or_else(|| unknown(path, "tokenizer_class", name.to_owned(), Class::names()))
        }
        None => {
            let path = folder.join("config.json");
            let model = object(&path)?;
            let model_type = model.get("model_type").and_then(Value::as_str).unwrap_or("missing");
            Class::of_model(model_type)
                .ok_or_else(|| unknown(&path, "model_type", model_type.to_owned(), Class::model_types()))
        }
    }
}

/// The object in a JSON file; an empty one where there is no file.
fn object(path: &Path) -> Result<Map<String, Value>> {
    if !path.exists() {
        return Ok(Map::new());
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let fail = Error::checkpoint(path);
    serde_json::from_slice(&bytes).map_err(|error| fail(format!("not a JSON object: {error}")))
}
