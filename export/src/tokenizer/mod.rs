//! Tokenizers of every kind as the `tokenizer.json` that the Hugging Face library reads.
//!
//! ```text
//! GGUF metadata ─────────────────────────┐   ┌ byte-level BPE ───────────┐
//! tokenizer.model, spiece.model ... ─────┼───┼ SentencePiece: BPE, unigram ┼─ Document ─ tokenizer.json
//! vocab.json and merges.txt, vocab.txt ──┘   └ WordPiece ────────────────┘
//! ```
//!
//! A file holds a vocabulary and says by a name (`tokenizer.ggml.pre`, `tokenizer_class`) what is done with a text; the
//! steps behind the names are in tables here. A name that is not in them is an error and never a default: a wrong split
//! gives other tokens without any sign.

mod byte_level;
mod document;
mod folder;
mod gguf;
mod pre_tokenizers;
mod sentence_piece;
#[cfg(test)]
mod tests;
mod token_kind;
mod word_piece;

use std::path::Path;

pub(crate) use folder::of_folder;
pub(crate) use gguf::{SpecialTokens, token_count, tokenizer_config, tokenizer_json};

use crate::Result;
use crate::checkpoint::gguf::GgufFile;

/// `tokenizer.json` and, where something is known for it, `tokenizer_config.json` of `source`: names and texts.
///
/// A GGUF file may have a vocabulary alone and no weights. A Hugging Face folder's own `tokenizer.json` is taken as it
/// is; without one it is made from the vocabulary files that the model's slow tokenizer would read.
pub fn tokenizer_files(source: &Path) -> Result<Vec<(&'static str, String)>> {
    if source.is_dir() {
        return of_folder(source);
    }
    let file = GgufFile::open(source)?;
    let config = format!("{:#}\n", tokenizer_config(&file)?);
    Ok(vec![("tokenizer.json", tokenizer_json(&file)?), ("tokenizer_config.json", config)])
}
