//! SentencePiece BPE with byte fallback (Kudo and Richardson 2018), which GGUF files call `llama`.
//!
//! Such a vocabulary has scores and no list of merges: two neighbours merge when their concatenation is a token, the
//! token with the highest score first. As a list of merges that is every split of every token into two tokens, sorted
//! by the token's score.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::byte_level::vocab;
use super::vocabulary::{TokenKind, Vocabulary};
use super::{Parts, SpecialTokens};
use crate::Result;
use crate::checkpoint::gguf::GgufFile;

/// The value of `tokenizer.ggml.model`.
pub(super) const NAME: &str = "llama";

/// Stands for a space in tokens.
const SPACE: &str = "\u{2581}";

/// Tokens are cut at every place to find their merges, which takes time with the square of their length.
const MAX_TOKEN_BYTES: usize = 1024;

pub(super) fn parts(file: &GgufFile, vocabulary: &Vocabulary, special: &SpecialTokens) -> Result<Parts> {
    if file.boolean("tokenizer.ggml.remove_extra_whitespaces")? == Some(true) {
        return Err(file.error("`tokenizer.ggml.remove_extra_whitespaces` is true, expected false"));
    }
    let adds_space = file.boolean("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let unknown = special.unknown.map(|id| vocabulary.tokens[id as usize]);
    Ok(Parts {
        normalizer: normalizer(adds_space),
        pre_tokenizer: Value::Null,
        decoder: decoder(adds_space),
        model: json!({
            "type": "BPE",
            "dropout": null,
            "unk_token": unknown,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": true,
            "ignore_merges": false,
            "vocab": vocab(vocabulary),
            "merges": merges(vocabulary, &scores(file, vocabulary)?).map_err(|reason| file.error(reason))?,
        }),
        adds_bos: true,
    })
}

fn normalizer(adds_space: bool) -> Value {
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
    if adds_space {
        json!({ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": SPACE }, replace] })
    } else {
        replace
    }
}

fn decoder(adds_space: bool) -> Value {
    let mut steps = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if adds_space {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}

fn scores(file: &GgufFile, vocabulary: &Vocabulary) -> Result<Vec<f64>> {
    let key = "tokenizer.ggml.scores";
    let scores = file.numbers(key)?.ok_or_else(|| file.error(format!("no `{key}`")))?;
    match (scores.len(), vocabulary.tokens.len()) {
        (found, expected) if found != expected => {
            Err(file.error(format!("`{key}` has {found} entries, expected {expected}")))
        }
        _ if scores.iter().any(|score| score.is_nan()) => Err(file.error(format!("`{key}` holds a NaN"))),
        _ => Ok(scores),
    }
}

/// Two tokens that may merge.
struct Merge<'a> {
    left: &'a str,
    right: &'a str,
    /// Sorted by this, downwards.
    score: f64,
    /// And then by these ids, upwards.
    ids: (u32, u32),
}

/// All merges, the first to do first. Only pieces of text merge: control tokens and bytes are never spelled out.
fn merges(vocabulary: &Vocabulary, scores: &[f64]) -> Result<Vec<Value>, String> {
    let normal = |piece: &str| {
        let id = vocabulary.ids.get(piece).copied()?;
        (vocabulary.kinds[id as usize] == TokenKind::Normal).then_some(id)
    };
    let mut merges = Vec::new();
    for ((token, kind), &score) in vocabulary.tokens.iter().zip(&vocabulary.kinds).zip(scores) {
        if *kind != TokenKind::Normal {
            continue;
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(format!("a token has {} bytes, expected at most {MAX_TOKEN_BYTES}", token.len()));
        }
        for (place, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(place);
            if let (Some(left_id), Some(right_id)) = (normal(left), normal(right)) {
                merges.push(Merge { left, right, score, ids: (left_id, right_id) });
            }
        }
    }
    merges.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.ids.cmp(&b.ids)));
    Ok(merges.iter().map(|merge| json!([merge.left, merge.right])).collect())
}
