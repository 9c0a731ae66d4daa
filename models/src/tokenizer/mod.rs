//! Text to token ids and back, by a model folder's `tokenizer.json`.
//!
//! Two ways in, because a prompt comes in two forms: raw text, which gets what the tokenizer's post-processor adds (most
//! often a BOS token), and text from a chat template, which has everything in it already. Both recognise special
//! tokens written in the text, as Hugging Face does.
//!
//! Invariant: encoding depends on the text alone. Truncation, padding and merge dropout that a `tokenizer.json` may
//! carry from training are switched off when it is opened; without padding, the library also never starts a thread pool.

mod config;
mod library;
mod token_bytes;
mod words;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub(crate) use config::TokenizerConfig;
pub use words::WordEncoding;

use crate::{Error, Result, TokenId};

/// A tokenizer; clones share one vocabulary, and threads may use it at once.
#[derive(Clone)]
pub struct Tokenizer {
    shared: Arc<Shared>,
}

struct Shared {
    tokenizer: tokenizers::Tokenizer,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    mask: Option<TokenId>,
    add_bos_token: Option<bool>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and `tokenizer_config.json` where there is one.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Err(Error::model_file(folder, "no `tokenizer.json`, which every model folder has"));
        }
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let config = words::with_mask_token(TokenizerConfig::open(folder)?, folder)?;
        Self::from_json(&bytes, config).map_err(|reason| Error::model_file(path, format!("not a tokenizer: {reason}")))
    }

    /// Token ids of a raw text: what the post-processor adds is added, unless the text begins with it.
    pub fn encode_raw(&self, text: &str) -> Result<Vec<TokenId>> {
        let encoding = library::encode(&self.shared.tokenizer, text, true)?;
        // The mask marks what the post-processor added, and not special tokens that stood in the text.
        let added = encoding.get_special_tokens_mask().iter().take_while(|&&mask| mask == 1).count();
        let (added, rest) = encoding.get_ids().split_at(added);
        let start = self.start_tokens(added);
        let start = if rest.starts_with(start) { &[] } else { start };
        Ok([start, rest].concat())
    }

    /// Token ids of a text that a chat template made: nothing is added.
    pub fn encode_chat(&self, rendered: &str) -> Result<Vec<TokenId>> {
        let encoding = library::encode(&self.shared.tokenizer, rendered, false)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Token ids of a text that stands behind another: nothing is added, nor the space that some tokenizers put before a
    /// text.
    pub fn encode_continuation(&self, text: &str) -> Result<Vec<TokenId>> {
        token_bytes::encode_continuation(&self.shared.tokenizer, text)
    }

    /// The bytes that each token adds to a text, by id; empty for special tokens and for ids that no token has.
    ///
    /// Fails for tokenizers whose tokens have none of their own, such as those that put spaces between words.
    pub fn token_bytes(&self) -> Result<Vec<Vec<u8>>> {
        token_bytes::token_bytes(&self.shared.tokenizer)
    }

    /// The text of the ids, without special tokens. Ids that the vocabulary lacks give nothing.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        self.decode_tokens(ids, true)
    }

    /// The text of the ids, with special tokens. Ids that the vocabulary lacks give nothing.
    pub fn decode_with_special(&self, ids: &[TokenId]) -> String {
        self.decode_tokens(ids, false)
    }

    /// The id of a token by its exact spelling in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<TokenId> {
        self.shared.tokenizer.token_to_id(token)
    }

    /// The spelling of a token in the vocabulary; for byte-level vocabularies not yet text.
    pub fn token(&self, id: TokenId) -> Option<String> {
        self.shared.tokenizer.id_to_token(id)
    }

    /// Whether [`Tokenizer::decode`] leaves the token out.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.shared
            .tokenizer
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .get(&id)
            .is_some_and(|token| token.special)
    }

    /// The token that starts a text, if `tokenizer_config.json` names one that the vocabulary has.
    pub fn bos(&self) -> Option<TokenId> {
        self.shared.bos
    }

    /// The token that ends a text, if `tokenizer_config.json` names one that the vocabulary has.
    pub fn eos(&self) -> Option<TokenId> {
        self.shared.eos
    }

    /// The number of tokens, added ones included. Ids may leave gaps, so an id can be larger.
    pub fn vocabulary(&self) -> usize {
        self.shared.tokenizer.get_vocab_size(true)
    }

    /// Refuses ids that a model with `model_vocabulary` rows in its embedding cannot look up.
    pub fn check_ids(&self, ids: &[TokenId], model_vocabulary: usize) -> Result<()> {
        match ids.iter().position(|&id| id as usize >= model_vocabulary) {
            None => Ok(()),
            Some(index) => Err(Error::Tokenizer(format!(
                "token `{}` at position {index} has id {}, but the model's vocabulary has {model_vocabulary} tokens",
                self.token(ids[index]).unwrap_or_default().escape_debug(),
                ids[index],
            ))),
        }
    }

    fn from_json(json: &[u8], config: TokenizerConfig) -> Result<Self, String> {
        let tokenizer = library::open(json)?;
        let id = |name| config.token(name).and_then(|text| tokenizer.token_to_id(text));
        let (bos, eos) = (id("bos_token"), id("eos_token"));
        let mask = words::mask_id(&tokenizer, config.token(words::MASK_TOKEN));
        Ok(Self { shared: Arc::new(Shared { tokenizer, bos, eos, mask, add_bos_token: config.add_bos_token }) })
    }

    /// What a raw text starts with, given what the post-processor adds. `add_bos_token` speaks of BOS alone, so
    /// another added token (a BERT's `[CLS]`) stays.
    fn start_tokens<'a>(&'a self, added: &'a [TokenId]) -> &'a [TokenId] {
        let bos = self.shared.bos.as_slice();
        match self.shared.add_bos_token {
            Some(true) if added.is_empty() => bos,
            Some(false) if added == bos => &[],
            _ => added,
        }
    }

    fn decode_tokens(&self, ids: &[TokenId], skip_special: bool) -> String {
        // A decoder fails only where the file made it senseless; the tokens' spellings are then the best text there is.
        library::decode(&self.shared.tokenizer, ids, skip_special).unwrap_or_else(|| {
            let wanted = ids.iter().filter(|&&id| !(skip_special && self.is_special(id)));
            wanted.filter_map(|&id| self.token(id)).collect()
        })
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokenizer").field("vocabulary", &self.vocabulary()).finish_non_exhaustive()
    }
}
