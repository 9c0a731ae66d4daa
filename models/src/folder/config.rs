//! `config.json`: what the model is, in so far as running its graph needs to know.

use std::path::Path;

use super::json_object::JsonObject;
use crate::{Error, Result, TokenId};

/// The fields of `config.json` that are used at run time; the graph carries the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelConfig {
    /// The architecture's name, such as `llama`.
    pub model_type: Option<String>,
    /// Rows of the embedding, at least 1. The tokenizer may know fewer tokens, or in odd cases more.
    pub vocab_size: usize,
    /// The longest context in tokens that the model was made for.
    pub max_position_embeddings: Option<usize>,
    /// The token that starts a text.
    pub bos_token_id: Option<TokenId>,
    /// The tokens that end a text; a number or a list in the file.
    pub eos_token_ids: Vec<TokenId>,
}

impl ModelConfig {
    /// Reads `config.json` of a model folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let json = JsonObject::open_if_exists(&folder.join("config.json"))?
            .ok_or_else(|| Error::model_file(folder, "no `config.json`, which every model folder has"))?;
        let vocab_size = json.count("vocab_size")?;
        Ok(Self {
            model_type: json.string("model_type")?.map(str::to_owned),
            vocab_size: vocab_size.filter(|&size| size > 0).ok_or_else(|| {
                json.error(match vocab_size {
                    Some(_) => "`vocab_size` is 0, expected at least 1",
                    None => "no `vocab_size`",
                })
            })?,
            max_position_embeddings: json.count("max_position_embeddings")?,
            bos_token_id: json.token_ids("bos_token_id")?.first().copied(),
            eos_token_ids: json.token_ids("eos_token_id")?,
        })
    }
}
