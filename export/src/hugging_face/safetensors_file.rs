//! A safetensors file under construction: the length of a JSON header, the header, and the tensors one behind the other.
//!
//! The header stands first and says where each tensor will be, so shapes are known before the first number is. The
//! `safetensors` crate's own writer wants all of the numbers in memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use serde_json::{Map, json};

use super::layout::Tensor;
use crate::{Error, FloatFormat, Result};

/// The data starts at a multiple of this, so that a reader may map it as numbers.
const ALIGNMENT: usize = 8;

/// The file; tensors come in the order of the header.
pub(super) struct SafetensorsFile {
    path: PathBuf,
    file: BufWriter<File>,
    floats: FloatFormat,
    /// Bytes of data that the header promises and that are yet to come.
    missing: u64,
}

impl SafetensorsFile {
    /// Writes the header.
    pub(super) fn create(path: &Path, floats: FloatFormat, tensors: &[Tensor]) -> Result<Self> {
        let (header, missing) = header(floats, tensors);
        let file = File::create(path).map_err(Error::io("create", path))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let mut opened = Self { path: path.to_owned(), file, floats, missing };
        opened.write(&(header.len() as u64).to_le_bytes())?;
        opened.write(header.as_bytes())?;
        Ok(opened)
    }

    /// Appends numbers of the tensor `name`, the one whose turn it is.
    pub(super) fn append(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = match self.floats {
            FloatFormat::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            FloatFormat::F16 => {
                self.check(name, values, |value| f16::from_f32(value).to_f32())?;
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            }
            FloatFormat::BF16 => {
                self.check(name, values, |value| bf16::from_f32(value).to_f32())?;
                values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()
            }
        };
        self.missing = self.missing.checked_sub(bytes.len() as u64).expect("tensors are as long as their shapes say");
        self.write(&bytes)
    }

    /// Flushes to the disk, so that a full disk is an error here and not a short file later.
    pub(super) fn finish(mut self) -> Result<()> {
        assert_eq!(self.missing, 0, "all tensors of the header were appended");
        self.file.flush().map_err(Error::io("write", &self.path))?;
        self.file.get_ref().sync_all().map_err(Error::io("write", &self.path))
    }

    /// Refuses a number that rounding would make infinite.
    fn check(&self, name: &str, values: &[f32], rounded: impl Fn(f32) -> f32) -> Result<()> {
        match values.iter().find(|value| value.is_finite() && !rounded(**value).is_finite()) {
            Some(value) => Err(Error::checkpoint(&self.path)(format!(
                "tensor `{name}` has {value}, which {} cannot hold; expected f32",
                self.floats
            ))),
            None => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }
}

/// The header, filled up with spaces to the alignment, and the bytes of data that it speaks of.
fn header(floats: FloatFormat, tensors: &[Tensor]) -> (String, u64) {
    let mut entries = Map::new();
    // `transformers` refuses a file that does not say this.
    entries.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut end = 0;
    for Tensor { name, shape, .. } in tensors {
        let start = end;
        end += shape.iter().map(|&size| size as u64).product::<u64>() * floats.bytes();
        let entry = json!({ "dtype": floats.safetensors_name(), "shape": shape, "data_offsets": [start, end] });
        entries.insert(name.clone(), entry);
    }
    let mut text = serde_json::Value::Object(entries).to_string();
    let padding = text.len().next_multiple_of(ALIGNMENT) - text.len();
    text.extend(std::iter::repeat_n(' ', padding));
    (text, end)
}
