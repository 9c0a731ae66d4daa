//! What an encoder's graph is written with: its inputs, and the parts that layers are made of.

use super::super::products::{Matrix, Product, Products};
use super::super::tensors::Tensors;
use super::Names;
use crate::Result;
use crate::checkpoint::{MaskedActivation, MaskedConfig};
use crate::onnx::Attribute::{Float, Int, Ints};
use crate::onnx::{ElementType, GraphBuilder, Value};

/// The domain of operators that ONNX Runtime has beside the standard ones.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// A graph under construction with what its weights come from.
pub(super) struct Writer<'a> {
    pub(super) graph: GraphBuilder,
    pub(super) inputs: Inputs,
    pub(super) config: &'a MaskedConfig,
    pub(super) names: &'a Names,
    pub(super) tensors: &'a Tensors<'a>,
    pub(super) products: Box<dyn Products>,
}

/// The graph's inputs; what they are is said in `masked_model/roles.rs` of the models crate.
pub(super) struct Inputs {
    pub(super) input_ids: Value,
    pub(super) attention_mask: Value,
    pub(super) logit_rows: Value,
}

impl Inputs {
    pub(super) fn declare(graph: &mut GraphBuilder) -> Self {
        Self {
            input_ids: graph.input("input_ids", ElementType::I64, &["batch", "sequence"]),
            attention_mask: graph.input("attention_mask", ElementType::I64, &["batch", "sequence"]),
            logit_rows: graph.input("logit_rows", ElementType::I64, &["wanted"]),
        }
    }
}

impl Writer<'_> {
    /// The product with `NAME.weight`, `[n, k]`, and `NAME.bias` added.
    pub(super) fn linear(&mut self, result: &str, input: &Value, name: &str, [n, k]: [usize; 2]) -> Result<Value> {
        let biases = vec![(format!("{name}.bias"), n)];
        let weights = [Matrix::new(&format!("{name}.weight"), n, k)];
        self.product(Product { biases, ..Product::new(result, input, weights) })
    }

    /// [`linear`](Self::linear) with `residual` added.
    pub(super) fn added(
        &mut self,
        result: &str,
        input: &Value,
        name: &str,
        [n, k]: [usize; 2],
        residual: &Value,
    ) -> Result<Value> {
        let biases = vec![(format!("{name}.bias"), n)];
        let weights = [Matrix::new(&format!("{name}.weight"), n, k)];
        self.product(Product { biases, residual: Some(residual), ..Product::new(result, input, weights) })
    }

    pub(super) fn product(&mut self, product: Product) -> Result<Value> {
        self.products.product(&mut self.graph, self.tensors, product)
    }

    /// Layer normalisation (Ba et al. 2016) of the last axis.
    pub(super) fn norm(&mut self, input: &Value, name: &str, width: usize) -> Result<Value> {
        // Checkpoints from before PyTorch have other names for the two.
        let [weight, bias] = [("weight", "gamma"), ("bias", "beta")].map(|(part, old)| {
            let [name, old_name] = [part, old].map(|part| format!("{name}.{part}"));
            let is_old = self.tensors.source.shape(&name).is_none() && self.tensors.source.shape(&old_name).is_some();
            if is_old { old_name } else { name }
        });
        let [weight, bias] = [self.vector(&weight, width)?, self.vector(&bias, width)?];
        let attributes = [("axis", Int(-1)), ("epsilon", Float(self.config.norm_eps)), ("stash_type", Int(1))];
        Ok(self.graph.standard("LayerNormalization", name, &[input, &weight, &bias], &attributes))
    }

    pub(super) fn vector(&mut self, name: &str, length: usize) -> Result<Value> {
        let value = self.graph.constant(name, &[length], &self.tensors.read(name, &[length])?)?;
        self.tensors.written();
        Ok(value)
    }

    pub(super) fn activated(&mut self, name: &str, input: &Value, activation: MaskedActivation) -> Value {
        match activation {
            MaskedActivation::Gelu => self.graph.node((MICROSOFT, "Gelu"), name, &[Some(input)], &[]),
            MaskedActivation::GeluTanh => self.graph.node((MICROSOFT, "FastGelu"), name, &[Some(input)], &[]),
            MaskedActivation::Relu => self.graph.standard("Relu", name, &[input], &[]),
        }
    }

    /// Rows as `[batch, sequence, width]`.
    pub(super) fn in_batch(&mut self, name: &str, rows: &Value, width: usize) -> Value {
        let batch = self.graph.standard("Shape", &format!("{name}.axes"), &[&self.inputs.input_ids], &[]);
        let width = self.integers(&format!("{name}.width"), &[width as i64]);
        let shape = self.graph.standard("Concat", &format!("{name}.shape"), &[&batch, &width], &[("axis", Int(0))]);
        self.graph.standard("Reshape", name, &[rows, &shape], &[])
    }

    pub(super) fn reshaped(&mut self, name: &str, input: &Value, shape: &[i64]) -> Value {
        let shape = self.integers(&format!("{name}.shape"), shape);
        self.graph.standard("Reshape", name, &[input, &shape], &[])
    }

    /// A constant of one axis. It stands in the graph itself, where what derives shapes can read it.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> Value {
        self.graph.node(("", "Constant"), name, &[], &[("value_ints", Ints(values.to_vec()))])
    }

    pub(super) fn integer(&mut self, name: &str, value: i64) -> Value {
        self.graph.node(("", "Constant"), name, &[], &[("value_int", Int(value))])
    }
}
