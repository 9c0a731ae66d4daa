//! `tokenizer_config.json`: the names of the special tokens, and whether a text starts with one.

use std::path::Path;

use serde_json::Value;

use crate::Result;
use crate::folder::json_object::JsonObject;

/// The special tokens that Hugging Face hands to a chat template by name.
const NAMED_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What `tokenizer_config.json` says; all of it is optional, and so is the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenizerConfig {
    /// Name (`bos_token` ...) and text of each special token that the file names.
    pub(crate) named_tokens: Vec<(String, String)>,
    /// Whether a text starts with the BOS token, where the file decides it against the post-processor.
    pub(crate) add_bos_token: Option<bool>,
}

impl TokenizerConfig {
    /// Reads the file of a model folder.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        match JsonObject::open_if_exists(&folder.join("tokenizer_config.json"))? {
            Some(json) => Self::from_json(&json),
            None => Ok(Self::default()),
        }
    }

    /// Takes the fields out of the file's object.
    pub(crate) fn from_json(json: &JsonObject) -> Result<Self> {
        let mut named_tokens = Vec::new();
        for name in NAMED_TOKENS {
            if let Some(value) = json.value(name) {
                let text = token_text(value)
                    .ok_or_else(|| json.wrong_type(name, value, "a string or an object with `content`"))?;
                named_tokens.push((name.to_owned(), text.to_owned()));
            }
        }
        Ok(Self { named_tokens, add_bos_token: json.boolean("add_bos_token")? })
    }

    /// The text of a special token by its name.
    pub(crate) fn token(&self, name: &str) -> Option<&str> {
        self.named_tokens.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }
}

/// Older files write a token as an object with its matching rules.
fn token_text(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => fields.get("content")?.as_str(),
        other => other.as_str(),
    }
}
