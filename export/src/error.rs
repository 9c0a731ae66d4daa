//! What can go wrong between a checkpoint and a model folder, by what the caller can do about it.

use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Messages are one line: what, where, found, expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried: "read", "create" ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A checkpoint's file is damaged, incomplete, or says something that cannot be exported.
    #[error("`{}`: {reason}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// The checkpoint is of a model that has no graph here.
    #[error("`{}`: architecture `{found}` is unknown, expected one of {}", path.display(), known.join(", "))]
    UnknownArchitecture {
        /// The file that names it.
        path: PathBuf,
        /// Its name.
        found: String,
        /// The names that this kind of file may have.
        known: &'static [&'static str],
    },
    /// The GGUF file's tokenizer cannot be rebuilt here.
    #[error("`{}`: `{key}` is `{found}`, expected one of {}", path.display(), known.join(", "))]
    UnknownTokenizer {
        /// The file.
        path: PathBuf,
        /// The metadata key that names the tokenizer, or a part of it.
        key: &'static str,
        /// Its value.
        found: String,
        /// The values that are known.
        known: Vec<&'static str>,
    },
    /// The crate below refused.
    #[error(transparent)]
    Models(#[from] veridraft_models::Error),
}

impl Error {
    /// Names the file and the action of an I/O error: `.map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Names the file of a reason: `.map_err(Error::checkpoint(path))`.
    pub(crate) fn checkpoint(path: &Path) -> impl Fn(String) -> Self + use<> {
        let path = path.to_owned();
        move |reason| Self::Checkpoint { path: path.clone(), reason }
    }
}
