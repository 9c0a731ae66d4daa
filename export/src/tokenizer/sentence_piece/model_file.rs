//! SentencePiece's own files (`tokenizer.model`, `spiece.model`, `source.spm`): a protocol buffer.
//!
//! The messages have the fields that decide how a text is cut; the file's other fields say how it was trained.

use std::path::Path;

use prost::Message;

use super::{Merges, Normalization, Pieces};
use crate::tokenizer::token_kind::TokenKind;
use crate::{Error, Result};

/// Far above every published model (5 MB), so that a damaged file does not ask for memory that no machine has.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Clone, PartialEq, Message)]
struct ModelMessage {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<PieceMessage>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<TrainerMessage>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<NormalizerMessage>,
    #[prost(message, optional, tag = "5")]
    denormalizer: Option<NormalizerMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct PieceMessage {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    /// By the numbers of [`TokenKind`]; 1 by itself.
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerMessage {
    /// 1 (by itself) unigram, 2 BPE, 3 words, 4 characters.
    #[prost(int32, optional, tag = "3")]
    algorithm: Option<i32>,
    #[prost(bool, optional, tag = "24")]
    puts_spaces_behind: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerMessage {
    #[prost(bytes = "vec", optional, tag = "2")]
    character_map: Option<Vec<u8>>,
    /// These three are true by themselves.
    #[prost(bool, optional, tag = "3")]
    adds_space: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    removes_extra_spaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    escapes_spaces: Option<bool>,
}

/// How a text is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tokenizer) enum Algorithm {
    Unigram,
    Bpe,
}

/// A model that was read and checked: texts differ and scores are finite.
#[derive(Debug)]
pub(in crate::tokenizer) struct ModelFile {
    pub(in crate::tokenizer) pieces: Vec<Piece>,
    pub(in crate::tokenizer) algorithm: Algorithm,
    pub(in crate::tokenizer) normalization: Normalization,
}

/// An entry of the vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tokenizer) struct Piece {
    pub(in crate::tokenizer) text: String,
    pub(in crate::tokenizer) kind: TokenKind,
    pub(in crate::tokenizer) score: f64,
}

impl ModelFile {
    /// Reads a file.
    pub(in crate::tokenizer) fn open(path: &Path) -> Result<Self> {
        let length = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
        let fail = Error::checkpoint(path);
        if length > MAX_BYTES {
            return Err(fail(format!("has {length} bytes, expected a SentencePiece model of at most {MAX_BYTES}")));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::parse(&bytes).map_err(fail)
    }

    /// Reads the bytes of a file. The error is a reason without the file's name.
    pub(in crate::tokenizer) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let model = ModelMessage::decode(bytes).map_err(|error| format!("not a SentencePiece model: {error}"))?;
        let pieces: Vec<_> =
            (0..).zip(model.pieces).map(|(id, piece)| read_piece(id, piece)).collect::<Result<_, _>>()?;
        check_different(&pieces)?;
        let trainer = model.trainer.unwrap_or_default();
        let algorithm = match trainer.algorithm.unwrap_or(1) {
            1 => Algorithm::Unigram,
            2 => Algorithm::Bpe,
            other => return Err(format!("the model type is {other}, expected 1 (unigram) or 2 (BPE)")),
        };
        if trainer.puts_spaces_behind == Some(true) {
            return Err("spaces are put behind words (`treat_whitespace_as_suffix`), expected before".to_owned());
        }
        if model.denormalizer.is_some_and(|map| !map.character_map.unwrap_or_default().is_empty()) {
            return Err(
                "texts are changed once more when they are read back, expected no `denormalizer_spec`".to_owned()
            );
        }
        Ok(Self { pieces, algorithm, normalization: normalization(model.normalizer.unwrap_or_default())? })
    }

    /// The vocabulary, with the token that stands for what cannot be written.
    pub(in crate::tokenizer) fn pieces(&self) -> Pieces<'_> {
        let unknown = self.pieces.iter().position(|piece| piece.kind == TokenKind::Unknown);
        Pieces {
            tokens: self.pieces.iter().map(|piece| piece.text.as_str()).collect(),
            kinds: self.pieces.iter().map(|piece| piece.kind).collect(),
            scores: self.pieces.iter().map(|piece| piece.score).collect(),
            unknown: unknown.and_then(|id| u32::try_from(id).ok()),
        }
    }

    /// What BPE merges; `None` for unigram. The error is a reason without the file's name.
    pub(in crate::tokenizer) fn merges(&self, pieces: &Pieces) -> Result<Option<Merges>, String> {
        match self.algorithm {
            Algorithm::Unigram => Ok(None),
            Algorithm::Bpe => Merges::by_score(pieces).map(Some),
        }
    }
}

fn read_piece(id: usize, piece: PieceMessage) -> Result<Piece, String> {
    let (text, score) = (piece.text.unwrap_or_default(), piece.score.unwrap_or(0.0));
    let number = piece.kind.unwrap_or(1);
    let kind =
        TokenKind::numbered(number.into()).ok_or_else(|| format!("piece {id} has type {number}, expected 1 to 6"))?;
    if text.is_empty() {
        return Err(format!("piece {id} is empty"));
    }
    if !score.is_finite() {
        return Err(format!("piece {id}, `{}`, has score {score}, expected a finite number", text.escape_debug()));
    }
    Ok(Piece { text, kind, score: score.into() })
}

/// Refuses a vocabulary in which two ids have one text.
pub(super) fn check_different(pieces: &[Piece]) -> Result<(), String> {
    let mut ids = std::collections::HashMap::with_capacity(pieces.len());
    for (id, Piece { text, .. }) in pieces.iter().enumerate() {
        if let Some(earlier) = ids.insert(text.as_str(), id) {
            return Err(format!("piece {id} is `{}`, as piece {earlier} is", text.escape_debug()));
        }
    }
    Ok(())
}

fn normalization(normalizer: NormalizerMessage) -> Result<Normalization, String> {
    if normalizer.escapes_spaces == Some(false) {
        return Err("spaces stay spaces (`escape_whitespaces`), expected that they become `\u{2581}`".to_owned());
    }
    Ok(Normalization {
        character_map: normalizer.character_map.unwrap_or_default(),
        adds_space: normalizer.adds_space.unwrap_or(true),
        removes_extra_spaces: normalizer.removes_extra_spaces.unwrap_or(true),
    })
}

#[cfg(test)]
mod tests;
