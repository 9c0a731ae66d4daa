//! Files of lines, read and written by their ending: plain, gzip, Zstandard, and Parquet with one row a line.
//!
//! Reading holds a buffer, never the file. Writing is a pure function of the lines: the same lines give the same bytes,
//! whenever and wherever they are written.

mod format;
mod lines;
mod read;
mod write;
#[cfg(feature = "parquet")]
mod parquet;
mod zstd;

pub(crate) use format::{Format, has_rows};
pub(crate) use lines::{BYTE_ORDER_MARK, LONGEST, Line, Lines, TooLong};
pub(crate) use read::open;
pub(crate) use write::{Column, ColumnType, LineWriter};

#[cfg(test)]
mod tests;
