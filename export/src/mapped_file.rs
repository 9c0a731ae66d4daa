//! A file as a slice of bytes that the operating system reads when they are touched.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::{Error, Result};

/// A file mapped read-only.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    /// Maps the file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        // SAFETY: the mapping is private to this value and never written through. Nobody may shorten or rewrite the
        // file while it is mapped; that promise is the user's, as with every program that maps model weights. All
        // bytes are validated or turned into plain numbers, so a broken promise gives wrong numbers, a panic,
        // or a bus error that ends the process.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
        Ok(Self { path: path.to_owned(), map })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// A part that was checked to lie within the file.
    pub(crate) fn part(&self, range: &Range<usize>) -> &[u8] {
        &self.map[range.clone()]
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}
