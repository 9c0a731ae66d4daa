//! The lines of a file, numbered, one at a time, each of a length that memory holds.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Bytes of a line, at most. A file that has lost its line breaks would else be read into memory as a whole.
pub(crate) const LONGEST: usize = 64 << 20;

/// What some editors write in front of UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The first is 1.
    pub(crate) number: usize,
    /// Without the line break, and none of a line that is too long.
    pub(crate) bytes: Vec<u8>,
    /// Where the line has more than [`LONGEST`] bytes.
    pub(crate) too_long: Option<TooLong>,
}

/// What is known of a line that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    /// How many bytes it has, line break included.
    pub(crate) bytes: u64,
    /// SHA-256 of them.
    pub(crate) digest: [u8; 32],
}

impl Line {
    /// The line as text; the error goes on behind the name of its place.
    pub(crate) fn text(&self) -> Result<&str, &'static str> {
        if self.too_long.is_some() {
            return Err("is longer than 64 MiB, expected a line that is not");
        }
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
    longest: usize,
}

impl Lines {
    /// Opens the file, which is read by its ending. A byte order mark in front is left out.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::with_longest(path, LONGEST)
    }

    /// The same with another length that no line may exceed.
    pub(super) fn with_longest(path: &Path, longest: usize) -> Result<Self> {
        Ok(Self { path: path.to_owned(), reader: Some(super::open(path)?), number: 0, longest })
    }
}

impl Iterator for Lines {
    type Item = Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.number += 1;
        let number = self.number;
        match read_line(self.reader.as_deref_mut()?, self.longest) {
            Ok(None) => self.reader = None,
            Ok(Some((mut bytes, too_long))) => {
                if number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
                    bytes.drain(..BYTE_ORDER_MARK.len());
                }
                return Some(Ok(Line { number, bytes, too_long }));
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

/// The next line, or what there is to say of it if it is too long; `None` at the end.
fn read_line(mut reader: &mut dyn BufRead, longest: usize) -> io::Result<Option<(Vec<u8>, Option<TooLong>)>> {
    let mut bytes = Vec::new();
    // The longest line and its break of two bytes.
    if (&mut reader).take(longest as u64 + 2).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if without_break(&bytes).len() > longest {
        return TooLong::of(bytes, reader).map(|too_long| Some((Vec::new(), Some(too_long))));
    }
    bytes.truncate(without_break(&bytes).len());
    Ok(Some((bytes, None)))
}

impl TooLong {
    /// Of a line that begins with `piece` and goes on in `reader` unless its break is there already.
    fn of(mut piece: Vec<u8>, mut reader: &mut dyn BufRead) -> io::Result<Self> {
        let (mut bytes, mut digest) = (0, Sha256::new());
        loop {
            bytes += piece.len() as u64;
            digest.update(&piece);
            if piece.is_empty() || piece.ends_with(b"\n") {
                return Ok(Self { bytes, digest: digest.finalize().into() });
            }
            piece.clear();
            (&mut reader).take(1 << 16).read_until(b'\n', &mut piece)?;
        }
    }
}

fn without_break(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}
