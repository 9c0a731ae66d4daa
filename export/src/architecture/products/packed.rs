//! Products by `veridraft.MatMul`: one node each, weights in panels.

use std::collections::HashMap;

use veridraft_kernels::{LAYOUT_VERSION, WeightFormat};
use veridraft_models::operators::DOMAIN;

use super::super::tensors::Tensors;
use super::{Matrix, Product, Products, bias, norm_weight};
use crate::onnx::Attribute::{Float, Int, Ints, Text};
use crate::onnx::{GraphBuilder, Value};
use crate::quantize::packing::{pack, packed_shape};
use crate::{Result, Weights};

/// Writes packed weights.
pub(super) struct Packed {
    weights: Weights,
    written: HashMap<String, (WeightFormat, Value)>,
}

impl Packed {
    pub(super) fn new(weights: Weights) -> Self {
        Self { weights, written: HashMap::new() }
    }

    /// A matrix in panels, written once.
    fn matrix(
        &mut self,
        graph: &mut GraphBuilder,
        tensors: &Tensors,
        matrix: &Matrix,
    ) -> Result<(WeightFormat, Value)> {
        if let Some(written) = self.written.get(&matrix.name) {
            return Ok(written.clone());
        }
        let Matrix { name, n, k } = matrix;
        tensors.take(name, &[*n, *k])?;
        let shape = packed_shape(tensors.source, name, self.weights)?;
        let format = shape.format;
        let dims = [format.panels(shape.n), shape.panel_bytes];
        let value = graph.constant_bytes(name, &dims, |write| pack(tensors.source, name, shape, write))?;
        tensors.written();
        self.written.insert(name.clone(), (format, value.clone()));
        Ok((format, value))
    }
}

impl Products for Packed {
    fn embedding(&mut self, graph: &mut GraphBuilder, tensors: &Tensors, matrix: Matrix, ids: &Value) -> Result<Value> {
        let (format, weights) = self.matrix(graph, tensors, &matrix)?;
        let attributes = [
            ("version", Int(1)),
            ("layout", Int(LAYOUT_VERSION)),
            ("k", Int(matrix.k as i64)),
            ("columns", Int(matrix.n as i64)),
            ("format", Text(format.to_string())),
        ];
        Ok(graph.node((DOMAIN, "Embedding"), "embedding", &[Some(ids), Some(&weights)], &attributes))
    }

    fn product(&mut self, graph: &mut GraphBuilder, tensors: &Tensors, product: Product) -> Result<Value> {
        let k = product.weights[0].k;
        let (norm, epsilon) = match &product.norm {
            Some((name, epsilon)) => (Some(norm_weight(graph, tensors, name, k)?), *epsilon),
            None => (None, 0.0),
        };
        let (mut formats, mut segments) = (Vec::new(), Vec::new());
        for matrix in &product.weights {
            let (format, value) = self.matrix(graph, tensors, matrix)?;
            formats.push(format.name());
            segments.push(value);
        }
        let bias = bias(graph, tensors, &product)?;
        let mut inputs = vec![Some(product.input)];
        inputs.extend((0..3).map(|segment| segments.get(segment)));
        inputs.extend([norm.as_ref(), bias.as_ref(), product.residual]);
        let attributes = [
            ("version", Int(1)),
            ("layout", Int(LAYOUT_VERSION)),
            ("k", Int(k as i64)),
            ("columns", Ints(product.weights.iter().map(|matrix| matrix.n as i64).collect())),
            ("formats", Text(formats.join(","))),
            ("gated", Int(i64::from(product.is_gated))),
            ("epsilon", Float(epsilon)),
        ];
        Ok(graph.node((DOMAIN, "MatMul"), &product.name, &inputs, &attributes))
    }
}
