//! The tokenizer inside a GGUF file.

mod configuration;
mod special_tokens;
mod vocabulary;

pub(crate) use configuration::tokenizer_config;
pub(crate) use special_tokens::SpecialTokens;

use serde_json::Value;

use super::document::{AddedToken, Document, Frame, Second};
use super::pre_tokenizers::PreTokenizer;
use super::sentence_piece::{Merges, Normalization, Pieces};
use super::token_kind::TokenKind;
use super::{byte_level, sentence_piece, word_piece};
use crate::checkpoint::gguf::GgufFile;
use crate::{Error, Result};
use vocabulary::Vocabulary;

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";

/// Values of [`MODEL`]: byte-level BPE, SentencePiece BPE, SentencePiece unigram, WordPiece, and SentencePiece BPE with a
/// list of merges.
const KNOWN: [&str; 5] = ["gpt2", "llama", "t5", "bert", "gemma4"];

/// The file's tokens.
pub(crate) fn token_count(file: &GgufFile) -> Result<usize> {
    Ok(Vocabulary::read(file)?.tokens.len())
}

/// The text of `tokenizer.json`, loaded once to see that it is one.
pub(crate) fn tokenizer_json(file: &GgufFile) -> Result<String> {
    let reader = Reader { file, vocabulary: Vocabulary::read(file)?, special: SpecialTokens::read(file)? };
    let document = match file.text(MODEL)? {
        Some("gpt2") => reader.byte_level(),
        Some("llama") => reader.sentence_piece_bpe(),
        Some("t5") => reader.unigram(),
        Some("bert") => reader.word_piece(),
        Some("gemma4") => reader.listed_merges(),
        other => Err(unknown(file, MODEL, other, KNOWN.to_vec())),
    }?;
    document.into_text().map_err(|reason| file.error(reason))
}

fn unknown(file: &GgufFile, key: &'static str, found: Option<&str>, known: Vec<&'static str>) -> Error {
    let found = found.unwrap_or("missing").to_owned();
    Error::UnknownTokenizer { path: file.path().to_owned(), key, found, known }
}

struct Reader<'a> {
    file: &'a GgufFile,
    vocabulary: Vocabulary<'a>,
    special: SpecialTokens,
}

impl Reader<'_> {
    fn byte_level(&self) -> Result<Document> {
        let name = self.file.text(PRE)?;
        let known = name.and_then(PreTokenizer::named);
        let pre_tokenizer = known.ok_or_else(|| unknown(self.file, PRE, name, PreTokenizer::names()))?;
        let vocab = byte_level::vocab(&self.vocabulary.tokens);
        Ok(Document {
            steps: byte_level::steps(pre_tokenizer, vocab, self.merges()?),
            added: self.added_tokens(false),
            frame: self.frame(pre_tokenizer.adds_bos, pre_tokenizer.adds_end, Second::Alike)?,
        })
    }

    fn sentence_piece_bpe(&self) -> Result<Document> {
        let pieces = self.pieces()?;
        let merges = Merges::by_score(&pieces).map_err(|reason| self.file.error(reason))?;
        self.pieces_document(&pieces, Some(merges), true, false)
    }

    fn listed_merges(&self) -> Result<Document> {
        let merges = Merges::listed(self.merges()?);
        self.pieces_document(&self.pieces()?, Some(merges), true, false)
    }

    fn unigram(&self) -> Result<Document> {
        self.pieces_document(&self.pieces()?, None, false, true)
    }

    fn pieces_document(
        &self,
        pieces: &Pieces,
        merges: Option<Merges>,
        adds_bos: bool,
        adds_end: bool,
    ) -> Result<Document> {
        let normalization = self.normalization()?;
        let mut added = self.added_tokens(normalization.keeps_user_defined());
        self.take_spaces_of_phi_3(&mut added)?;
        let steps = sentence_piece::steps(pieces, merges, normalization).map_err(|reason| self.file.error(reason))?;
        Ok(Document { steps, added, frame: self.frame(adds_bos, adds_end, Second::Alike)? })
    }

    /// Tokens that begin a word are marked in these files, instead of those that continue one; control tokens neither.
    fn word_piece(&self) -> Result<Document> {
        let spelled = self.vocabulary.tokens.iter().zip(&self.vocabulary.kinds).map(|(token, kind)| {
            match (kind, token.strip_prefix(sentence_piece::SPACE)) {
                (TokenKind::Normal, Some(word)) => word.to_owned(),
                (TokenKind::Normal, None) => format!("{}{token}", word_piece::CONTINUATION),
                _ => (*token).to_owned(),
            }
        });
        let spelled: Vec<_> = spelled.collect();
        let spelled: Vec<_> = spelled.iter().map(String::as_str).collect();
        let unknown = self.special.unknown.ok_or_else(|| self.file.error("no `tokenizer.ggml.unknown_token_id`"))?;
        let options = word_piece::Options {
            // The files' own reader has known lower case alone for long, so a file that is silent means that.
            lowercase: self.file.boolean("tokenizer.ggml.normalizer.lowercase")?.unwrap_or(true),
            strips_accents: self.file.boolean("tokenizer.ggml.normalizer.strip_accents")?,
            parts_chinese: true,
        };
        Ok(Document {
            steps: word_piece::steps(byte_level::vocab(&spelled), self.token(unknown), options),
            added: self.added_tokens(false),
            frame: self.frame(true, true, Second::Joined)?,
        })
    }

    fn pieces(&self) -> Result<Pieces<'_>> {
        let key = "tokenizer.ggml.scores";
        let scores = self.file.numbers(key)?.ok_or_else(|| self.file.error(format!("no `{key}`")))?;
        let Vocabulary { tokens, kinds } = &self.vocabulary;
        if scores.len() != tokens.len() {
            let (found, expected) = (scores.len(), tokens.len());
            return Err(self.file.error(format!("`{key}` has {found} entries, expected {expected}")));
        }
        if !scores.iter().all(|score| score.is_finite()) {
            return Err(self.file.error(format!("`{key}` holds a number that is not finite")));
        }
        Ok(Pieces { tokens: tokens.clone(), kinds: kinds.clone(), scores, unknown: self.special.unknown })
    }

    fn normalization(&self) -> Result<Normalization> {
        let flag = |key: &str, default| Ok::<_, Error>(self.file.boolean(key)?.unwrap_or(default));
        Ok(Normalization {
            character_map: self.file.bytes("tokenizer.ggml.precompiled_charsmap")?.unwrap_or_default(),
            adds_space: flag("tokenizer.ggml.add_space_prefix", true)?,
            removes_extra_spaces: flag("tokenizer.ggml.remove_extra_whitespaces", false)?,
        })
    }

    /// Pairs of tokens, the earliest merged first.
    fn merges(&self) -> Result<Vec<Value>> {
        let key = "tokenizer.ggml.merges";
        let merges = self.file.texts(key)?.ok_or_else(|| self.file.error(format!("no `{key}`")))?;
        let pairs = merges.iter().map(|line| byte_level::merge(line));
        pairs.map(|pair| pair.map_err(|reason| self.file.error(format!("`{key}` {reason}")))).collect()
    }

    fn added_tokens(&self, normalizes_user_defined: bool) -> Vec<AddedToken> {
        AddedToken::of_kinds(&self.vocabulary.tokens, &self.vocabulary.kinds, normalizes_user_defined)
    }

    /// Phi-3's tokens for turns take the spaces and line breaks behind them, which its chat template writes and the model
    /// never saw. The file has no word for that.
    fn take_spaces_of_phi_3(&self, added: &mut [AddedToken]) -> Result<()> {
        if self.file.text("general.architecture")? == Some("phi3") {
            let keeps = |token: &AddedToken| ["<unk>", "<s>", "<|endoftext|>"].contains(&token.content.as_str());
            added.iter_mut().filter(|token| !keeps(token)).for_each(|token| token.rstrip = true);
        }
        Ok(())
    }

    fn token(&self, id: u32) -> &str {
        self.vocabulary.tokens[id as usize]
    }

    /// The tokens around a text: what the file says, else as the arguments say.
    fn frame(&self, adds_bos: bool, adds_end: bool, second: Second) -> Result<Frame> {
        let flag = |key: &str| self.file.boolean(key);
        let before = flag("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
        let end = flag("tokenizer.ggml.add_eos_token")?.unwrap_or(adds_end);
        let SpecialTokens { bos, eos, class, separator, .. } = self.special;
        let frame = |wanted: bool, token: Option<u32>, key: &str| match token {
            _ if !wanted => Ok(None),
            Some(id) => Ok(Some((id, self.token(id).to_owned()))),
            None => Err(self.file.error(format!("texts get a token that `{key}` should name, but it is missing"))),
        };
        Ok(Frame {
            before: frame(before, bos.or(class), "tokenizer.ggml.bos_token_id")?,
            after: frame(end, eos.or(separator), "tokenizer.ggml.eos_token_id")?,
            second,
        })
    }
}
