//! One safetensors file: the length of a JSON header, the header, and the data.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde_json::Value;
use veridraft_kernels::WeightRow;

use crate::checkpoint::gguf::{TensorType, dequantize};
use crate::checkpoint::tensor_source::check_rows;
use crate::mapped_file::MappedFile;
use crate::{Error, Result};

const LENGTH_BYTES: usize = 8;

/// An open file; every tensor's bytes lie within it and are as many as its shape says.
pub(super) struct SafetensorsFile {
    file: MappedFile,
    tensors: BTreeMap<String, Tensor>,
}

struct Tensor {
    element: Dtype,
    shape: Vec<usize>,
    place: Range<usize>,
}

impl SafetensorsFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = MappedFile::open(path)?;
        let tensors = read_header(file.bytes()).map_err(Error::checkpoint(path))?;
        Ok(Self { file, tensors })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    pub(super) fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.tensor(name)?;
        self.floats(name, tensor, tensor.place.clone())
    }

    pub(super) fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<WeightRow>> {
        let tensor = self.tensor(name)?;
        let [row_count, columns] =
            check_rows(name, &tensor.shape, &rows).map_err(Error::checkpoint(self.file.path()))?;
        let row_bytes = tensor.place.len() / row_count;
        let byte = |row: usize| tensor.place.start + row * row_bytes;
        let values = self.floats(name, tensor, byte(rows.start)..byte(rows.end))?;
        Ok(values.chunks_exact(columns).map(|row| WeightRow::F32(row.to_vec())).collect())
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        let missing = || Error::checkpoint(self.file.path())(format!("tensor `{name}` is missing"));
        self.tensors.get(name).ok_or_else(missing)
    }

    /// The values in `place`, a part of the tensor.
    fn floats(&self, name: &str, tensor: &Tensor, place: Range<usize>) -> Result<Vec<f32>> {
        let element = match tensor.element {
            Dtype::F32 => TensorType::F32,
            Dtype::F16 => TensorType::F16,
            Dtype::BF16 => TensorType::BF16,
            other => {
                let reason = format!("tensor `{name}` has type `{other}`, expected one of F32, F16, BF16");
                return Err(Error::checkpoint(self.file.path())(reason));
            }
        };
        let mut values = vec![0.0; place.len() / element.block_bytes()];
        dequantize(element, self.file.part(&place), &mut values);
        Ok(values)
    }
}

/// Reads and checks the header. The error is a reason without the file's name.
///
/// The `safetensors` crate's own entry point adds a header's numbers without looking for overflow and does not name the
/// tensor that is wrong, so only its types are used.
fn read_header(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(format!("has {} bytes, expected at least {LENGTH_BYTES}", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    let Some(header) = usize::try_from(length).ok().and_then(|length| rest.get(..length)) else {
        return Err(format!("the header takes {length} bytes, but only {} follow", rest.len()));
    };
    let entries: BTreeMap<String, Value> =
        serde_json::from_slice(header).map_err(|error| format!("the header is not a JSON object: {error}"))?;
    let data_start = LENGTH_BYTES + header.len();
    let mut tensors = BTreeMap::new();
    for (name, entry) in entries.into_iter().filter(|(name, _)| name != "__metadata__") {
        let info = serde_json::from_value(entry).map_err(|error| format!("the entry of tensor `{name}`: {error}"))?;
        let tensor = locate(&name, info, bytes.len() - data_start, data_start)?;
        tensors.insert(name, tensor);
    }
    check_gapless(&tensors, data_start..bytes.len())?;
    Ok(tensors)
}

/// Checks a tensor's size and place and turns the place from one in the data to one in the file.
fn locate(name: &str, info: TensorInfo, data_bytes: usize, data_start: usize) -> Result<Tensor, String> {
    let TensorInfo { dtype: element, shape, data_offsets: (start, end) } = info;
    if start > end || end > data_bytes {
        return Err(format!("tensor `{name}` stands at bytes {start} to {end} of the data, which has {data_bytes}"));
    }
    let values = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    let bits = values.and_then(|values| values.checked_mul(element.bitsize()));
    if bits != (end - start).checked_mul(8) {
        let bytes = end - start;
        return Err(format!("tensor `{name}` has {bytes} bytes, which do not hold `{element}` of shape {shape:?}"));
    }
    Ok(Tensor { element, shape, place: data_start + start..data_start + end })
}

/// The format has neither gaps nor overlaps.
fn check_gapless(tensors: &BTreeMap<String, Tensor>, data: Range<usize>) -> Result<(), String> {
    let mut sorted: Vec<_> = tensors.iter().map(|(name, tensor)| (&tensor.place, name)).collect();
    sorted.sort_by_key(|(place, _)| (place.start, place.end));
    let mut end = data.start;
    for (place, name) in sorted {
        if place.start != end {
            let (found, expected) = (place.start - data.start, end - data.start);
            return Err(format!("tensor `{name}` starts at byte {found} of the data, expected {expected}"));
        }
        end = place.end;
    }
    if end != data.end {
        return Err(format!("the tensors take {} bytes, but the data has {}", end - data.start, data.len()));
    }
    Ok(())
}
