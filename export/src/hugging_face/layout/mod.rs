//! Which tensors a Hugging Face folder of an architecture has, and what of a checkpoint each is made of.

mod gpt2;
mod gpt_neox;
mod llama;

use crate::checkpoint::{DecoderConfig, TensorSource};
use crate::{Error, Result};

/// Architectures that have a layout here.
const KNOWN: &[&str] =
    &["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox", "olmo", "olmo2"];

/// A tensor of the folder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) origin: Origin,
}

/// What a tensor is made of, by names in the checkpoint. A checkpoint has tensors as graphs take them; where a folder stores
/// them in another way, this is the way back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    /// A tensor as it is.
    Same(String),
    /// A matrix with rows and columns exchanged.
    Transposed(String),
    /// What numbers are multiplied by, stored as what is added to 1.
    MinusOne(String),
    /// Rows that come kind by kind (q, k, v) and are stored head by head.
    ByHead { name: String, heads: usize },
    /// Two matrices, one under the other.
    Stacked([String; 2]),
}

impl Tensor {
    /// A tensor that is stored as a checkpoint has it, under the same name.
    fn same(name: impl Into<String>, shape: &[usize]) -> Self {
        let name = name.into();
        Self { origin: Origin::Same(name.clone()), name, shape: shape.to_vec() }
    }

    /// The tensors that it is made of, and their shapes.
    fn sources(&self) -> Vec<(&str, Vec<usize>)> {
        match &self.origin {
            Origin::Same(name) | Origin::MinusOne(name) | Origin::ByHead { name, .. } => {
                vec![(name, self.shape.clone())]
            }
            Origin::Transposed(name) => vec![(name, self.shape.iter().rev().copied().collect())],
            Origin::Stacked(names) => {
                let half = [&[self.shape[0] / 2], &self.shape[1..]].concat();
                names.iter().map(|name| (name.as_str(), half.clone())).collect()
            }
        }
    }
}

/// All of the model's tensors, each seen to be in `source` in its shape, and nothing else there.
pub(super) fn tensors(config: &DecoderConfig, source: &dyn TensorSource) -> Result<Vec<Tensor>> {
    let tensors = match config.architecture.as_str() {
        "gpt2" => gpt2::tensors(config),
        "gpt_neox" => gpt_neox::tensors(config),
        known if KNOWN.contains(&known) => llama::tensors(config),
        other => {
            let (path, found) = (source.path().to_owned(), other.to_owned());
            return Err(Error::UnknownArchitecture { path, found, known: KNOWN });
        }
    };
    check(&tensors, source).map_err(Error::checkpoint(source.path()))?;
    Ok(tensors)
}

fn check(tensors: &[Tensor], source: &dyn TensorSource) -> Result<(), String> {
    let expected: Vec<_> = tensors.iter().flat_map(Tensor::sources).collect();
    for (name, shape) in &expected {
        match source.shape(name) {
            Some(found) if found == *shape => {}
            Some(found) => return Err(format!("tensor `{name}` is {found:?}, expected {shape:?}")),
            None => return Err(format!("tensor `{name}` is missing, expected {shape:?}")),
        }
    }
    let names: std::collections::HashSet<_> = expected.iter().map(|(name, _)| *name).collect();
    match source.names().into_iter().find(|name| !names.contains(name)) {
        Some(name) => Err(format!("tensor `{name}` has no place in the model as the file's metadata describes it")),
        None => Ok(()),
    }
}
