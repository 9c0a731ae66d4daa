//! Files of n-gram models: written whole or not at all, and opened for the tokenizer they were trained with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;
use veridraft_engine::ngram::NgramModel;
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

/// Maps a model's file and checks it, whom it was trained for included.
pub(crate) fn open(path: &Path, expected: &TokenIds) -> Result<NgramModel<MappedFile>> {
    let place = || format!("`{}`", path.display());
    let model = NgramModel::open(MappedFile::open(path)?).with_context(place)?;
    let found = TokenIds { tokenizer: model.tokenizer(), vocabulary: model.vocabulary() };
    if found.tokenizer != expected.tokenizer {
        let (found, expected) = (short(&found.tokenizer), short(&expected.tokenizer));
        bail!(
            "{} was trained with tokenizer {found}, but the model's is {expected}; train it with `-m MODEL`",
            place()
        );
    }
    if found.vocabulary != expected.vocabulary {
        let (found, expected) = (found.vocabulary, expected.vocabulary);
        bail!("{} is for a vocabulary of {found}, but the model's is {expected}; train it with `-m MODEL`", place());
    }
    Ok(model)
}

fn short(digest: &[u8; 32]) -> String {
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A place for a file beside the name it will have once it is whole. Whoever has the old file mapped keeps it.
pub(crate) struct UnfinishedFile {
    folder: TempDir,
    destination: PathBuf,
}

impl UnfinishedFile {
    /// Makes sure that a file can be written there.
    pub(crate) fn beside(destination: &Path) -> Result<Self> {
        if destination.is_dir() {
            bail!("`{}` is a folder, expected a file to write", destination.display());
        }
        let parent = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => ".".as_ref(),
        };
        let folder = tempfile::Builder::new().prefix(".veridraft-ngram-").tempdir_in(parent);
        let folder = folder.with_context(|| format!("cannot write in `{}`", parent.display()))?;
        Ok(Self { folder, destination: destination.to_owned() })
    }

    /// Writes the file and gives it its name.
    pub(crate) fn finish(self, bytes: &[u8]) -> Result<()> {
        let unfinished = self.folder.path().join("file");
        fs::write(&unfinished, bytes)
            .and_then(|()| fs::rename(&unfinished, &self.destination))
            .map_err(|error| anyhow!("cannot write `{}`: {error}", self.destination.display()))
    }
}

#[cfg(test)]
mod tests {
    use veridraft_engine::ngram::{NgramConfig, train};

    use super::*;

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
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "nothing unfinished is left");
        let model = open(&path, &IDS).expect("the model is whole");
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
        write(&path, b"");
        check(&path, IDS, "`FILE`: not an n-gram model: it does not start with `VDNGRAM`");
        let whole = trained();
        write(&path, &whole[..whole.len() - 8]);
        check(&path, IDS, "`FILE`: not an n-gram model: ");
        assert!(UnfinishedFile::beside(folder.path()).is_err());
        assert!(UnfinishedFile::beside(&folder.path().join("absent/model.ngram")).is_err());
    }
}
