//! The merges of SentencePiece BPE.
//!
//! Such a vocabulary has scores and no list of merges: two neighbours merge when their concatenation is a token, the
//! token with the highest score first. As a list of merges that is every split of every token into two tokens, sorted
//! by the token's score.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::Pieces;
use crate::tokenizer::token_kind::TokenKind;

/// Tokens are cut at every place to find their merges, which takes time with the square of their length.
const MAX_TOKEN_BYTES: usize = 1024;

/// Pairs of tokens, the first to merge first.
pub(in crate::tokenizer) struct Merges(Vec<Value>);

/// Two tokens that may merge.
struct Merge<'a> {
    left: &'a str,
    right: &'a str,
    /// Sorted by this, downwards.
    score: f64,
    /// And then by these ids, upwards.
    ids: (u32, u32),
}

impl Merges {
    /// Pairs as a file lists them.
    pub(in crate::tokenizer) fn listed(pairs: Vec<Value>) -> Self {
        Self(pairs)
    }

    /// All merges that scores imply. Only pieces of text merge: control tokens and bytes are never spelled out.
    pub(in crate::tokenizer) fn by_score(pieces: &Pieces) -> Result<Self, String> {
        let is_text = |kind: &TokenKind| *kind == TokenKind::Normal;
        let ids = (0..).zip(pieces.tokens.iter().zip(&pieces.kinds));
        let ids: HashMap<&str, u32> =
            ids.filter(|(_, (_, kind))| is_text(kind)).map(|(id, (token, _))| (*token, id)).collect();
        let mut merges = Vec::new();
        for ((token, kind), &score) in pieces.tokens.iter().zip(&pieces.kinds).zip(&pieces.scores) {
            if !is_text(kind) {
                continue;
            }
            if token.len() > MAX_TOKEN_BYTES {
                return Err(format!("a token has {} bytes, expected at most {MAX_TOKEN_BYTES}", token.len()));
            }
            for (place, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(place);
                if let (Some(&left_id), Some(&right_id)) = (ids.get(left), ids.get(right)) {
                    merges.push(Merge { left, right, score, ids: (left_id, right_id) });
                }
            }
        }
        merges.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.ids.cmp(&b.ids)));
        Ok(Self(merges.iter().map(|merge| json!([merge.left, merge.right])).collect()))
    }

    pub(super) fn into_json(self) -> Value {
        Value::Array(self.0)
    }
}
