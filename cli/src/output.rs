//! Lines on standard output, where it may be closed or full.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Writes a line. A reader that has gone away wanted no more, so that is no error.
pub(crate) fn line(text: impl Display) -> Result<()> {
    piece(format_args!("{text}\n")).map(drop)
}

/// Writes text at once; `false` when the reader has gone away.
pub(crate) fn piece(text: impl Display) -> Result<bool> {
    let mut output = std::io::stdout().lock();
    match write!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        outcome => outcome.map(|()| true).context("cannot write to standard output"),
    }
}
