//! The lines of a file, numbered, one at a time.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The first is 1.
    pub(crate) number: usize,
    /// Without the line break.
    pub(crate) bytes: Vec<u8>,
}

impl Line {
    /// The line as text; the error goes on behind the name of its place.
    pub(crate) fn text(&self) -> Result<&str, &'static str> {
        str::from_utf8(&self.bytes).map_err(|_| "is not UTF-8, expected text")
    }
}

/// Iterates over the lines of a file. An error names file and line, and nothing comes behind it; a line that is not
/// UTF-8 is none of the file's errors, as the lines behind it can be read.
pub(crate) struct Lines {
    path: PathBuf,
    /// None at the end.
    reader: Option<Box<dyn BufRead>>,
    number: usize,
}

impl Lines {
    /// Opens the file, which is read by its ending.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), reader: Some(super::open(path)?), number: 0 })
    }
}

impl Iterator for Lines {
    type Item = Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.number += 1;
        let number = self.number;
        let mut bytes = Vec::new();
        match self.reader.as_mut()?.read_until(b'\n', &mut bytes) {
            Ok(0) => self.reader = None,
            Ok(_) => {
                let bytes = without_break(bytes);
                return Some(Ok(Line { number, bytes }));
            }
            Err(error) => {
                self.reader = None;
                let place = || format!("cannot read `{}` at line {number}", self.path.display());
                return Some(Err(error).with_context(place));
            }
        }
        None
    }
}

fn without_break(mut line: Vec<u8>) -> Vec<u8> {
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    line
}
