//! GGUF files: opened, checked, and read by key and by tensor name.

mod codes;
mod cursor;
mod dequantize;
mod reader;
mod row_order;
mod tensor_names;
mod tensor_type;
mod tensors;
#[cfg(test)]
mod tests;
mod unpack;
mod value;
#[cfg(test)]
pub(crate) mod writer;

use std::path::Path;

use veridraft_kernels::WeightRow;

pub use dequantize::dequantize;
pub use tensor_type::TensorType;
pub(crate) use tensors::{GgufTensors, LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS};

use crate::mapped_file::MappedFile;
use crate::{Error, Result};
use reader::{Header, TensorInfo};
use value::{ArrayPlace, Value};

/// An open GGUF file.
#[derive(Debug)]
pub struct GgufFile {
    file: MappedFile,
    header: Header,
}

impl GgufFile {
    /// Maps the file and checks all that stands before the data.
    pub fn open(path: &Path) -> Result<Self> {
        let file = MappedFile::open(path)?;
        let header = reader::read_header(file.bytes()).map_err(Error::checkpoint(path))?;
        let opened = Self { file, header };
        match opened.count("split.count")? {
            None | Some(0 | 1) => Ok(opened),
            Some(parts) => Err(opened.error(format!("is one of {parts} parts, expected a model in one file"))),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// An error about this file.
    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path().to_owned(), reason: reason.into() }
    }

    /// The metadata entry `key` as text; `None` when there is none.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The metadata entry `key` as a number of things.
    pub fn count(&self, key: &str) -> Result<Option<usize>> {
        self.typed(key, "an integer of at least 0", |value| match *value {
            Value::Unsigned(value) => value.try_into().ok(),
            Value::Signed(value) => value.try_into().ok(),
            _ => None,
        })
    }

    /// The metadata entry `key` as a number.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", |value| match *value {
            Value::Float(value) => Some(value),
            Value::Unsigned(value) => Some(value as f64),
            Value::Signed(value) => Some(value as f64),
            _ => None,
        })
    }

    /// The metadata entry `key` as true or false.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| match *value {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// The metadata entry `key` as a list of strings.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.array(key, "an array of strings", |array, what| array.texts(self.file.bytes(), what))
    }

    /// The metadata entry `key` as a list of numbers.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.array(key, "an array of numbers", |array, what| array.numbers(self.file.bytes(), what))
    }

    /// The metadata entry `key` as a list of truth values.
    pub fn booleans(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.array(key, "an array of truth values", |array, what| array.booleans(self.file.bytes(), what))
    }

    /// The metadata entry `key` as bytes; some files call them signed.
    pub fn bytes(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Some(numbers) = self.numbers(key)? else { return Ok(None) };
        let byte = |number: f64| {
            let is_byte = (-128.0..=255.0).contains(&number) && number.fract() == 0.0;
            if is_byte {
                Ok(number as i16 as u8)
            } else {
                Err(self.error(format!("`{key}` holds {number}, expected bytes")))
            }
        };
        numbers.into_iter().map(byte).collect::<Result<_>>().map(Some)
    }

    /// Whether there is a metadata entry `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.header.metadata.contains_key(key)
    }

    /// The names of the tensors, sorted.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.header.tensors.keys().map(String::as_str)
    }

    /// The row-major shape of a tensor; `None` when there is none of that name.
    pub fn tensor_shape(&self, name: &str) -> Option<&[usize]> {
        self.header.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// The values of a tensor in the file's order; `None` when there is none of that name.
    pub fn tensor_f32(&self, name: &str) -> Option<Vec<f32>> {
        let TensorInfo { tensor_type, shape, place } = self.header.tensors.get(name)?;
        let mut values = vec![0.0; shape.iter().product()];
        dequantize(*tensor_type, self.file.part(place), &mut values);
        Some(values)
    }

    /// How a tensor is stored; `None` when there is none of that name.
    pub fn tensor_type(&self, name: &str) -> Option<TensorType> {
        self.header.tensors.get(name).map(|info| info.tensor_type)
    }

    /// The codes of one row of a tensor, as the file counts rows; `None` when there is no such tensor or row.
    pub fn tensor_row(&self, name: &str, row: usize) -> Option<WeightRow> {
        let TensorInfo { tensor_type, shape, place } = self.header.tensors.get(name)?;
        let columns = *shape.last()?;
        let row_bytes = columns / tensor_type.block_values() * tensor_type.block_bytes();
        let bytes = self.file.part(place).chunks_exact(row_bytes).nth(row)?;
        Some(codes::weight_row(*tensor_type, bytes))
    }

    fn array<T>(
        &self,
        key: &str,
        expected: &str,
        items: impl FnOnce(&ArrayPlace, &str) -> Result<Vec<T>, String>,
    ) -> Result<Option<Vec<T>>> {
        let place = self.typed(key, expected, |value| match value {
            Value::Array(place) => Some(place),
            _ => None,
        })?;
        let items = place.map(|place| items(place, &format!("`{key}`"))).transpose();
        items.map_err(|reason| self.error(reason))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.header.metadata.get(key) else { return Ok(None) };
        let converted = convert(value);
        converted.map(Some).ok_or_else(|| self.error(format!("`{key}` is {}, expected {expected}", value.describe())))
    }
}
