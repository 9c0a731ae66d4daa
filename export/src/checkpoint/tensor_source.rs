//! Weights by name, whatever file they come from.

use std::path::Path;

use crate::Result;

/// The tensors of a checkpoint under their Hugging Face names, such as `model.layers.0.self_attn.q_proj.weight`.
///
/// Shapes are row-major, `[out, in]` for a projection.
pub trait TensorSource {
    /// The file or folder that holds the tensors, for messages.
    fn path(&self) -> &Path;

    /// All names, sorted.
    fn names(&self) -> Vec<&str>;

    /// The shape of a tensor; `None` when there is none of that name.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// The values of a tensor as f32, in the order that the Hugging Face checkpoint has.
    fn read_f32(&self, name: &str) -> Result<Vec<f32>>;
}
