//! Texts for masked models: which token stands for a blank, and which tokens are pieces of one word.

use std::path::Path;

use super::{Tokenizer, TokenizerConfig, library};
use crate::folder::json_object::JsonObject;
use crate::{Error, Result, TokenId};

/// How BERT's and RoBERTa's families spell the mask, for folders that name none.
const USUAL_MASKS: [&str; 2] = ["[MASK]", "<mask>"];

/// A text's tokens with what belongs together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WordEncoding {
    /// The tokens, with those that the tokenizer puts around a text.
    pub token_ids: Vec<TokenId>,
    /// For each token the word that it is a piece of, counted from 0; `None` for those around the text.
    ///
    /// A word is what the tokenizer's first step, its pre-tokenizer, gives: in most a punctuation mark is one.
    pub words: Vec<Option<u32>>,
}

/// The mask's name in configuration files.
pub(super) const MASK_TOKEN: &str = "mask_token";

/// Adds the mask token that `special_tokens_map.json` names, where `tokenizer_config.json` names none.
pub(super) fn with_mask_token(mut config: TokenizerConfig, folder: &Path) -> Result<TokenizerConfig> {
    if config.token(MASK_TOKEN).is_none()
        && let Some(json) = JsonObject::open_if_exists(&folder.join("special_tokens_map.json"))?
        && let Some(mask) = TokenizerConfig::from_json(&json)?.token(MASK_TOKEN)
    {
        config.named_tokens.push((MASK_TOKEN.to_owned(), mask.to_owned()));
    }
    Ok(config)
}

/// The id of the token that a file names, or of one that is spelled as masks usually are.
pub(super) fn mask_id(tokenizer: &tokenizers::Tokenizer, named: Option<&str>) -> Option<TokenId> {
    if let Some(name) = named {
        return tokenizer.token_to_id(name);
    }
    let added = tokenizer.get_added_vocabulary();
    USUAL_MASKS.iter().find_map(|mask| tokenizer.token_to_id(mask).filter(|_| added.is_special_token(mask)))
}

impl Tokenizer {
    /// The token that stands for a blank in a text, if the model has one.
    pub fn mask(&self) -> Option<TokenId> {
        self.shared.mask
    }

    /// Token ids of a raw text and the words that they are pieces of.
    pub fn encode_words(&self, text: &str) -> Result<WordEncoding> {
        // The faster way to encode, which all else takes, does not say which words tokens are of.
        let encoding = library::guarded(|| self.shared.tokenizer.encode(text, true))
            .map_err(|reason| Error::Tokenizer(format!("cannot encode the text: {reason}")))?;
        let added = encoding.get_special_tokens_mask().iter().map(|&mask| mask == 1);
        // A token in the text that belongs to no word is one by itself.
        let mut words = Vec::with_capacity(encoding.len());
        let (mut next, mut last) = (0, None);
        for (is_added, word) in added.zip(encoding.get_word_ids()) {
            if is_added {
                words.push(None);
                continue;
            }
            if word.is_none() || *word != last || words.last() == Some(&None) {
                next += 1;
            }
            last = *word;
            words.push(Some(next - 1));
        }
        Ok(WordEncoding { token_ids: encoding.get_ids().to_vec(), words })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A vocabulary of pieces of words, with masks of both families, in a folder with these other files.
    fn open(special_masks: bool, files: &[(&str, Value)]) -> Tokenizer {
        let pieces = ["[UNK]", "the", "trait", "##or", "'", "s", "[MASK]", "<mask>", "[CLS]"];
        let vocabulary: serde_json::Map<_, _> =
            pieces.iter().enumerate().map(|(id, piece)| ((*piece).to_owned(), json!(id))).collect();
        let added = |id: usize| {
            json!({
                "id": id, "content": pieces[id], "special": special_masks,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        };
        let tokenizer = json!({
            "version": "1.0",
            "added_tokens": [added(6), added(7)],
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{ "SpecialToken": { "id": "[CLS]", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
                "pair": [],
                "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": [8], "tokens": ["[CLS]"] } },
            },
            "model": {
                "type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 20,
            },
        });
        let folder = tempfile::tempdir().expect("a folder");
        for (name, json) in files.iter().chain(&[("tokenizer.json", tokenizer)]) {
            std::fs::write(folder.path().join(name), json.to_string()).expect("written");
        }
        Tokenizer::open(folder.path()).expect("a tokenizer")
    }

    #[test]
    fn words_are_those_of_the_pre_tokenizer() {
        let check = |text: &str, token_ids: &[TokenId], words: &[u32]| {
            let words = [None].into_iter().chain(words.iter().copied().map(Some)).collect();
            let expected = WordEncoding { token_ids: [&[8], token_ids].concat(), words };
            assert_eq!(open(true, &[]).encode_words(text).expect("tokens"), expected, "{text}");
        };
        check("", &[], &[]);
        check("the traitor's trait", &[1, 2, 3, 4, 5, 2], &[0, 1, 1, 2, 3, 4]);
        check("traitor[MASK]traitor [MASK][MASK]", &[2, 3, 6, 2, 3, 6, 6], &[0, 0, 1, 2, 2, 3, 4]);
        check("??", &[0, 0], &[0, 1]);
    }

    #[test]
    fn the_mask_is_named_by_a_file_or_known_by_its_spelling() {
        let named = |mask: Value| json!({ "mask_token": mask });
        let mask = |special: bool, files: &[(&str, Value)]| open(special, files).mask();
        assert_eq!(mask(true, &[("tokenizer_config.json", named(json!("<mask>")))]), Some(7));
        let as_object = named(json!({ "content": "<mask>", "lstrip": true }));
        assert_eq!(mask(false, &[("special_tokens_map.json", as_object.clone())]), Some(7));
        let both = [("special_tokens_map.json", as_object), ("tokenizer_config.json", named(json!("[MASK]")))];
        assert_eq!(mask(true, &both), Some(6));
        assert_eq!(mask(true, &[]), Some(6));
        assert_eq!(mask(false, &[]), None);
        assert_eq!(mask(true, &[("tokenizer_config.json", named(json!("[BLANK]")))]), None);
    }
}
