//! What can go wrong below the engine, by what the caller can do about it.

use std::path::PathBuf;

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
    /// A file of a model folder is missing or says something that cannot be.
    #[error("`{}`: {reason}", path.display())]
    ModelFile {
        /// The file or folder.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// A file of chat messages says something that cannot be.
    #[error("`{}`: {reason}", path.display())]
    Messages {
        /// The file.
        path: PathBuf,
        /// What was found, where, and what was expected.
        reason: String,
    },
    /// The chat template refuses the messages, or fails on them.
    #[error("chat template: {0}")]
    ChatTemplate(String),
    /// A text has no token ids, or ids that the model lacks.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A batch breaks a promise of [`Batch`](crate::Batch); the caller has a bug or the wrong model.
    #[error("batch: {0}")]
    Batch(String),
    /// A setting that cannot be served.
    #[error("{0}")]
    Setting(String),
    /// The system does not give as many threads.
    #[error("cannot start the threads of a forward pass: {0}")]
    Threads(std::io::Error),
    /// ONNX Runtime refused or failed.
    #[error("ONNX Runtime: {0}")]
    Runtime(String),
    /// A file is not the ONNX Runtime library that is needed.
    #[error("`{}` is not a usable ONNX Runtime library: {reason}", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// No ONNX Runtime library was found and none could be installed.
    #[error("cannot install ONNX Runtime: {source} (`--ort-lib` or `ORT_DYLIB_PATH` names a library that you have)")]
    Install {
        /// Why not.
        source: Box<Error>,
    },
    /// The environment names no place for a cache.
    #[error("no cache directory: set `VERIDRAFT_CACHE` to a folder")]
    NoCacheDirectory,
    /// No Python interpreter was found to download a package with.
    #[error("no Python found (tried {tried}); install Python 3 with pip, or set `VERIDRAFT_PYTHON` to an interpreter")]
    NoPython {
        /// The commands tried.
        tried: String,
    },
    /// The Python interpreter cannot run pip.
    #[error("`{python}` has no pip; install pip for it, or set `VERIDRAFT_PYTHON` to an interpreter that has it")]
    NoPip {
        /// The command tried.
        python: String,
    },
    /// pip did not deliver a package.
    #[error("cannot download the Python package `{package}`: {reason}")]
    Download {
        /// The requirement: name==version.
        package: String,
        /// What pip said.
        reason: String,
    },
    /// A downloaded or cached file is not the one that was pinned.
    #[error("{what} has sha256 {found}, expected {expected}")]
    Digest {
        /// The file, as a person knows it.
        what: String,
        /// Of the file, in hexadecimal.
        found: String,
        /// The pinned one, in hexadecimal.
        expected: String,
    },
}

impl Error {
    /// Names the file and the action of an I/O error: `.map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A model file that says something wrong.
    pub fn model_file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::ModelFile { path: path.into(), reason: reason.into() }
    }

    /// What ONNX Runtime says of a pass.
    pub(crate) fn runtime(error: ort::Error) -> Self {
        Self::Runtime(one_line(&error))
    }
}

/// ONNX Runtime's messages may span lines; ours do not.
pub(crate) fn one_line(error: &ort::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
