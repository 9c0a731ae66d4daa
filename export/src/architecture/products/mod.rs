//! Products of a layer, and the operators that compute them.

mod packed;
mod standard;

use super::tensors::Tensors;
use crate::Result;
use crate::onnx::{GraphBuilder, Value};
use crate::{ExportConfig, MatMulOperators};

/// A weight matrix of the checkpoint, `[n, k]`.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    name: String,
    n: usize,
    k: usize,
}

impl Matrix {
    pub(super) fn new(name: &str, n: usize, k: usize) -> Self {
        Self { name: name.to_owned(), n, k }
    }
}

/// Rows times weights, with what an architecture puts before and behind.
pub(super) struct Product<'a> {
    /// The name of the result.
    pub(super) name: String,
    /// `[rows, k]`
    pub(super) input: &'a Value,
    /// The tensor by which the input is normalised first (RMSNorm), and its epsilon.
    pub(super) norm: Option<(String, f32)>,
    /// Their columns follow one another.
    pub(super) weights: Vec<Matrix>,
    /// Tensors added to the columns of each of the weights, with their length; none or as many as weights.
    pub(super) biases: Vec<(String, usize)>,
    /// Whether the result is `silu(first) * second` of two weights.
    pub(super) is_gated: bool,
    /// Added last.
    pub(super) residual: Option<&'a Value>,
}

impl<'a> Product<'a> {
    /// A plain one.
    pub(super) fn new(name: &str, input: &'a Value, weights: impl Into<Vec<Matrix>>) -> Self {
        let (name, weights) = (name.to_owned(), weights.into());
        Self { name, input, norm: None, weights, biases: Vec::new(), is_gated: false, residual: None }
    }
}

/// Writes products with some set of operators.
pub(super) trait Products {
    /// Rows of a matrix by number.
    fn embedding(&mut self, graph: &mut GraphBuilder, tensors: &Tensors, matrix: Matrix, ids: &Value) -> Result<Value>;

    /// A product. Matrices that were written before are not written again.
    fn product(&mut self, graph: &mut GraphBuilder, tensors: &Tensors, product: Product) -> Result<Value>;
}

pub(super) fn new(export: &ExportConfig) -> Box<dyn Products> {
    match export.operators {
        MatMulOperators::Veridraft => Box::new(packed::Packed::new(export.weights)),
        MatMulOperators::Standard => Box::new(standard::Standard::new(export.weights)),
    }
}

/// The biases of a product as one constant.
fn bias(graph: &mut GraphBuilder, tensors: &Tensors, product: &Product) -> Result<Option<Value>> {
    if product.biases.is_empty() {
        return Ok(None);
    }
    let mut bias = Vec::new();
    for (name, length) in &product.biases {
        bias.extend(tensors.read(name, &[*length])?);
    }
    let value = graph.constant(&format!("{}.bias", product.name), &[bias.len()], &bias)?;
    tensors.written();
    Ok(Some(value))
}

/// The weight of a normalisation as a constant.
fn norm_weight(graph: &mut GraphBuilder, tensors: &Tensors, name: &str, k: usize) -> Result<Value> {
    let weight = graph.constant(name, &[k], &tensors.read(name, &[k])?)?;
    tensors.written();
    Ok(weight)
}
