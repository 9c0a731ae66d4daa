//! Products by operators that every ONNX Runtime has, for providers that have none of Veridraft's.
//!
//! Floats run as `Gemm`, quantised weights as `com.microsoft.MatMulNBits`, which has no minima: what the checkpoint
//! stores with one, or with scales of scales, is quantised again.

use std::collections::HashMap;

use super::super::tensors::Tensors;
use super::{Matrix, Product, Products, bias, norm_weight};
use crate::onnx::Attribute::{Float, Int};
use crate::onnx::{GraphBuilder, Value};
use crate::quantize::n_bits::{NBits, bits, n_bits};
use crate::{Result, Weights};

/// The domain of `MatMulNBits`.
const MICROSOFT: &str = "com.microsoft";

/// Accumulates in 8-bit integers, as Veridraft's own operators do.
const ACCURACY_LEVEL: i64 = 4;

/// Writes standard operators.
pub(super) struct Standard {
    weights: Weights,
    floats: HashMap<String, Value>,
}

impl Standard {
    pub(super) fn new(weights: Weights) -> Self {
        Self { weights, floats: HashMap::new() }
    }

    /// A matrix of floats, written once.
    fn floats(&mut self, graph: &mut GraphBuilder, tensors: &Tensors, matrix: &Matrix) -> Result<Value> {
        if let Some(value) = self.floats.get(&matrix.name) {
            return Ok(value.clone());
        }
        let shape = [matrix.n, matrix.k];
        let value = graph.constant(&matrix.name, &shape, &tensors.read(&matrix.name, &shape)?)?;
        tensors.written();
        self.floats.insert(matrix.name.clone(), value.clone());
        Ok(value)
    }

    /// The product with one matrix.
    fn columns(
        &mut self,
        graph: &mut GraphBuilder,
        tensors: &Tensors,
        (name, input): (&str, &Value),
        matrix: &Matrix,
    ) -> Result<Value> {
        tensors.take(&matrix.name, &[matrix.n, matrix.k])?;
        let Some(bits) = bits(tensors.source, &matrix.name, self.weights) else {
            let weight = self.floats(graph, tensors, matrix)?;
            return Ok(graph.standard("Gemm", name, &[input, &weight], &[("transB", Int(1))]));
        };
        let NBits { codes, scales } = n_bits(tensors.source, &matrix.name, bits)?;
        let blocks = matrix.k.div_ceil(NBits::BLOCK);
        let dims = [matrix.n, blocks, NBits::BLOCK * bits / 8];
        let codes = graph.constant_bytes(&format!("{}.{bits}_bits", matrix.name), &dims, |write| write(&codes))?;
        let scales = graph.constant(&format!("{}.scales", matrix.name), &[matrix.n, blocks], &scales)?;
        // A head that is tied is the embedding once more, in fewer bits, and was counted as that.
        if !self.floats.contains_key(&matrix.name) {
            tensors.written();
        }
        let attributes = [
            ("K", Int(matrix.k as i64)),
            ("N", Int(matrix.n as i64)),
            ("bits", Int(bits as i64)),
            ("block_size", Int(NBits::BLOCK as i64)),
            ("accuracy_level", Int(ACCURACY_LEVEL)),
        ];
        let operands = [Some(input), Some(&codes), Some(&scales)];
        graph.domain(MICROSOFT, 1);
        Ok(graph.node((MICROSOFT, "MatMulNBits"), name, &operands, &attributes))
    }
}

impl Products for Standard {
    fn embedding(&mut self, graph: &mut GraphBuilder, tensors: &Tensors, matrix: Matrix, ids: &Value) -> Result<Value> {
        let weights = self.floats(graph, tensors, &matrix)?;
        Ok(graph.standard("Gather", "embedding", &[&weights, ids], &[]))
    }

    fn product(&mut self, graph: &mut GraphBuilder, tensors: &Tensors, product: Product) -> Result<Value> {
        let mut input = product.input.clone();
        if let Some((name, epsilon)) = &product.norm {
            let weight = norm_weight(graph, tensors, name, product.weights[0].k)?;
            let attributes = [("axis", Int(-1)), ("epsilon", Float(*epsilon)), ("stash_type", Int(1))];
            let name = format!("{}.norm", product.name);
            input = graph.standard("SimplifiedLayerNormalization", &name, &[&input, &weight], &attributes);
        }
        // The last node bears the product's name, those before it names of their own.
        let (has_residual, has_bias) = (product.residual.is_some(), !product.biases.is_empty());
        let name = |step: &str, is_last: bool| match is_last {
            true => product.name.clone(),
            false => format!("{}.{step}", product.name),
        };
        let is_plain = product.weights.len() == 1;
        let mut sums = Vec::new();
        for (index, matrix) in product.weights.iter().enumerate() {
            let name = name(&format!("product_{index}"), is_plain && !has_bias && !has_residual);
            sums.push(self.columns(graph, tensors, (&name, &input), matrix)?);
        }
        let joined = name("columns", !has_bias && !has_residual);
        let mut result = match &sums[..] {
            [sum] => sum.clone(),
            [gate, up] if product.is_gated => gated(graph, &joined, gate, up),
            sums => graph.standard("Concat", &joined, &sums.iter().collect::<Vec<_>>(), &[("axis", Int(1))]),
        };
        if let Some(bias) = bias(graph, tensors, &product)? {
            result = graph.standard("Add", &name("biased", !has_residual), &[&result, &bias], &[]);
        }
        if let Some(residual) = product.residual {
            result = graph.standard("Add", &product.name, &[residual, &result], &[]);
        }
        Ok(result)
    }
}

/// `silu(gate) * up`
fn gated(graph: &mut GraphBuilder, name: &str, gate: &Value, up: &Value) -> Value {
    let sigmoid = graph.standard("Sigmoid", &format!("{name}.sigmoid"), &[gate], &[]);
    let silu = graph.standard("Mul", &format!("{name}.silu"), &[gate, &sigmoid], &[]);
    graph.standard("Mul", name, &[&silu, up], &[])
}
