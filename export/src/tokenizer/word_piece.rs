//! WordPiece (Wu et al. 2016) behind BERT's basic tokenizer (Devlin et al. 2019): words and punctuation, each written as
//! the longest tokens that fit from the left.

use serde_json::{Map, Value, json};

use super::document::Steps;

/// Marks tokens that continue a word.
pub(super) const CONTINUATION: &str = "##";

/// A longer word is unknown.
const MAX_WORD_CHARACTERS: usize = 100;

/// What is done with a text before it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) lowercase: bool,
    /// `None`: as `lowercase` says.
    pub(super) strips_accents: Option<bool>,
    /// Chinese characters are words.
    pub(super) parts_chinese: bool,
}

/// The steps for a vocabulary in which tokens that continue a word begin with [`CONTINUATION`].
pub(super) fn steps(vocab: Map<String, Value>, unknown: &str, options: Options) -> Steps {
    Steps {
        normalizer: json!({
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": options.parts_chinese,
            "strip_accents": options.strips_accents,
            "lowercase": options.lowercase,
        }),
        pre_tokenizer: json!({ "type": "BertPreTokenizer" }),
        decoder: json!({ "type": "WordPiece", "prefix": CONTINUATION, "cleanup": true }),
        model: json!({
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": CONTINUATION,
            "max_input_chars_per_word": MAX_WORD_CHARACTERS,
            "vocab": vocab,
        }),
    }
}
