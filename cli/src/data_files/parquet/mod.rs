//! Parquet files as JSON lines and back: a row is an object, a column one of its fields.
//!
//! Null and an absent field are one thing, as every row of a file has every column: an object is read without its null
//! fields, and a field that a row does not have is written as null. Bytes that are not UTF-8, which JSON has no value for,
//! count as null, too: one picture beside the texts must not end the reading of all.

mod read;
mod write;

pub(super) use read::ParquetReader;
pub(super) use write::ParquetWriter;
