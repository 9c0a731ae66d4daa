//! Byte-level BPE (Radford et al. 2019, GPT-2), which GGUF files call `gpt2`.

use serde_json::{Map, Value, json};

use super::pre_tokenizers::{PreTokenizer, byte_level};
use super::vocabulary::Vocabulary;
use super::{Parts, unknown};
use crate::Result;
use crate::checkpoint::gguf::GgufFile;

/// The value of `tokenizer.ggml.model`.
pub(super) const NAME: &str = "gpt2";

const PRE: &str = "tokenizer.ggml.pre";

pub(super) fn parts(file: &GgufFile, vocabulary: &Vocabulary) -> Result<Parts> {
    let name = file.text(PRE)?;
    let pre_tokenizer =
        name.and_then(PreTokenizer::named).ok_or_else(|| unknown(file, PRE, name, PreTokenizer::names()))?;
    Ok(Parts {
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
            "vocab": vocab(vocabulary),
            "merges": merges(file)?,
        }),
        adds_bos: pre_tokenizer.adds_bos,
    })
}

/// The `vocab` of a BPE model in `tokenizer.json`, in the order of ids.
pub(super) fn vocab(vocabulary: &Vocabulary) -> Map<String, Value> {
    vocabulary.tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect()
}

/// Pairs of tokens, the earliest merged first.
fn merges(file: &GgufFile) -> Result<Vec<Value>> {
    let key = "tokenizer.ggml.merges";
    let merges = file.texts(key)?.ok_or_else(|| file.error(format!("no `{key}`")))?;
    let pairs = merges.iter().map(|merge| match merge.split_once(' ') {
        Some((left, right)) => Ok(json!([left, right])),
        None => Err(file.error(format!("`{key}` holds `{merge}`, expected two tokens and a space between"))),
    });
    pairs.collect()
}
