//! The tokenizer of a Hugging Face folder: `tokenizer.json` as it is, or made from the files that the model's slow
//! tokenizer reads: a SentencePiece model, or a vocabulary as text with or without merges.
//!
//! What is done with these files stands in no file but in the code of the class that `tokenizer_class` names; `class` has
//! those classes as a table.

mod added_tokens;
mod class;
mod settings;
#[cfg(test)]
mod tests;
mod vocabulary_files;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::document::{AddedToken, Document, Frame, Second, Steps, load};
use super::pre_tokenizers::PreTokenizer;
use super::sentence_piece::model_file::ModelFile;
use super::{byte_level, sentence_piece, word_piece};
use crate::{Error, Result};
use class::{FrameRule, Kind, Numbering};
use settings::Settings;
use vocabulary_files::{Ids, read_ids, read_lines, read_merges};

/// Names and texts.
type Files = Vec<(&'static str, String)>;

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";

/// `tokenizer.json` and, where there is something to say, `tokenizer_config.json`.
pub(crate) fn of_folder(folder: &Path) -> Result<Files> {
    if folder.join(TOKENIZER).exists() { copied(folder) } else { made(folder) }
}

/// The files as they are; `tokenizer.json` is loaded once, so that a broken one is found early.
fn copied(folder: &Path) -> Result<Files> {
    let names = [TOKENIZER, CONFIG].into_iter().filter(|name| folder.join(name).exists());
    let files = names.map(|name| {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        if name == TOKENIZER {
            load(&text).map_err(Error::checkpoint(&path))?;
        }
        Ok((name, text))
    });
    files.collect()
}

fn made(folder: &Path) -> Result<Files> {
    let settings = Settings::read(folder)?;
    let vocabulary = Vocabulary::read(folder, &settings)?;
    let added = added_tokens::read(&settings, &vocabulary)?;
    let frame = frame(&settings, &added)?;
    let document = Document { steps: vocabulary.steps, added, frame };
    let text = document.into_text().map_err(Error::checkpoint(folder))?;
    Ok(vec![(TOKENIZER, text), (CONFIG, format!("{:#}\n", settings.config()?))])
}

/// What a class's vocabulary files say.
struct Vocabulary {
    ids: Ids,
    steps: Steps,
    /// Tokens that the vocabulary itself has found whole, beside those that the folder adds.
    whole: Vec<AddedToken>,
    /// Whether added tokens that are text can be normalised as texts are.
    normalizes_added: bool,
}

impl Vocabulary {
    fn read(folder: &Path, settings: &Settings) -> Result<Self> {
        let of_texts = |ids: Ids, steps| Self { ids, steps, whole: Vec::new(), normalizes_added: true };
        match &settings.class.kind {
            Kind::WordPiece => {
                let ids = read_lines(&folder.join("vocab.txt"))?;
                let unknown = settings.named("unk_token")?.unwrap_or("[UNK]");
                let steps = word_piece::steps(vocab(&ids), unknown, settings.word_piece_options()?);
                Ok(of_texts(ids, steps))
            }
            Kind::ByteLevel(name) => {
                let ids = read_ids(&folder.join("vocab.json"))?;
                let merges = read_merges(&folder.join("merges.txt"))?;
                let pre_tokenizer = PreTokenizer::named(name).expect("classes name entries of the table");
                let steps = byte_level::steps(pre_tokenizer, vocab(&ids), merges);
                Ok(of_texts(ids, steps))
            }
            Kind::SentencePiece { file, numbering } => Self::sentence_piece(folder, file, *numbering),
        }
    }

    fn sentence_piece(folder: &Path, file: &str, numbering: Numbering) -> Result<Self> {
        let path = folder.join(file);
        let fail = Error::checkpoint(&path);
        let model = ModelFile::open(&path)?;
        let model = match numbering {
            Numbering::Own => model,
            Numbering::Fairseq => model.numbered_as_in_fairseq().map_err(&fail)?,
            Numbering::Listed(list) => model.numbered_by(&read_ids(&folder.join(list))?).map_err(&fail)?,
        };
        let pieces = model.pieces();
        let merges = model.merges(&pieces).map_err(&fail)?;
        let steps = sentence_piece::steps(&pieces, merges, model.normalization.clone()).map_err(&fail)?;
        let ids = (0..).zip(&pieces.tokens).map(|(id, token)| ((*token).to_owned(), id)).collect();
        let normalizes_added = model.normalization.keeps_user_defined();
        let whole = AddedToken::of_kinds(&pieces.tokens, &pieces.kinds, normalizes_added);
        Ok(Self { ids, steps, whole, normalizes_added })
    }
}

/// The `vocab` of a model in `tokenizer.json`, in the order of ids.
fn vocab(ids: &Ids) -> Map<String, Value> {
    let mut sorted: Vec<_> = ids.iter().collect();
    sorted.sort_by_key(|(_, id)| **id);
    sorted.into_iter().map(|(token, id)| (token.clone(), json!(id))).collect()
}

fn frame(settings: &Settings, added: &[AddedToken]) -> Result<Frame> {
    let token = |name: &str| {
        let text = settings.named(name)?;
        let text = text.ok_or_else(|| settings.error(format!("texts get the `{name}`, but the folder has none")))?;
        let token = added.iter().find(|token| token.content == text).expect("special tokens are added");
        Ok::<_, Error>((token.id, text.to_owned()))
    };
    let side = |name: Option<&str>| name.map(token).transpose();
    match settings.class.frame {
        FrameRule::Always { before, after, second } => Ok(Frame { before: side(before)?, after: side(after)?, second }),
        FrameRule::Asked { adds_bos, adds_eos } => {
            let before = settings.flag("add_bos_token")?.unwrap_or(adds_bos).then_some("bos_token");
            let after = settings.flag("add_eos_token")?.unwrap_or(adds_eos).then_some("eos_token");
            Ok(Frame { before: side(before)?, after: side(after)?, second: Second::Alike })
        }
    }
}
