//! The mark of a mistake in the command line: exit status 2 instead of 1.

/// An error in what the user typed. `main` looks for it with `anyhow::Error::downcast_ref`.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl UsageError {
    /// One line: what was found and what was expected.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}
