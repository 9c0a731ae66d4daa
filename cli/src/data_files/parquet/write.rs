//! JSON objects as the rows of a Parquet file.

use std::fs::File;
use std::io::{self, BufWriter, Error, ErrorKind};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use crate::data_files::write::{Column, ColumnType};

/// A row group has this much JSON, which is what the writer holds.
const GROUP_BYTES: usize = 8 << 20;

/// Writes columns that may all be null, packed with Snappy, which every reader has.
pub(in crate::data_files) struct ParquetWriter {
    file: SerializedFileWriter<BufWriter<File>>,
    columns: Vec<(&'static str, Cells)>,
    /// Bytes of the lines that the cells are from.
    pending: usize,
}

/// The cells of a column in the current row group; none stands for null.
enum Cells {
    Text(Vec<Option<ByteArray>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Truth(Vec<Option<bool>>),
    Json(Vec<Option<ByteArray>>),
}

impl ParquetWriter {
    pub(in crate::data_files) fn new(file: BufWriter<File>, columns: &[Column]) -> io::Result<Self> {
        let fields = columns.iter().map(|&column| Ok(Arc::new(schema_of(column)?)));
        let fields = fields.collect::<Result<_, ParquetError>>().map_err(Error::other)?;
        let schema = Type::group_type_builder("rows").with_fields(fields).build().map_err(Error::other)?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(Error::other)?;
        let columns = columns.iter().map(|&(name, kind)| (name, Cells::of(kind))).collect();
        Ok(Self { file, columns, pending: 0 })
    }

    /// Adds an object as a row; an error if it has a field that no column takes.
    pub(in crate::data_files) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let mut fields: Map<String, Value> = serde_json::from_slice(line)?;
        for (name, cells) in &mut self.columns {
            let value = fields.remove(*name).unwrap_or_default();
            cells
                .push(value)
                .map_err(|found| invalid(format!("`{name}` is {found}, which its column does not take")))?;
        }
        if let Some(name) = fields.keys().next() {
            return Err(invalid(format!("`{name}` is a field without a column")));
        }
        self.pending += line.len();
        if self.pending >= GROUP_BYTES { self.write_group() } else { Ok(()) }
    }

    pub(in crate::data_files) fn finish(mut self) -> io::Result<BufWriter<File>> {
        if self.pending > 0 {
            self.write_group()?;
        }
        self.file.into_inner().map_err(Error::other)
    }

    fn write_group(&mut self) -> io::Result<()> {
        self.pending = 0;
        self.try_write_group().map_err(Error::other)
    }

    fn try_write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for (_, cells) in &mut self.columns {
            let mut writer = group.next_column()?.expect("the schema has these columns");
            cells.drain_to(&mut writer)?;
            writer.close()?;
        }
        group.close().map(|_| ())
    }
}

fn schema_of((name, kind): Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match kind {
        ColumnType::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        ColumnType::Json => (PhysicalType::BYTE_ARRAY, Some(LogicalType::Json)),
        ColumnType::Integer => (PhysicalType::INT64, None),
        ColumnType::Number => (PhysicalType::DOUBLE, None),
        ColumnType::Truth => (PhysicalType::BOOLEAN, None),
    };
    let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    column.with_logical_type(logical).build()
}

fn invalid(reason: String) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

impl Cells {
    fn of(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Text => Self::Text(Vec::new()),
            ColumnType::Integer => Self::Integer(Vec::new()),
            ColumnType::Number => Self::Number(Vec::new()),
            ColumnType::Truth => Self::Truth(Vec::new()),
            ColumnType::Json => Self::Json(Vec::new()),
        }
    }

    /// Adds a cell; a value that the column cannot hold comes back.
    fn push(&mut self, value: Value) -> Result<(), Value> {
        match (self, value) {
            (Self::Text(cells) | Self::Json(cells), Value::Null) => cells.push(None),
            (Self::Integer(cells), Value::Null) => cells.push(None),
            (Self::Number(cells), Value::Null) => cells.push(None),
            (Self::Truth(cells), Value::Null) => cells.push(None),
            (Self::Text(cells), Value::String(text)) => cells.push(Some(text.into_bytes().into())),
            (Self::Truth(cells), Value::Bool(truth)) => cells.push(Some(truth)),
            (Self::Json(cells), value) => cells.push(Some(value.to_string().into_bytes().into())),
            (Self::Integer(cells), value) => cells.push(Some(value.as_i64().ok_or(value)?)),
            (Self::Number(cells), value) => cells.push(Some(value.as_f64().ok_or(value)?)),
            (_, value) => return Err(value),
        }
        Ok(())
    }

    /// Writes the cells and forgets them.
    fn drain_to(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Text(cells) | Self::Json(cells) => {
                let (levels, values) = split(cells);
                writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)
            }
            Self::Integer(cells) => {
                let (levels, values) = split(cells);
                writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)
            }
            Self::Number(cells) => {
                let (levels, values) = split(cells);
                writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)
            }
            Self::Truth(cells) => {
                let (levels, values) = split(cells);
                writer.typed::<BoolType>().write_batch(&values, Some(&levels), None)
            }
        }
        .map(|_| ())
    }
}

/// The form that Parquet has for optional values: which are there, and those.
fn split<T>(cells: &mut Vec<Option<T>>) -> (Vec<i16>, Vec<T>) {
    let levels = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    (levels, cells.drain(..).flatten().collect())
}
