//! The rows of the input up to the limit, numbered, under one running digest.
//!
//! Blank lines are no rows, but they count as lines, and a row's line is part of the digest: it names rows and gives them
//! seeds. Both passes read through here, so a file that changes between them has two digests, and the row that changed
//! two checksums.

use std::path::Path;

use anyhow::Result;
use flate2::Crc;
use sha2::{Digest, Sha256};

use super::selection::Selection;
use crate::data_files::{Line, Lines, TooLong};

/// One row as it stands in the input.
pub(super) struct InputRow {
    /// Which row of the input, from 0.
    pub(super) index: usize,
    /// Which line of the file, from 1.
    pub(super) line: usize,
    /// None if the line is too long.
    pub(super) bytes: Vec<u8>,
    pub(super) too_long: Option<TooLong>,
    /// CRC-32 of line number and content.
    pub(super) checksum: u32,
}

/// Reads rows one by one.
pub(super) struct Rows {
    lines: Lines,
    selection: Selection,
    digest: Sha256,
    count: usize,
}

impl Rows {
    pub(super) fn open(path: &Path, selection: Selection) -> Result<Self> {
        Ok(Self { lines: Lines::open(path)?, selection, digest: Sha256::new(), count: 0 })
    }

    /// The next row, whichever shard has it.
    pub(super) fn next(&mut self) -> Result<Option<InputRow>> {
        while !self.selection.ends_before(self.count) {
            let Some(line) = self.lines.next().transpose()? else { break };
            let Line { number, bytes, too_long } = line;
            if bytes.trim_ascii().is_empty() && too_long.is_none() {
                continue;
            }
            let length = too_long.map_or(bytes.len() as u64, |line| line.bytes);
            let content = too_long.as_ref().map_or(&*bytes, |line| &line.digest);
            let mut checksum = Crc::new();
            for part in [&(number as u64).to_le_bytes(), &length.to_le_bytes(), content] {
                self.digest.update(part);
                checksum.update(part);
            }
            self.count += 1;
            let checksum = checksum.sum();
            return Ok(Some(InputRow { index: self.count - 1, line: number, bytes, too_long, checksum }));
        }
        Ok(None)
    }

    /// Rows read.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// SHA-256 of what was read.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }
}
