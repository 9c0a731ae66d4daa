//! SentencePiece models whose pieces have other ids than their places in the file.

use std::collections::HashMap;

use super::model_file::{ModelFile, Piece};
use crate::tokenizer::token_kind::TokenKind;

/// Never the best: one such piece costs more than any text of known characters. Pieces that a vocabulary has for the other
/// side of a translation are texts, but none that this model would cut.
const UNREACHABLE: f64 = -1e6;

impl ModelFile {
    /// As the fairseq library numbers pieces: `<s>`, `<pad>`, `</s>`, `<unk>`, the pieces of text, `<mask>`. The error is
    /// a reason without the file's name.
    pub(in crate::tokenizer) fn numbered_as_in_fairseq(self) -> Result<Self, String> {
        const FIRST: [&str; 3] = ["<unk>", "<s>", "</s>"];
        let found: Vec<_> = self.pieces.iter().take(FIRST.len()).map(|piece| piece.text.as_str()).collect();
        if found != FIRST {
            return Err(format!("begins with the pieces {found:?}, expected {FIRST:?}"));
        }
        let special = |text: &str, kind| Piece { text: text.to_owned(), kind, score: 0.0 };
        let start = [("<s>", TokenKind::Control), ("<pad>", TokenKind::Control), ("</s>", TokenKind::Control)];
        let start = start.into_iter().chain([("<unk>", TokenKind::Unknown)]).map(|(text, kind)| special(text, kind));
        let text = self.pieces.into_iter().skip(FIRST.len());
        let pieces: Vec<_> = start.chain(text).chain([special("<mask>", TokenKind::Control)]).collect();
        super::model_file::check_different(&pieces)?;
        Ok(Self { pieces, ..self })
    }

    /// With the ids of a list, which has every piece of text and may have more. The error is a reason without the
    /// file's name.
    pub(in crate::tokenizer) fn numbered_by(self, ids: &HashMap<String, u32>) -> Result<Self, String> {
        let is_text =
            |piece: &&Piece| matches!(piece.kind, TokenKind::Normal | TokenKind::UserDefined | TokenKind::Byte);
        if let Some(piece) = self.pieces.iter().filter(is_text).find(|piece| !ids.contains_key(&piece.text)) {
            return Err(format!("the piece `{}` has no id in the list of them", piece.text.escape_debug()));
        }
        let mut own: HashMap<String, Piece> =
            self.pieces.into_iter().map(|piece| (piece.text.clone(), piece)).collect();
        let mut listed: Vec<_> = ids.iter().collect();
        listed.sort_by_key(|(_, id)| **id);
        let mut pieces = Vec::with_capacity(listed.len());
        for (text, &id) in listed {
            if id as usize != pieces.len() {
                return Err(format!("no piece has id {}, but `{}` has {id}", pieces.len(), text.escape_debug()));
            }
            let other = || Piece { text: text.clone(), kind: TokenKind::Normal, score: UNREACHABLE };
            pieces.push(own.remove(text).unwrap_or_else(other));
        }
        Ok(Self { pieces, ..self })
    }
}
