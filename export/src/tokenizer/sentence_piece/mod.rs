//! SentencePiece (Kudo and Richardson 2018): text as one string, spaces included, in pieces of a vocabulary with scores.
//!
//! BPE (`Merges`) joins neighbours whose concatenation is a piece, the best score first; unigram (Kudo 2018) takes the
//! pieces with the greatest sum of scores. Both write a character without a piece as its bytes, where the vocabulary has
//! bytes, and else as the unknown token.

mod base64;
mod character_map;
mod merges;
pub(super) mod model_file;
mod numbering;

use serde_json::{Value, json};

pub(super) use merges::Merges;

use super::byte_level::vocab;
use super::document::Steps;
use super::token_kind::TokenKind;

/// Stands for a space in pieces.
pub(super) const SPACE: &str = "\u{2581}";

/// A vocabulary by id.
pub(super) struct Pieces<'a> {
    pub(super) tokens: Vec<&'a str>,
    pub(super) kinds: Vec<TokenKind>,
    /// Finite numbers.
    pub(super) scores: Vec<f64>,
    /// Stands for what cannot be written.
    pub(super) unknown: Option<u32>,
}

/// What becomes of a text before it is cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Normalization {
    /// SentencePiece's compiled map from strings to strings; empty for none.
    pub(super) character_map: Vec<u8>,
    /// A space is put before the text.
    pub(super) adds_space: bool,
    /// Spaces at both ends go, and runs of them become one.
    pub(super) removes_extra_spaces: bool,
}

impl Normalization {
    /// Whether tokens that the vocabulary's author defined can be normalised as texts are, and found there. Where a space
    /// is put before every text, it would be put before the token too.
    pub(super) fn keeps_user_defined(&self) -> bool {
        !self.adds_space
    }

    fn to_json(&self) -> Result<Value, String> {
        let replace =
            |pattern: Value, content: &str| json!({ "type": "Replace", "pattern": pattern, "content": content });
        let mut steps = Vec::new();
        if !self.character_map.is_empty() {
            character_map::check(&self.character_map)?;
            steps.push(json!({ "type": "Precompiled", "precompiled_charsmap": base64::encode(&self.character_map) }));
        }
        if self.removes_extra_spaces {
            steps.push(replace(json!({ "Regex": "^ +| +$" }), ""));
            steps.push(replace(json!({ "Regex": " {2,}" }), " "));
        }
        if self.adds_space {
            steps.push(json!({ "type": "Prepend", "prepend": SPACE }));
        }
        steps.push(replace(json!({ "String": " " }), SPACE));
        Ok(if steps.len() == 1 { steps.remove(0) } else { json!({ "type": "Sequence", "normalizers": steps }) })
    }
}

/// The steps for pieces with merges, or for unigram pieces without. The error is a reason without the file's name.
pub(super) fn steps(pieces: &Pieces, merges: Option<Merges>, normalization: Normalization) -> Result<Steps, String> {
    let has_bytes = pieces.kinds.contains(&TokenKind::Byte);
    let (model, pre_tokenizer) = match merges {
        Some(merges) => (bpe(pieces, merges, has_bytes), Value::Null),
        None => (unigram(pieces, has_bytes)?, words(pieces)),
    };
    Ok(Steps {
        normalizer: normalization.to_json()?,
        pre_tokenizer,
        decoder: decoder(normalization.adds_space, has_bytes),
        model,
    })
}

fn bpe(pieces: &Pieces, merges: Merges, has_bytes: bool) -> Value {
    json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": pieces.unknown.map(|id| pieces.tokens[id as usize]),
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": true,
        "byte_fallback": has_bytes,
        "ignore_merges": false,
        "vocab": vocab(&pieces.tokens),
        "merges": merges.into_json(),
    })
}

fn unigram(pieces: &Pieces, has_bytes: bool) -> Result<Value, String> {
    let unknown = pieces.unknown.ok_or("no token stands for what cannot be written")?;
    let scored: Vec<_> = pieces.tokens.iter().zip(&pieces.scores).map(|(token, score)| json!([token, score])).collect();
    Ok(json!({ "type": "Unigram", "unk_id": unknown, "vocab": scored, "byte_fallback": has_bytes }))
}

/// Cuts before every space, which changes nothing where no piece has one behind its start, and then saves time: the
/// library remembers the pieces of words.
fn words(pieces: &Pieces) -> Value {
    let crosses = |token: &&str| token.chars().skip(1).any(|character| SPACE.starts_with(character));
    if pieces.tokens.iter().any(crosses) {
        return Value::Null;
    }
    json!({ "type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": true })
}

fn decoder(adds_space: bool, has_bytes: bool) -> Value {
    let mut steps = vec![json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " })];
    if has_bytes {
        steps.push(json!({ "type": "ByteFallback" }));
    }
    steps.push(json!({ "type": "Fuse" }));
    if adds_space {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}
