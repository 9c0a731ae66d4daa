//! Opens a file for reading its text, whatever it is stored as.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;

use super::Format;
#[cfg(feature = "parquet")]
use super::parquet::ParquetReader;
use super::zstd::ZstandardReader;

/// The file's text: unpacked, and as JSON lines if it is a Parquet file. Errors of reading name no file; those of
/// this function do.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let format = Format::of(path)?;
    let cannot_read = || format!("cannot read `{}`", path.display());
    let file = File::open(path).with_context(cannot_read)?;
    Ok(match format {
        Format::Plain => Box::new(BufReader::new(file)),
        Format::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(file))),
        Format::Zstandard => Box::new(BufReader::new(ZstandardReader::new(BufReader::new(file)))),
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(BufReader::new(ParquetReader::new(file).with_context(cannot_read)?)),
    })
}
