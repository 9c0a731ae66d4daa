//! Rows of a Parquet file, one JSON object a line.

use std::fs::File;
use std::io::{Error, Read, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

/// Holds the pages of one row group and one line.
pub(in crate::data_files) struct ParquetReader {
    rows: RowIter<'static>,
    line: Vec<u8>,
    /// How much of the line was read.
    taken: usize,
}

impl ParquetReader {
    pub(in crate::data_files) fn new(file: File) -> Result<Self> {
        let reader = guarded(|| SerializedFileReader::new(file).map_err(Error::other))?;
        check_packing(reader.metadata())?;
        Ok(Self { rows: RowIter::from_file_into(Box::new(reader)), line: Vec::new(), taken: 0 })
    }
}

impl Read for ParquetReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.taken == self.line.len() {
            let Some(row) = guarded(|| self.rows.next().transpose().map_err(Error::other))? else {
                return Ok(0);
            };
            self.line = serde_json::to_vec(&object(&row))?;
            self.line.push(b'\n');
            self.taken = 0;
        }
        let read = (&self.line[self.taken..]).read(buffer)?;
        self.taken += read;
        Ok(read)
    }
}

/// The library panics where a file breaks its expectations, and at types it does not know.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(|&message| message.to_owned()));
        Err(Error::other(message.unwrap_or_else(|| "the file is damaged".to_owned())))
    })
}

/// Zstandard would need a C compiler; the others are rare.
fn check_packing(file: &ParquetMetaData) -> Result<()> {
    for column in file.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        match column.compression() {
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) => (),
            other => {
                let (name, codec) = (column.column_path(), other.to_string());
                let codec = codec.split('(').next().unwrap_or_default();
                return Err(Error::other(format!(
                    "column `{name}` is packed with {codec}, expected SNAPPY, GZIP or none"
                )));
            }
        }
    }
    Ok(())
}

/// The fields that are there; a value that JSON does not have is not.
fn object(row: &Row) -> Value {
    let fields = row.get_column_iter().map(|(name, field)| (name.clone(), value(field)));
    Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
}

/// Numbers and bytes that JSON does not have become null; dates, times and decimals become text.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => (*truth).into(),
        Field::Byte(number) => (*number).into(),
        Field::Short(number) => (*number).into(),
        Field::Int(number) => (*number).into(),
        Field::Long(number) => (*number).into(),
        Field::UByte(number) => (*number).into(),
        Field::UShort(number) => (*number).into(),
        Field::UInt(number) => (*number).into(),
        Field::ULong(number) => (*number).into(),
        Field::Float16(number) => f32::from(*number).into(),
        Field::Float(number) => (*number).into(),
        Field::Double(number) => (*number).into(),
        Field::Str(text) => text.as_str().into(),
        // Some writers do not mark text as text.
        Field::Bytes(bytes) => str::from_utf8(bytes.data()).map_or(Value::Null, Into::into),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            map.entries().iter().map(|(key, found)| (key_text(key), value(found))).collect::<Map<_, _>>().into()
        }
        other => other.to_string().into(),
    }
}

fn key_text(key: &Field) -> String {
    match value(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
