//! The files beside the graph in a model folder: copied from a Hugging Face folder, made for a GGUF file.

use std::path::Path;

use serde_json::{Map, Value};

use super::DecoderConfig;
use super::gguf::GgufFile;
use crate::tokenizer::{SpecialTokens, of_folder, token_count, tokenizer_config, tokenizer_json};
use crate::{Error, Result};

/// Names and texts.
pub(crate) type CompanionFiles = Vec<(&'static str, String)>;

/// Files that are copied where they exist.
const OPTIONAL: [&str; 3] = ["generation_config.json", "special_tokens_map.json", "chat_template.jinja"];

/// The texts as they are, but those of a tokenizer that has no `tokenizer.json`, which is made.
pub(super) fn copied_from_folder(folder: &Path) -> Result<CompanionFiles> {
    let read = |name: &'static str| {
        let path = folder.join(name);
        Ok((name, std::fs::read_to_string(&path).map_err(Error::io("read", &path))?))
    };
    let existing = OPTIONAL.into_iter().filter(|name| folder.join(name).exists());
    let mut files = ["config.json"].into_iter().chain(existing).map(read).collect::<Result<Vec<_>>>()?;
    files.extend(of_folder(folder)?);
    Ok(files)
}

/// What the metadata of a GGUF file says, in the files where Hugging Face has it.
pub(super) fn made_from_gguf(file: &GgufFile, config: &DecoderConfig) -> Result<CompanionFiles> {
    let (tokens, rows) = (token_count(file)?, config.vocabulary);
    if tokens > rows {
        return Err(file.error(format!("the tokenizer has {tokens} tokens, but the embedding has {rows} rows")));
    }
    let special = SpecialTokens::read(file)?;
    let token_ids = token_ids(&special);
    let mut config_json = config.to_hugging_face();
    // Some classes have a default that is no token of this vocabulary, so that silence would not mean none.
    config_json["pad_token_id"] = special.padding.into();
    for (name, ids) in &token_ids {
        config_json[name] = ids.clone();
    }
    Ok(vec![
        ("config.json", pretty(&config_json)),
        ("generation_config.json", pretty(&Value::Object(token_ids))),
        ("tokenizer.json", tokenizer_json(file)?),
        ("tokenizer_config.json", pretty(&tokenizer_config(file)?)),
    ])
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
