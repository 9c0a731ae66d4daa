//! The files beside the graph in a model folder: copied from a Hugging Face folder, made for a GGUF file.

use std::path::Path;

use serde_json::{Map, Value};

use super::DecoderConfig;
use super::gguf::GgufFile;
use crate::tokenizer::{SpecialTokens, tokenizer_config, tokenizer_json};
use crate::{Error, Result};

/// Names and texts.
type CompanionFiles = Vec<(&'static str, String)>;

/// Files that every folder has, and those that are copied where they exist.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
const OPTIONAL: [&str; 3] = ["generation_config.json", "tokenizer_config.json", "chat_template.jinja"];

/// The texts as they are; `tokenizer.json` is loaded once, so that a broken one is found before the export.
pub(super) fn copied_from_folder(folder: &Path) -> Result<CompanionFiles> {
    let existing = OPTIONAL.into_iter().filter(|name| folder.join(name).exists());
    let files = REQUIRED.into_iter().chain(existing).map(|name| {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        if name == "tokenizer.json" {
            check_tokenizer(&text).map_err(Error::checkpoint(&path))?;
        }
        Ok((name, text))
    });
    files.collect()
}

/// What the metadata of a GGUF file says, in the files where Hugging Face has it.
pub(super) fn made_from_gguf(file: &GgufFile, config: &DecoderConfig) -> Result<CompanionFiles> {
    let token_ids = token_ids(&SpecialTokens::read(file)?);
    let mut config_json = config.to_hugging_face();
    for (name, ids) in &token_ids {
        config_json[name] = ids.clone();
    }
    Ok(vec![
        ("config.json", pretty(&config_json)),
        ("generation_config.json", pretty(&Value::Object(token_ids))),
        ("tokenizer.json", tokenizer_json(file, config)?),
        ("tokenizer_config.json", pretty(&tokenizer_config(file, config)?)),
    ])
}

/// Refuses a `tokenizer.json` that the tokenizers library cannot read. The error is a reason without the file's name.
pub(crate) fn check_tokenizer(text: &str) -> Result<(), String> {
    let one_line = |error: tokenizers::Error| error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let parsed = text.parse::<tokenizers::Tokenizer>();
    parsed.map(drop).map_err(|error| format!("not a tokenizer: {}", one_line(error)))
}

/// The start and end tokens, under the names that both configuration files have for them. What the file does not say is
/// left out.
fn token_ids(special: &SpecialTokens) -> Map<String, Value> {
    let mut found = Map::new();
    if let Some(id) = special.bos {
        found.insert("bos_token_id".to_owned(), id.into());
    }
    let eos = match special.end_tokens().as_slice() {
        [] => return found,
        [id] => (*id).into(),
        ids => ids.into(),
    };
    found.insert("eos_token_id".to_owned(), eos);
    found
}

fn pretty(json: &Value) -> String {
    format!("{json:#}\n")
}
