//! A checkpoint's tensors as the graph takes them, where the architecture stores them in another way.
//!
//! ```text
//! gpt2       [in, out] matrices                        -> [out, in]
//! gpt_neox   query_key_value, head by head             -> all of q, all of k, all of v
//! gemma      norms as what is added to 1               -> what numbers are multiplied by
//! phi3       gate_up_proj                              -> gate_proj and up_proj
//! bart       final_logits_bias, a matrix of one row    -> one row
//! ```
//!
//! GGUF files have the first three done already.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use veridraft_kernels::{WeightFormat, WeightRow};

use super::tensor_source::check_rows;
use super::{DecoderConfig, TensorSource};
use crate::{Error, Result};

/// Tensors of another source under new names, in a new arrangement.
pub(super) struct Arranged {
    source: Box<dyn TensorSource>,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    name_in_source: String,
    arrangement: Arrangement,
}

/// What becomes of a tensor.
#[derive(Clone, Debug, PartialEq)]
enum Arrangement {
    Same,
    /// `[in, out]` becomes `[out, in]`.
    Transposed,
    /// One is added to each number.
    PlusOne,
    /// Rows that are q, k, v of the first head, then of the next, become q of all heads, k of all, v of all.
    ByKind {
        heads: usize,
    },
    /// Some rows.
    Rows(Range<usize>),
    /// One axis.
    Flat,
}

impl Arranged {
    /// Arranges a Hugging Face folder's tensors.
    pub(super) fn folder(source: Box<dyn TensorSource>, config: &DecoderConfig) -> Result<Box<dyn TensorSource>> {
        match config.architecture.as_str() {
            "gpt2" => Self::by(source, gpt2),
            "gpt_neox" => Self::by(source, |name| gpt_neox(name, config)),
            "gemma2" | "gemma3_text" => Self::by(source, gemma),
            "phi3" => Self::by(source, |name| phi3(name, config)),
            "t5" | "mt5" => Self::by(source, t5),
            "bart" | "marian" => Self::by(source, bart),
            _ => Ok(source),
        }
    }

    /// Arranges a GGUF file's tensors.
    pub(super) fn gguf(source: Box<dyn TensorSource>, config: &DecoderConfig) -> Result<Box<dyn TensorSource>> {
        match config.architecture.as_str() {
            "phi3" => Self::by(source, |name| phi3(name, config)),
            _ => Ok(source),
        }
    }

    /// Every tensor under the names, and in the arrangements, that `arrange` gives for its name.
    fn by(
        source: Box<dyn TensorSource>,
        arrange: impl Fn(&str) -> Vec<(String, Arrangement)>,
    ) -> Result<Box<dyn TensorSource>> {
        let mut entries = BTreeMap::<String, Entry>::new();
        for name_in_source in source.names() {
            for (name, arrangement) in arrange(name_in_source) {
                let entry = Entry { name_in_source: name_in_source.to_owned(), arrangement };
                if let Some(earlier) = entries.insert(name, entry) {
                    let earlier = earlier.name_in_source;
                    let reason = format!("tensors `{earlier}` and `{name_in_source}` stand for the same, expected one");
                    return Err(Error::Checkpoint { path: source.path().to_owned(), reason });
                }
            }
        }
        Ok(Box::new(Self { source, entries }))
    }

    fn find(&self, name: &str) -> Result<(&Entry, Vec<usize>)> {
        let found = self.entries.get(name).and_then(|entry| Some((entry, self.source.shape(&entry.name_in_source)?)));
        found.ok_or_else(|| self.error(format!("tensor `{name}` is missing")))
    }

    fn error(&self, reason: String) -> Error {
        Error::Checkpoint { path: self.path().to_owned(), reason }
    }

    /// The rows of a transposed matrix, from all of it: its file has them as columns.
    fn transposed_rows(&self, entry: &Entry, shape: &[usize], rows: Range<usize>) -> Result<Vec<WeightRow>> {
        let values = self.source.read_f32(&entry.name_in_source)?;
        let columns = shape[1];
        Ok(rows.map(|row| WeightRow::F32(values.iter().skip(row).step_by(columns).copied().collect())).collect())
    }
}

impl TensorSource for Arranged {
    fn path(&self) -> &Path {
        self.source.path()
    }

    fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let (entry, mut shape) = self.find(name).ok()?;
        match &entry.arrangement {
            Arrangement::Transposed => shape.reverse(),
            Arrangement::Flat => shape = vec![shape.iter().product()],
            // A range beyond the rows leaves too few of them, which whoever asks for the tensor refuses.
            Arrangement::Rows(rows) if !shape.is_empty() => {
                shape[0] = rows.end.min(shape[0]).saturating_sub(rows.start);
            }
            _ => {}
        }
        Some(shape)
    }

    fn format(&self, name: &str) -> Option<WeightFormat> {
        let entry = self.entries.get(name)?;
        match entry.arrangement {
            Arrangement::Transposed | Arrangement::PlusOne => Some(WeightFormat::F32),
            _ => self.source.format(&entry.name_in_source),
        }
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let (entry, shape) = self.find(name)?;
        let values = self.source.read_f32(&entry.name_in_source)?;
        let rows = shape.first().copied().unwrap_or(1);
        let columns = values.len() / rows.max(1);
        Ok(match &entry.arrangement {
            Arrangement::Same | Arrangement::Flat => values,
            Arrangement::PlusOne => values.into_iter().map(|value| 1.0 + value).collect(),
            Arrangement::Transposed => {
                (0..columns).flat_map(|row| values.iter().skip(row).step_by(columns).copied()).collect()
            }
            Arrangement::Rows(range) => values[range.start * columns..range.end.min(rows) * columns].to_vec(),
            Arrangement::ByKind { heads } => {
                (0..rows).flat_map(|row| &values[by_head(row, rows, *heads) * columns..][..columns]).copied().collect()
            }
        })
    }

    fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<WeightRow>> {
        let (entry, shape) = self.find(name)?;
        let arranged = self.shape(name).unwrap_or_default();
        check_rows(name, &arranged, &rows).map_err(|reason| self.error(reason))?;
        let read = |rows: Range<usize>| self.source.read_rows(&entry.name_in_source, rows);
        match &entry.arrangement {
            Arrangement::Same => read(rows),
            Arrangement::Rows(range) => read(range.start + rows.start..range.start + rows.end),
            Arrangement::Transposed => self.transposed_rows(entry, &shape, rows),
            Arrangement::ByKind { heads } => {
                let one = |row| read(row..row + 1);
                let places = rows.map(|row| one(by_head(row, shape[0], *heads)));
                Ok(places.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
            }
            Arrangement::PlusOne | Arrangement::Flat => {
                Err(self.error(format!("tensor `{name}` is one row, expected a matrix")))
            }
        }
    }
}

/// The place, among `rows` that come head by head, of a row counted kind by kind.
fn by_head(row: usize, rows: usize, heads: usize) -> usize {
    let head_rows = rows / heads / 3;
    let (kind, head, row) = (row / head_rows / heads, row / head_rows % heads, row % head_rows);
    (head * 3 + kind) * head_rows + row
}

/// The prefix is missing in the oldest files, which also carry the causal mask.
fn gpt2(name: &str) -> Vec<(String, Arrangement)> {
    let name = name.strip_prefix("transformer.").unwrap_or(name);
    if name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") {
        return Vec::new();
    }
    let is_matrix = name.starts_with("h.") && name.ends_with(".weight") && name.contains(".c_");
    let arrangement = if is_matrix { Arrangement::Transposed } else { Arrangement::Same };
    vec![(name.to_owned(), arrangement)]
}

fn gpt_neox(name: &str, config: &DecoderConfig) -> Vec<(String, Arrangement)> {
    let name = name.strip_prefix("gpt_neox.").unwrap_or(name);
    if name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias") {
        return Vec::new();
    }
    let name = if name == "embed_out.weight" { "lm_head.weight" } else { name };
    let is_fused = name.contains(".query_key_value.");
    let arrangement = if is_fused { Arrangement::ByKind { heads: config.heads } } else { Arrangement::Same };
    vec![(name.to_owned(), arrangement)]
}

/// A folder that also has a model for images has its text model's names behind a prefix, in one of two places.
fn gemma(name: &str) -> Vec<(String, Arrangement)> {
    let in_model = name.strip_prefix("model.").unwrap_or(name);
    if in_model.starts_with("vision_tower.") || in_model.starts_with("multi_modal_projector.") {
        return Vec::new();
    }
    let name = match (name.strip_prefix("language_model."), in_model.strip_prefix("language_model.")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(name)) => format!("model.{name}"),
        (None, None) => name.to_owned(),
    };
    let arrangement = if name.ends_with("norm.weight") { Arrangement::PlusOne } else { Arrangement::Same };
    vec![(name, arrangement)]
}

/// Older files have the embedding three times, and a table that no layer reads.
fn t5(name: &str) -> Vec<(String, Arrangement)> {
    let is_spare = name.ends_with(".embed_tokens.weight") || name.contains("EncDecAttention.relative_attention_bias");
    if is_spare { Vec::new() } else { vec![(name.to_owned(), Arrangement::Same)] }
}

/// The same, and what is added to logits as a matrix of one row.
fn bart(name: &str) -> Vec<(String, Arrangement)> {
    match name {
        "final_logits_bias" => vec![(name.to_owned(), Arrangement::Flat)],
        _ if name.ends_with(".embed_tokens.weight") => Vec::new(),
        _ => vec![(name.to_owned(), Arrangement::Same)],
    }
}

fn phi3(name: &str, config: &DecoderConfig) -> Vec<(String, Arrangement)> {
    let Some(layer) = name.strip_suffix("gate_up_proj.weight") else {
        return vec![(name.to_owned(), Arrangement::Same)];
    };
    let half = config.intermediate;
    // The second half goes on to the end, so that rows too many do not go unseen.
    let gate = (format!("{layer}gate_proj.weight"), Arrangement::Rows(0..half));
    vec![gate, (format!("{layer}up_proj.weight"), Arrangement::Rows(half..usize::MAX))]
}

#[cfg(test)]
mod tests;
