//! Files of n-gram models: opened for the tokenizer they were trained with.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use veridraft_engine::ngram::{MAGIC, NgramModel};
use veridraft_export::MappedFile;
use veridraft_models::ModelFolder;
use veridraft_models::cache::sha256_of;

/// What token ids mean: the tokenizer that made them and the vocabulary they index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenIds {
    /// SHA-256 of the folder's `tokenizer.json`.
    pub(crate) tokenizer: [u8; 32],
    /// Tokens of the model, which may have more than its tokenizer.
    pub(crate) vocabulary: usize,
}

impl TokenIds {
    /// The token ids of a model folder.
    pub(crate) fn of(folder: &ModelFolder) -> Result<Self> {
        let digest = sha256_of(&folder.path.join("tokenizer.json"))?;
        let mut tokenizer = [0; 32];
        for (byte, digits) in tokenizer.iter_mut().zip(digest.as_bytes().chunks(2)) {
            let digits = str::from_utf8(digits).expect("a digest is in hexadecimal");
            *byte = u8::from_str_radix(digits, 16).expect("a digest is in hexadecimal");
        }
        Ok(Self { tokenizer, vocabulary: folder.config.vocab_size })
    }
}

/// Whether a file says of itself that it is an n-gram model. What cannot be read is none.
pub(crate) fn is_ngram(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == MAGIC
}

/// Maps a model's file and checks it, whom it was trained for included.
pub(crate) fn open(path: &Path, expected: &TokenIds) -> Result<NgramModel<MappedFile>> {
    let model = open_any(path)?;
    check_ids(path, &model, expected)?;
    Ok(model)
}

/// Maps a model's file and checks it, whomever it was trained for.
pub(crate) fn open_any(path: &Path) -> Result<NgramModel<MappedFile>> {
    NgramModel::open(MappedFile::open(path)?).with_context(|| format!("`{}`", path.display()))
}

/// Refuses a model that was trained for other token ids.
pub(crate) fn check_ids(path: &Path, model: &NgramModel<MappedFile>, expected: &TokenIds) -> Result<()> {
    let place = path.display();
    let found = TokenIds { tokenizer: model.tokenizer(), vocabulary: model.vocabulary() };
    if found.tokenizer != expected.tokenizer {
        let (found, expected) = (short(&found.tokenizer), short(&expected.tokenizer));
        bail!("`{place}` was trained with tokenizer {found}, but the model's is {expected}; train it with `-m MODEL`");
    }
    if found.vocabulary != expected.vocabulary {
        let (found, expected) = (found.vocabulary, expected.vocabulary);
        bail!("`{place}` is for a vocabulary of {found}, but the model's is {expected}; train it with `-m MODEL`");
    }
    Ok(())
}

fn short(digest: &[u8; 32]) -> String {
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use veridraft_engine::ngram::{NgramConfig, train};

    use super::*;
    use crate::unfinished_file::UnfinishedFile;

    const IDS: TokenIds = TokenIds { tokenizer: [0xab; 32], vocabulary: 100 };

    fn write(path: &Path, bytes: &[u8]) {
        UnfinishedFile::beside(path).and_then(|file| file.finish(bytes)).expect("written");
    }

    fn trained() -> Vec<u8> {
        let config = NgramConfig { order: 3, vocabulary: IDS.vocabulary, tokenizer: IDS.tokenizer };
        train(&[[1, 2, 3, 1, 2, 3]], &config).expect("the text is sound").bytes().to_vec()
    }

    fn check(path: &Path, expected: TokenIds, start: &str) {
        let error = open(path, &expected).expect_err(start);
        let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
        let message = chain.join(": ").replace(&path.display().to_string(), "FILE");
        assert!(message.starts_with(start), "{message}");
    }

    #[test]
    fn a_written_model_is_opened_for_its_own_token_ids() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.ngram");
        write(&path, b"older");
        write(&path, &trained());
        let model = open(&path, &IDS).expect("the model is whole");
        assert!(is_ngram(&path) && !is_ngram(folder.path()));
        assert_eq!(model.successors(&[1, 2], 1)[0].0, 3);
        check(
            &path,
            TokenIds { tokenizer: [1; 32], ..IDS },
            "`FILE` was trained with tokenizer abababab, but the model's is 0101",
        );
        check(&path, TokenIds { vocabulary: 99, ..IDS }, "`FILE` is for a vocabulary of 100, but the model's is 99");
    }

    #[test]
    fn a_broken_file_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.ngram");
        check(&path, IDS, "cannot open `FILE`: ");
        assert!(!is_ngram(&path));
        write(&path, b"");
        assert!(!is_ngram(&path));
        check(&path, IDS, "`FILE`: not an n-gram model: it does not start with `VDNGRAM`");
        let whole = trained();
        write(&path, &whole[..whole.len() - 8]);
        check(&path, IDS, "`FILE`: not an n-gram model: ");
    }
}
