//! The head of a GGUF file: metadata and the list of tensors.
//!
//! ```text
//! "GGUF"  version  tensor count  metadata count
//! metadata: key, type, value          ...
//! tensors:  name, dimensions, type, offset into the data  ...
//! padding to `general.alignment`
//! data
//! ```
//!
//! The layout is the one that the GGUF specification in the ggml project gives, versions 2 and 3, little endian.
//! Nothing in the file is believed: a count is compared with the bytes that are left before it drives a loop, and a
//! tensor's place is compared with the file's end and with its neighbours.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use super::cursor::Cursor;
use super::tensor_type::TensorType;
use super::value::Value;

const MAGIC: [u8; 4] = *b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_DIMENSIONS: u32 = 4;
/// Bytes of the shortest metadata entry: an empty key, a type and a byte.
const MIN_ENTRY_BYTES: u64 = 8 + 4 + 1;
/// Bytes of the shortest tensor entry: an empty name, one dimension, a type and an offset.
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 8 + 4 + 8;

/// What stands before the data.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, Value>,
    pub(super) tensors: BTreeMap<String, TensorInfo>,
}

/// A tensor's type, shape and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorInfo {
    pub(super) tensor_type: TensorType,
    /// Row-major: the file's order reversed.
    pub(super) shape: Vec<usize>,
    /// Bytes of the file; they hold exactly the values of `shape`.
    pub(super) place: Range<usize>,
}

/// Reads and checks the head of the file `bytes`. The error is a reason without the file's name.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header, String> {
    let mut cursor = Cursor::new(bytes);
    check_magic_and_version(&mut cursor)?;
    let tensor_count = cursor.count(MIN_TENSOR_BYTES, "the number of tensors")?;
    let entry_count = cursor.count(MIN_ENTRY_BYTES, "the number of metadata entries")?;
    let metadata = read_metadata(&mut cursor, entry_count)?;
    let alignment = alignment(&metadata)?;
    let declared = (0..tensor_count).map(|_| Declared::read(&mut cursor)).collect::<Result<Vec<_>, _>>()?;
    let data_start = (cursor.offset() as u64).next_multiple_of(alignment);
    let data = DataSection { start: data_start, end: bytes.len() as u64, alignment };
    let mut tensors = BTreeMap::new();
    for tensor in declared {
        let (name, info) = tensor.locate(&data)?;
        match tensors.entry(name) {
            Entry::Occupied(taken) => return Err(format!("tensor `{}` is there twice", taken.key())),
            Entry::Vacant(free) => free.insert(info),
        };
    }
    check_disjoint(&tensors)?;
    Ok(Header { metadata, tensors })
}

fn check_magic_and_version(cursor: &mut Cursor) -> Result<(), String> {
    let magic: [u8; 4] = cursor.array("the file type")?;
    if magic != MAGIC {
        return Err(format!("begins with `{}`, expected `GGUF`", magic.escape_ascii()));
    }
    match cursor.u32("the version")? {
        2 | 3 => Ok(()),
        // A big-endian writer stores its small version number in the other half.
        swapped if swapped & 0xffff == 0 => Err("is big-endian GGUF, expected little-endian".to_owned()),
        version => Err(format!("is GGUF version {version}, expected 2 or 3")),
    }
}

fn read_metadata(cursor: &mut Cursor, count: usize) -> Result<BTreeMap<String, Value>, String> {
    let mut metadata = BTreeMap::new();
    for index in 0..count {
        let key = cursor.string(&format!("the key of metadata entry {index}"))?;
        let value = Value::read(cursor, &format!("`{key}`"))?;
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(format!("metadata key `{key}` is there twice"));
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, String> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Unsigned(alignment)) if alignment.is_power_of_two() && *alignment <= u64::from(u32::MAX) => {
            Ok(*alignment)
        }
        Some(other) => Err(format!("`general.alignment` is {}, expected a power of two", other.describe())),
    }
}

/// A tensor as its entry declares it.
struct Declared<'a> {
    name: &'a str,
    tensor_type: TensorType,
    shape: Vec<u64>,
    offset: u64,
}

/// Where tensors may stand.
struct DataSection {
    start: u64,
    end: u64,
    alignment: u64,
}

impl<'a> Declared<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, String> {
        let start = cursor.offset();
        let name = cursor.string(&format!("the name of the tensor entry at byte {start}"))?;
        let what = format!("the entry of tensor `{name}`");
        let dimensions = cursor.u32(&what)?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(format!("tensor `{name}` has {dimensions} dimensions, expected 1 to {MAX_DIMENSIONS}"));
        }
        let mut shape = (0..dimensions).map(|_| cursor.u64(&what)).collect::<Result<Vec<_>, _>>()?;
        shape.reverse();
        let tensor_type =
            TensorType::from_code(cursor.u32(&what)?).map_err(|reason| format!("tensor `{name}` has {reason}"))?;
        Ok(Self { name, tensor_type, shape, offset: cursor.u64(&what)? })
    }

    /// Checks the sizes and turns the offset into a place in the file.
    fn locate(self, data: &DataSection) -> Result<(String, TensorInfo), String> {
        let Self { name, tensor_type, ref shape, offset } = self;
        let bytes = self.bytes()?;
        if offset % data.alignment != 0 {
            return Err(format!(
                "tensor `{name}` starts at offset {offset}, expected a multiple of {}",
                data.alignment
            ));
        }
        let end = data.start.checked_add(offset).and_then(|start| start.checked_add(bytes));
        let Some(end) = end.filter(|&end| end <= data.end) else {
            return Err(format!(
                "tensor `{name}` needs {bytes} bytes at offset {offset} of the data at byte {}, but the file ends at \
                 byte {}",
                data.start, data.end
            ));
        };
        // Both fit: they are at most the file's length, and the file is mapped.
        let place = (end - bytes) as usize..end as usize;
        let shape = shape.iter().map(|&size| size as usize).collect();
        Ok((name.to_owned(), TensorInfo { tensor_type, shape, place }))
    }

    /// The bytes that all values take.
    fn bytes(&self) -> Result<u64, String> {
        let Self { name, tensor_type, shape, .. } = self;
        let row = *shape.last().expect("a tensor has a dimension");
        let block_values = tensor_type.block_values() as u64;
        if shape.contains(&0) {
            return Err(format!("tensor `{name}` has shape {shape:?}, expected sizes of at least 1"));
        }
        if row % block_values != 0 {
            let type_name = tensor_type.name();
            return Err(format!(
                "tensor `{name}` has rows of {row} values, expected a multiple of {block_values} for `{type_name}`"
            ));
        }
        let values = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
        values
            .and_then(|values| (values / block_values).checked_mul(tensor_type.block_bytes() as u64))
            .ok_or_else(|| format!("tensor `{name}` has shape {shape:?}, which is more than any file can hold"))
    }
}

fn check_disjoint(tensors: &BTreeMap<String, TensorInfo>) -> Result<(), String> {
    let mut places: Vec<_> = tensors.iter().map(|(name, info)| (&info.place, name)).collect();
    places.sort_by_key(|(place, _)| place.start);
    for pair in places.windows(2) {
        let [(first, first_name), (second, second_name)] = pair else { unreachable!("windows of two") };
        if second.start < first.end {
            return Err(format!(
                "tensor `{second_name}` starts at byte {}, before tensor `{first_name}` ends at byte {}",
                second.start, first.end
            ));
        }
    }
    Ok(())
}
