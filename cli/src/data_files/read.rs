//! Opens a file for reading its text, whatever it is stored as.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;

use super::Format;
use super::zstd::ZstandardReader;

/// The file's text: unpacked, and as JSON lines if it is a Parquet file. Errors of reading name no file; those of
/// this function do.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let format = Format::of(path)?;
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(match format {
        Format::Plain => Box::new(BufReader::new(file)),
        Format::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(file))),
        Format::Zstandard => Box::new(BufReader::new(ZstandardReader::new(BufReader::new(file)))),
    })
}
