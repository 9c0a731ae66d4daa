//! The rows of the input up to the limit, numbered, under one running digest.
//!
//! Blank lines are no rows. Both passes read through here, so a file that changes between them has two digests.

use std::path::Path;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::selection::Selection;
use crate::data_files::Lines;

/// One row as it stands in the input.
pub(super) struct InputRow {
    /// Which row of the input, from 0.
    pub(super) index: usize,
    /// Which line of the file, from 1.
    pub(super) line: usize,
    pub(super) bytes: Vec<u8>,
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
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            self.digest.update((line.bytes.len() as u64).to_le_bytes());
            self.digest.update(&line.bytes);
            self.count += 1;
            return Ok(Some(InputRow { index: self.count - 1, line: line.number, bytes: line.bytes }));
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
