//! Byte-level BPE (Radford et al. 2019, GPT-2).

use serde_json::{Map, Value, json};

use super::document::Steps;
use super::pre_tokenizers::{PreTokenizer, byte_level};

/// The steps for a vocabulary and its merges, pairs of tokens with the earliest merged first.
pub(super) fn steps(pre_tokenizer: &PreTokenizer, vocab: Map<String, Value>, merges: Vec<Value>) -> Steps {
    Steps {
        normalizer: pre_tokenizer.normalizer(),
        pre_tokenizer: pre_tokenizer.steps(),
        decoder: byte_level(true),
        model: json!({
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": pre_tokenizer.ignores_merges,
            "vocab": vocab,
            "merges": merges,
        }),
    }
}

/// The `vocab` of a model in `tokenizer.json`, in the order of ids.
pub(super) fn vocab(tokens: &[&str]) -> Map<String, Value> {
    tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect()
}

/// Two tokens out of a line of merges. The error is a reason that names neither the file nor the line.
pub(super) fn merge(line: &str) -> Result<Value, String> {
    match line.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok(json!([left, right])),
        _ => Err(format!("holds `{line}`, expected two tokens and a space between")),
    }
}
