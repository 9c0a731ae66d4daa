//! The file of weights beside `model.onnx`.
//!
//! Every tensor starts at a multiple of 4096 bytes, so that ONNX Runtime can map it instead of reading it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

const ALIGNMENT: u64 = 4096;

/// Where a tensor's bytes stand.
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// An external data file under construction.
pub(super) struct ExternalData {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl ExternalData {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("create", path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(1 << 20, file), length: 0 })
    }

    /// Appends values in little-endian order, as ONNX stores them.
    pub(super) fn append_f32(&mut self, values: &[f32]) -> Result<Extent> {
        let offset = self.align()?;
        for chunk in values.chunks(16 * 1024) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.write(&bytes)?;
        }
        Ok(Extent { offset, length: self.length - offset })
    }

    /// Appends the pieces that `fill` hands over.
    pub(super) fn append(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Extent> {
        let offset = self.align()?;
        fill(&mut |piece| self.write(piece))?;
        Ok(Extent { offset, length: self.length - offset })
    }

    /// Flushes to the disk, so that a full disk is an error here and not a short file later.
    pub(super) fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", &self.path))?;
        self.file.get_ref().sync_all().map_err(Error::io("write", &self.path))
    }

    fn align(&mut self) -> Result<u64> {
        let padding = self.length.next_multiple_of(ALIGNMENT) - self.length;
        self.write(&vec![0; padding as usize])?;
        Ok(self.length)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}
