//! Arguments that a kernel refuses.

use std::fmt;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with the arguments, in one line: what, found, expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Fails with `message` unless `valid`.
    pub(crate) fn unless(valid: bool, message: impl FnOnce() -> String) -> Result<()> {
        if valid { Ok(()) } else { Err(Self(message())) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
