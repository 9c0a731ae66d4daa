//! Hugging Face weights: `model.safetensors`, or shards listed in `model.safetensors.index.json`.

mod file;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod writer;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use veridraft_kernels::{WeightFormat, WeightRow};

use super::TensorSource;
use crate::{Error, Result};
use file::SafetensorsFile;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a folder, from one file or several.
pub(super) struct SafetensorsSource {
    /// The file that lists all tensors.
    path: PathBuf,
    files: Vec<SafetensorsFile>,
    /// Tensor name to index into `files`.
    places: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

impl SafetensorsSource {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
        if index.exists() {
            Self::open_sharded(folder, index)
        } else if single.exists() {
            let file = SafetensorsFile::open(&single)?;
            let places = file.names().map(|name| (name.to_owned(), 0)).collect();
            Ok(Self { path: single, files: vec![file], places })
        } else {
            let reason = format!("neither `{SINGLE}` nor `{INDEX}` is in the folder");
            Err(Error::Checkpoint { path: folder.to_owned(), reason })
        }
    }

    fn open_sharded(folder: &Path, path: PathBuf) -> Result<Self> {
        let fail = Error::checkpoint(&path);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|error| fail(format!("not an index of shards: {error}")))?;
        let mut files = Vec::new();
        let mut numbers = HashMap::new();
        let mut places = BTreeMap::new();
        for (name, shard) in index.weight_map {
            let number = match numbers.get(&shard) {
                Some(&number) => number,
                None => {
                    // A name with a folder in it could reach files outside of the checkpoint.
                    if Path::new(&shard).file_name().is_none_or(|file_name| *file_name != *shard) {
                        return Err(fail(format!("tensor `{name}` is in `{shard}`, expected a file name")));
                    }
                    files.push(SafetensorsFile::open(&folder.join(&shard))?);
                    numbers.insert(shard.clone(), files.len() - 1);
                    files.len() - 1
                }
            };
            if files[number].shape(&name).is_none() {
                return Err(fail(format!("tensor `{name}` should be in `{shard}`, which does not have it")));
            }
            places.insert(name, number);
        }
        Ok(Self { path, files, places })
    }
}

impl TensorSource for SafetensorsSource {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<&str> {
        self.places.keys().map(String::as_str).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.files[*self.places.get(name)?].shape(name).map(<[usize]>::to_vec)
    }

    fn format(&self, name: &str) -> Option<WeightFormat> {
        self.places.get(name).map(|_| WeightFormat::F32)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        self.file_of(name)?.read_f32(name)
    }

    fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<WeightRow>> {
        self.file_of(name)?.read_rows(name, rows)
    }
}

impl SafetensorsSource {
    fn file_of(&self, name: &str) -> Result<&SafetensorsFile> {
        let number = self.places.get(name);
        let missing = || Error::checkpoint(&self.path)(format!("tensor `{name}` is missing"));
        number.map(|&number| &self.files[number]).ok_or_else(missing)
    }
}
