//! The error of a setting that cannot be: which one, what was found and what was expected.

use std::fmt::Display;

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}, but must be {expected}")]
pub struct InvalidSetting {
    /// The setting's name as the user writes it in a request.
    pub field: &'static str,
    /// The value found.
    pub found: String,
    /// The values that would do.
    pub expected: &'static str,
}

impl InvalidSetting {
    /// Fails with this error unless `valid`.
    pub(crate) fn unless(
        valid: bool,
        field: &'static str,
        found: impl Display,
        expected: &'static str,
    ) -> Result<(), Self> {
        if valid { Ok(()) } else { Err(Self { field, found: found.to_string(), expected }) }
    }
}
