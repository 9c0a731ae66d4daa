//! How a model's sequences are padded and how long they may be: what `config.json` says of its positions.

use crate::folder::json_object::JsonObject;
use crate::{Error, ModelFolder, Result, TokenId};

/// Values of `model_type` that number positions from the padding token's id on, as RoBERTa's authors' library did (Liu et
/// al. 2019): the first token has position `pad_token_id + 1`, and so many rows of the table are never used.
const POSITIONS_FOLLOW_PADDING: [&str; 5] = ["camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"];

/// What a model's batches may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Padding {
    /// The token that shorter sequences are filled up with.
    pub(super) token: TokenId,
    /// Tokens in one sequence, at most.
    pub(super) context_length: usize,
}

impl Padding {
    /// Reads `config.json`, with its class's defaults in the `transformers` library.
    pub(super) fn of(folder: &ModelFolder) -> Result<Self> {
        let path = folder.path.join("config.json");
        let json =
            JsonObject::open_if_exists(&path)?.ok_or_else(|| Error::model_file(&folder.path, "no `config.json`"))?;
        let model_type = folder.config.model_type.as_deref().unwrap_or("bert");
        let follows_padding = POSITIONS_FOLLOW_PADDING.contains(&model_type);
        let token = json.token_ids("pad_token_id")?.first().copied().unwrap_or(u32::from(follows_padding));
        if token as usize >= folder.config.vocab_size {
            let vocabulary = folder.config.vocab_size;
            return Err(json.error(format!("`pad_token_id` is {token}, expected less than `vocab_size`, {vocabulary}")));
        }
        let rows = json.count("max_position_embeddings")?.ok_or_else(|| json.error("no `max_position_embeddings`"))?;
        let unused = if follows_padding { token as usize + 1 } else { 0 };
        match rows.checked_sub(unused).filter(|&rows| rows > 0) {
            Some(context_length) => Ok(Self { token, context_length }),
            None => Err(json.error(format!(
                "`max_position_embeddings` is {rows}, expected more than the {unused} before the first token"
            ))),
        }
    }
}
