//! The tokenizer inside a GGUF file, as the `tokenizer.json` that the Hugging Face library reads.
//!
//! A GGUF file holds the vocabulary and says by a name how text is split; the steps behind the name are in tables here.
//! A name that is not in them is an error and never a default: a wrong split gives other tokens without any sign.

mod byte_level;
mod configuration;
mod pre_tokenizers;
mod sentence_piece;
mod special_tokens;
#[cfg(test)]
mod tests;
mod vocabulary;

pub(crate) use configuration::tokenizer_config;
pub(crate) use special_tokens::SpecialTokens;

use serde_json::{Value, json};

use crate::checkpoint::gguf::GgufFile;
use crate::checkpoint::{DecoderConfig, check_tokenizer};
use crate::{Error, Result};
use vocabulary::{TokenKind, Vocabulary};

/// The text of `tokenizer.json`, loaded once to see that it is one.
pub(crate) fn tokenizer_json(file: &GgufFile, config: &DecoderConfig) -> Result<String> {
    let vocabulary = Vocabulary::read(file)?;
    let (tokens, rows) = (vocabulary.tokens.len(), config.vocabulary);
    if tokens > rows {
        return Err(file.error(format!("the tokenizer has {tokens} tokens, but the embedding has {rows} rows")));
    }
    let special = SpecialTokens::read(file)?;
    let known = vec![byte_level::NAME, sentence_piece::NAME];
    let parts = match file.text("tokenizer.ggml.model")? {
        Some(byte_level::NAME) => byte_level::parts(file, &vocabulary)?,
        Some(sentence_piece::NAME) => sentence_piece::parts(file, &vocabulary, &special)?,
        other => return Err(unknown(file, "tokenizer.ggml.model", other, known)),
    };
    let frame = Frame::read(file, &special, parts.adds_bos)?;
    let text = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(&vocabulary),
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": frame.post_processor(&vocabulary),
        "decoder": parts.decoder,
        "model": parts.model,
    })
    .to_string();
    check_tokenizer(&text).map_err(|reason| file.error(reason))?;
    Ok(text)
}

/// What differs between kinds of tokenizers.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
    /// Whether a text begins with the BOS token when the file does not say.
    adds_bos: bool,
}

fn unknown(file: &GgufFile, key: &'static str, found: Option<&str>, known: Vec<&'static str>) -> Error {
    let found = found.unwrap_or("missing").to_owned();
    Error::UnknownTokenizer { path: file.path().to_owned(), key, found, known }
}

/// Tokens that are found in a text before it is split, with their ids.
fn added_tokens(vocabulary: &Vocabulary) -> Vec<Value> {
    let tokens = vocabulary.tokens.iter().zip(&vocabulary.kinds).enumerate();
    let added = tokens.filter_map(|(id, (content, kind))| {
        let special = match kind {
            TokenKind::Control | TokenKind::Unknown => true,
            TokenKind::UserDefined => false,
            TokenKind::Normal | TokenKind::Unused | TokenKind::Byte => return None,
        };
        Some(json!({
            "id": id, "content": content, "special": special,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        }))
    });
    added.collect()
}

/// The tokens around every text.
struct Frame {
    before: Option<u32>,
    after: Option<u32>,
}

impl Frame {
    fn read(file: &GgufFile, special: &SpecialTokens, adds_bos: bool) -> Result<Self> {
        let wanted = |key: &str, default: bool, token: Option<u32>, id_key: &str| match (file.boolean(key)?, token) {
            (Some(false), _) => Ok(None),
            (None, _) if !default => Ok(None),
            (_, Some(token)) => Ok(Some(token)),
            (_, None) => Err(file.error(format!("texts get a token that `{id_key}` should name, but it is missing"))),
        };
        Ok(Self {
            before: wanted("tokenizer.ggml.add_bos_token", adds_bos, special.bos, "tokenizer.ggml.bos_token_id")?,
            after: wanted("tokenizer.ggml.add_eos_token", false, special.eos, "tokenizer.ggml.eos_token_id")?,
        })
    }

    fn post_processor(&self, vocabulary: &Vocabulary) -> Value {
        if self.before.is_none() && self.after.is_none() {
            return Value::Null;
        }
        let token = |id: u32| vocabulary.tokens[id as usize];
        let sequence = |name: &str, type_id: u32| {
            let frame = |id: u32| json!({ "SpecialToken": { "id": token(id), "type_id": type_id } });
            let text = json!({ "Sequence": { "id": name, "type_id": type_id } });
            let parts = self.before.map(frame).into_iter().chain([text]).chain(self.after.map(frame));
            parts.collect::<Vec<_>>()
        };
        let (single, pair) = (sequence("A", 0), [sequence("A", 0), sequence("B", 1)].concat());
        let special = self.before.into_iter().chain(self.after);
        let special =
            special.map(|id| (token(id).to_owned(), json!({ "id": token(id), "ids": [id], "tokens": [token(id)] })));
        json!({
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": special.collect::<serde_json::Map<_, _>>(),
        })
    }
}
