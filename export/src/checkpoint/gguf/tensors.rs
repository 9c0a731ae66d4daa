//! A GGUF file's tensors under their Hugging Face names and in their Hugging Face order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use veridraft_kernels::{WeightFormat, WeightRow};

use super::row_order::RowOrder;
use super::tensor_names::TensorNames;
use super::{GgufFile, TensorType};
use crate::checkpoint::tensor_source::check_rows;
use crate::checkpoint::{DecoderConfig, TensorSource};
use crate::{Error, Result};

/// Divisors of the rotary frequencies, which become part of the configuration.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";
/// The same of LongRoPE, for texts up to the original context and for longer ones.
pub(crate) const SHORT_FACTORS: &str = "rope_factors_short.weight";
pub(crate) const LONG_FACTORS: &str = "rope_factors_long.weight";

/// The weights of a GGUF file.
pub(crate) struct GgufTensors {
    file: Arc<GgufFile>,
    /// By Hugging Face name.
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    name_in_file: String,
    row_order: RowOrder,
}

impl GgufTensors {
    /// Maps the names; a tensor that the architecture does not have is an error, as leaving it out would change the
    /// model.
    pub(crate) fn new(file: Arc<GgufFile>, config: &DecoderConfig) -> Result<Self> {
        let architecture = file.text("general.architecture")?.unwrap_or_default();
        let (names, interleaved) = (TensorNames::of(architecture), ["llama", "olmo"].contains(&architecture));
        let is_weight = |name: &&str| ![ROPE_FACTORS, SHORT_FACTORS, LONG_FACTORS].contains(name);
        let mut entries = BTreeMap::new();
        for name_in_file in file.tensor_names().filter(is_weight) {
            let name = names.in_checkpoint(name_in_file).ok_or_else(|| {
                file.error(format!("tensor `{name_in_file}` is not one that models of `{architecture}` have"))
            })?;
            let heads = rotated_heads(&name, config).filter(|_| interleaved);
            let row_order = heads.map_or(RowOrder::Same, |heads| RowOrder::PairsInterleaved { heads });
            entries.insert(name, Entry { name_in_file: name_in_file.to_owned(), row_order });
        }
        Ok(Self { file, entries })
    }
}

impl TensorSource for GgufTensors {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.file.tensor_shape(&self.entries.get(name)?.name_in_file).map(<[usize]>::to_vec)
    }

    fn format(&self, name: &str) -> Option<WeightFormat> {
        self.file.tensor_type(&self.entries.get(name)?.name_in_file).map(TensorType::weight_format)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let (entry, shape) = self.find(name)?;
        let values = self.file.tensor_f32(&entry.name_in_file).ok_or_else(|| self.missing(name))?;
        if let RowOrder::Same = entry.row_order {
            return Ok(values);
        }
        let (rows, place) = (shape[0], self.place_in_file(entry, shape[0])?);
        let columns = values.len() / rows;
        Ok((0..rows).flat_map(|row| &values[place(row) * columns..][..columns]).copied().collect())
    }

    fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<WeightRow>> {
        let (entry, shape) = self.find(name)?;
        let [row_count, _] = check_rows(name, shape, &rows).map_err(|reason| self.file.error(reason))?;
        let place = self.place_in_file(entry, row_count)?;
        let row = |row| self.file.tensor_row(&entry.name_in_file, place(row)).ok_or_else(|| self.missing(name));
        rows.into_par_iter().map(row).collect()
    }
}

impl GgufTensors {
    fn find(&self, name: &str) -> Result<(&Entry, &[usize])> {
        let found =
            self.entries.get(name).and_then(|entry| Some((entry, self.file.tensor_shape(&entry.name_in_file)?)));
        found.ok_or_else(|| self.missing(name))
    }

    fn place_in_file(&self, entry: &Entry, rows: usize) -> Result<impl Fn(usize) -> usize + Sync> {
        entry.row_order.place_in_file(rows).map_err(|expected| {
            let name = &entry.name_in_file;
            self.file.error(format!("tensor `{name}` has {rows} rows, expected {expected}"))
        })
    }

    fn missing(&self, name: &str) -> Error {
        self.file.error(format!("tensor `{name}` is missing"))
    }
}

/// The heads that the rows of a q or k projection are split into; `None` for any other tensor.
fn rotated_heads(name: &str, config: &DecoderConfig) -> Option<usize> {
    if name.contains(".self_attn.q_proj.") {
        Some(config.heads)
    } else if name.contains(".self_attn.k_proj.") {
        Some(config.kv_heads)
    } else {
        None
    }
}
