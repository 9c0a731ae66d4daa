//! Writes lines to a file.

use std::fs::File;
use std::io::{BufWriter, Result, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::Format;
#[cfg(feature = "parquet")]
use super::parquet::ParquetWriter;
use super::zstd::ZstandardWriter;

/// A column of a Parquet file: a field of the JSON objects that its rows are, and what it holds.
pub(crate) type Column = (&'static str, ColumnType);

/// What a column holds; null stands for a field that a row does not have.
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "commands write texts and JSON; tests write the other types as well, which files that are read have"
    )
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Truth,
    /// Anything, as JSON text.
    Json,
}

/// Writes lines in one of the formats.
pub(crate) struct LineWriter(Packing);

/// Around the file, what packs the lines.
enum Packing {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstandard(ZstandardWriter<BufWriter<File>>),
    #[cfg(feature = "parquet")]
    Parquet(ParquetWriter),
}

impl LineWriter {
    /// Writes to an empty file. `columns` are those of a Parquet file, whose lines have to be objects without other
    /// fields; other formats take any lines.
    pub(crate) fn new(file: File, format: Format, columns: &[Column]) -> Result<Self> {
        #[cfg(not(feature = "parquet"))]
        let _ = columns;
        let file = BufWriter::with_capacity(1 << 16, file);
        Ok(Self(match format {
            Format::Plain => Packing::Plain(file),
            // No time and no name in the header. 6 is the level of `gzip`.
            Format::Gzip => Packing::Gzip(GzBuilder::new().write(file, Compression::new(6))),
            Format::Zstandard => Packing::Zstandard(ZstandardWriter::new(file)),
            #[cfg(feature = "parquet")]
            Format::Parquet => Packing::Parquet(ParquetWriter::new(file, columns)?),
        }))
    }

    /// Writes one line, which comes without its line break.
    pub(crate) fn write(&mut self, line: &[u8]) -> Result<()> {
        let writer: &mut dyn Write = match &mut self.0 {
            Packing::Plain(writer) => writer,
            Packing::Gzip(writer) => writer,
            Packing::Zstandard(writer) => writer,
            #[cfg(feature = "parquet")]
            Packing::Parquet(writer) => return writer.write(line),
        };
        writer.write_all(line)?;
        writer.write_all(b"\n")
    }

    /// Writes what is left and returns the file, which the disk may not have yet.
    pub(crate) fn finish(self) -> Result<File> {
        let file = match self.0 {
            Packing::Plain(writer) => writer,
            Packing::Gzip(writer) => writer.finish()?,
            Packing::Zstandard(writer) => writer.finish()?,
            #[cfg(feature = "parquet")]
            Packing::Parquet(writer) => writer.finish()?,
        };
        file.into_inner().map_err(std::io::IntoInnerError::into_error)
    }
}
