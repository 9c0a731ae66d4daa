//! A whole forward pass by ONNX Runtime's own operators, from embedded rows to logits, with keys and values in place.

use std::path::Path;

use anyhow::Result;
use ort::environment::Environment;
use ort::memory::Allocator;
use ort::value::Tensor;
use veridraft_export::onnx::Attribute::{Float, Int};
use veridraft_export::onnx::{Attribute, Axis, ElementType, Value};

use crate::contender::Contender;
use crate::grouped_attention::{BoundSession, Inputs, SEQUENCES, attention};
use crate::quantised::{MICROSOFT, QuantisedGraph};
use crate::session;
use crate::sizes::{DOWN, GATE_UP, HEAD, HIDDEN, LAYERS, O, Pass, QKV, VOCABULARY};

/// A session on the graph.
pub(crate) struct OrtForward {
    session: BoundSession,
    weight_bytes: u64,
}

impl OrtForward {
    pub(crate) fn create(environment: &Environment, folder: &Path) -> Result<Self> {
        let path = folder.join("forward.onnx");
        let weight_bytes = write(&path)?;
        Ok(Self { session: BoundSession::create(session::open(environment, &path)?)?, weight_bytes })
    }
}

impl Contender for OrtForward {
    fn name(&self) -> String {
        "ONNX Runtime".to_owned()
    }

    fn bytes(&self, _: Pass) -> u64 {
        self.weight_bytes
    }

    fn run(&mut self, pass: Pass) -> Result<()> {
        let Pass { sequences, logits, .. } = pass;
        let (rows, logits) = (pass.rows_each(), logits / sequences);
        self.session.run(pass, |binding| {
            let hidden = vec![0.5_f32; pass.rows * HIDDEN];
            binding.bind_input("hidden", &Tensor::from_array(([sequences, rows, HIDDEN], hidden))?)?;
            binding.bind_input("logit_rows", &Tensor::from_array(([logits], pass.logit_rows()))?)?;
            let result = Tensor::<f32>::new(&Allocator::default(), [sequences, logits, VOCABULARY])?;
            Ok(binding.bind_output("logits", result)?)
        })
    }
}

/// Writes the graph and returns the bytes of its matmuls' weights.
fn write(path: &Path) -> Result<u64> {
    let mut builder = QuantisedGraph::create(path)?;
    let graph = &mut builder.graph;
    let axes = [SEQUENCES, Axis::Named("rows"), Axis::Fixed(HIDDEN)];
    let mut hidden = graph.input_of("hidden", ElementType::F32, &axes);
    let logit_rows = graph.input("logit_rows", ElementType::I64, &["logits"]);
    let inputs = Inputs::create(graph)?;
    let weight = builder.graph.constant("norm.weight", &[HIDDEN], &[1.0; HIDDEN])?;
    let attributes = [("axis", Int(-1)), epsilon(), ("stash_type", Int(1))];
    let mut normed = builder.graph.standard("SimplifiedLayerNormalization", "norm", &[&hidden, &weight], &attributes);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("layer.{layer}.{part}");
        let qkv = builder.matmul(&name("qkv"), &normed, QKV)?;
        let attended = attention(&mut builder.graph, layer, &qkv, &inputs);
        let o = builder.matmul(&name("o"), &attended, O)?;
        [normed, hidden] = add_and_norm(&mut builder, &name("attention_norm"), &o, &hidden)?;
        let gate_up = builder.matmul(&name("gate_up"), &normed, GATE_UP)?;
        let gated = silu_gate(&mut builder, &name("gated"), &gate_up);
        let down = builder.matmul(&name("down"), &gated, DOWN)?;
        [normed, hidden] = add_and_norm(&mut builder, &name("mlp_norm"), &down, &hidden)?;
    }
    let wanted = builder.graph.standard("Gather", "wanted", &[&normed, &logit_rows], &[("axis", Int(1))]);
    let logits = builder.matmul("logits", &wanted, HEAD)?;
    let axes = [SEQUENCES, Axis::Named("logits"), Axis::Fixed(VOCABULARY)];
    builder.graph.output_of(&logits, ElementType::F32, &axes);
    builder.graph.finish()?;
    Ok(builder.weight_bytes)
}

/// The norm of the sum, and the sum.
fn add_and_norm(builder: &mut QuantisedGraph, name: &str, rows: &Value, residual: &Value) -> Result<[Value; 2]> {
    let graph = &mut builder.graph;
    let weight = graph.constant(&format!("{name}.weight"), &[HIDDEN], &[1.0; HIDDEN])?;
    let sum = format!("{name}.sum");
    let operands = [rows, residual, &weight].map(Some);
    let operator = (MICROSOFT, "SkipSimplifiedLayerNormalization");
    let [normed, _, _, sum] = graph.node_with_outputs(operator, &[name, "", "", &sum], &operands, &[epsilon()]);
    Ok([normed, sum])
}

fn silu_gate(builder: &mut QuantisedGraph, name: &str, gate_up: &Value) -> Value {
    let graph = &mut builder.graph;
    let parts = [format!("{name}.gate"), format!("{name}.up")];
    let outputs = parts.each_ref().map(String::as_str);
    let [gate, up] = graph.node_with_outputs(("", "Split"), &outputs, &[Some(gate_up)], &[("axis", Int(-1))]);
    let sigmoid = graph.standard("Sigmoid", &format!("{name}.sigmoid"), &[&gate], &[]);
    let silu = graph.standard("Mul", &format!("{name}.silu"), &[&gate, &sigmoid], &[]);
    graph.standard("Mul", name, &[&silu, &up], &[])
}

fn epsilon() -> (&'static str, Attribute) {
    ("epsilon", Float(1e-5))
}
