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
    /// The token that the decoder of a model with an encoder starts with.
    pub decoder_start_token_id: Option<TokenId>,
    /// Layers with keys and values.
    pub layers: Option<usize>,
    /// Heads of keys and values.
    pub kv_heads: Option<usize>,
    /// Numbers in one head's key.
    pub head_dim: Option<usize>,
}

/// Layers of the decoder, where there is an encoder too; else there are only those.
const LAYERS: &[&str] = &["decoder_layers", "num_decoder_layers", "num_hidden_layers", "n_layer", "num_layers"];

impl ModelConfig {
    /// Reads `config.json` of a model folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let json = JsonObject::open_if_exists(&folder.join("config.json"))?
            .ok_or_else(|| Error::model_file(folder, "no `config.json`, which every model folder has"))?;
        let heads =
            json.count_by_any_name(&["decoder_attention_heads", "num_attention_heads", "n_head", "num_heads"])?;
        let hidden = json.count_by_any_name(&["hidden_size", "n_embd", "d_model"])?;
        let head_dim = hidden.zip(heads).and_then(|(hidden, heads)| hidden.checked_div(heads));
        Ok(Self {
            model_type: json.string("model_type")?.map(str::to_owned),
            vocab_size: vocab_size(&json)?,
            max_position_embeddings: json.count_by_any_name(&["max_position_embeddings", "n_positions"])?,
            bos_token_id: json.token_ids("bos_token_id")?.first().copied(),
            eos_token_ids: json.token_ids("eos_token_id")?,
            decoder_start_token_id: json.token_ids("decoder_start_token_id")?.first().copied(),
            layers: json.count_by_any_name(LAYERS)?,
            kv_heads: json.count("num_key_value_heads")?.or(heads),
            head_dim: json.count_by_any_name(&["head_dim", "d_kv"])?.or(head_dim),
        })
    }
}

/// More tokens than any vocabulary has; memory for logits is reckoned by their number.
const MOST_TOKENS: usize = 1 << 24;

/// `vocab_size`, which must be there and one that a model can have.
pub(super) fn vocab_size(json: &JsonObject) -> Result<usize> {
    match json.count("vocab_size")? {
        Some(found) if !(1..=MOST_TOKENS).contains(&found) => {
            Err(json.invalid("vocab_size", &format!("is {found}, expected 1 to {MOST_TOKENS}")))
        }
        Some(size) => Ok(size),
        None => Err(json.missing("vocab_size")),
    }
}
