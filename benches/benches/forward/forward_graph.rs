//! A whole forward pass by ONNX Runtime's own operators, from embedded rows to logits, with keys and values in place.
//!
//! Each layer's keys and values are one buffer, bound as `past` and as `present`; the operator sees that they are the
//! same and appends without copying.

use std::path::Path;

use anyhow::{Result, ensure};
use ort::environment::Environment;

use ort::memory::Allocator;
use ort::session::{IoBinding, Session};
use ort::value::Tensor;
use veridraft_export::onnx::Attribute::{Float, Int};
use veridraft_export::onnx::{Attribute, Axis, ElementType, Value};

use crate::contender::Contender;
use crate::quantised::{MICROSOFT, QuantisedGraph};
use crate::session;
use crate::sizes::{DOWN, GATE_UP, HEAD, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, O, Pass, QKV, VOCABULARY};

/// Tokens that a buffer has room for.
const SLOTS: usize = 1024;

/// A session on the graph, its buffers, and what was bound for each pass so far.
pub(crate) struct OrtForward {
    session: Session,
    weight_bytes: u64,
    buffers: Vec<Tensor<f32>>,
    bindings: Vec<(Pass, IoBinding)>,
}

impl OrtForward {
    pub(crate) fn create(environment: &Environment, folder: &Path) -> Result<Self> {
        let path = folder.join("forward.onnx");
        let weight_bytes = write(&path)?;
        let buffer = || {
            let mut buffer = Tensor::<f32>::new(&Allocator::default(), [1, KV_HEADS, SLOTS, HEAD_DIM])?;
            buffer.extract_tensor_mut().1.fill(0.0);
            anyhow::Ok(buffer)
        };
        let buffers = (0..2 * LAYERS).map(|_| buffer()).collect::<Result<_>>()?;
        Ok(Self { session: session::open(environment, &path)?, weight_bytes, buffers, bindings: Vec::new() })
    }

    fn bind(&mut self, pass: Pass) -> Result<IoBinding> {
        let Pass { rows, context, logits } = pass;
        let tokens = (context + rows) as i32;
        let mut binding = self.session.create_binding()?;
        let hidden = vec![0.5_f32; rows * HIDDEN];
        binding.bind_input("hidden", &Tensor::from_array(([1, rows, HIDDEN], hidden))?)?;
        binding.bind_input("last_positions", &Tensor::from_array(([1], vec![tokens - 1]))?)?;
        binding.bind_input("tokens", &Tensor::from_array(([0_usize; 0], vec![tokens]))?)?;
        binding.bind_input("logit_rows", &Tensor::from_array(([logits], pass.logit_rows()))?)?;
        for (index, buffer) in self.buffers.iter_mut().enumerate() {
            binding.bind_input(past(index), buffer)?;
            binding.bind_output(present(index), buffer)?;
        }
        let result = Tensor::<f32>::new(&Allocator::default(), [1, logits, VOCABULARY])?;
        binding.bind_output("logits", result)?;
        Ok(binding)
    }

    /// Checks that a pass has left its last key in the first layer's buffer, so that nothing was copied elsewhere.
    fn check_in_place(&self, pass: Pass) -> Result<()> {
        let (_, keys) = self.buffers[0].extract_tensor();
        let last = &keys[(pass.context + pass.rows - 1) * HEAD_DIM..][..HEAD_DIM];
        ensure!(last.iter().any(|&value| value != 0.0), "keys were not appended to the bound buffer");
        Ok(())
    }
}

impl Contender for OrtForward {
    fn name(&self) -> String {
        "ONNX Runtime".to_owned()
    }

    fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    fn run(&mut self, pass: Pass) -> Result<()> {
        if let Some((_, binding)) = self.bindings.iter().find(|(bound, _)| *bound == pass) {
            self.session.run_binding(binding)?;
            return Ok(());
        }
        let binding = self.bind(pass)?;
        self.session.run_binding(&binding)?;
        self.bindings.push((pass, binding));
        self.check_in_place(pass)
    }
}

/// The input that buffer `index` is bound to; keys have even, values odd numbers.
fn past(index: usize) -> String {
    format!("past.{index}")
}

fn present(index: usize) -> String {
    format!("present.{index}")
}

/// What every layer's attention takes beside its rows.
struct Inputs {
    last_positions: Value,
    tokens: Value,
    cos: Value,
    sin: Value,
}

/// Writes the graph and returns the bytes of its matmuls' weights.
fn write(path: &Path) -> Result<u64> {
    let mut builder = QuantisedGraph::create(path)?;
    let graph = &mut builder.graph;
    let axes = [Axis::Fixed(1), Axis::Named("rows"), Axis::Fixed(HIDDEN)];
    let mut hidden = graph.input_of("hidden", ElementType::F32, &axes);
    let logit_rows = graph.input("logit_rows", ElementType::I64, &["logits"]);
    let inputs = Inputs {
        last_positions: graph.input_of("last_positions", ElementType::I32, &[Axis::Fixed(1)]),
        tokens: graph.input_of("tokens", ElementType::I32, &[]),
        cos: graph.constant("cos", &[SLOTS, HEAD_DIM / 2], &rotary(f32::cos))?,
        sin: graph.constant("sin", &[SLOTS, HEAD_DIM / 2], &rotary(f32::sin))?,
    };
    let weight = builder.graph.constant("norm.weight", &[HIDDEN], &[1.0; HIDDEN])?;
    let attributes = [("axis", Int(-1)), epsilon(), ("stash_type", Int(1))];
    let mut normed = builder.graph.standard("SimplifiedLayerNormalization", "norm", &[&hidden, &weight], &attributes);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("layer.{layer}.{part}");
        let qkv = builder.matmul(&name("qkv"), &normed, QKV)?;
        let attended = attention(&mut builder, layer, &qkv, &inputs);
        let o = builder.matmul(&name("o"), &attended, O)?;
        [normed, hidden] = add_and_norm(&mut builder, &name("attention_norm"), &o, &hidden)?;
        let gate_up = builder.matmul(&name("gate_up"), &normed, GATE_UP)?;
        let gated = silu_gate(&mut builder, &name("gated"), &gate_up);
        let down = builder.matmul(&name("down"), &gated, DOWN)?;
        [normed, hidden] = add_and_norm(&mut builder, &name("mlp_norm"), &down, &hidden)?;
    }
    let wanted = builder.graph.standard("Gather", "wanted", &[&normed, &logit_rows], &[("axis", Int(1))]);
    let logits = builder.matmul("logits", &wanted, HEAD)?;
    let axes = [Axis::Fixed(1), Axis::Named("logits"), Axis::Fixed(VOCABULARY)];
    builder.graph.output_of(&logits, ElementType::F32, &axes);
    builder.graph.finish()?;
    Ok(builder.weight_bytes)
}

fn attention(builder: &mut QuantisedGraph, layer: usize, qkv: &Value, inputs: &Inputs) -> Value {
    let graph = &mut builder.graph;
    let axes = [1, KV_HEADS, SLOTS, HEAD_DIM].map(Axis::Fixed);
    let pasts = [2 * layer, 2 * layer + 1].map(|index| graph.input_of(&past(index), ElementType::F32, &axes));
    let Inputs { last_positions, tokens, cos, sin } = inputs;
    let operands = [
        Some(qkv),
        None,
        None,
        Some(&pasts[0]),
        Some(&pasts[1]),
        Some(last_positions),
        Some(tokens),
        Some(cos),
        Some(sin),
    ];
    let attributes: [(&str, Attribute); 4] = [
        ("num_heads", Int(HEADS as i64)),
        ("kv_num_heads", Int(KV_HEADS as i64)),
        ("do_rotary", Int(1)),
        ("scale", Float(1.0 / (HEAD_DIM as f32).sqrt())),
    ];
    let name = format!("layer.{layer}.attention");
    let (keys, values) = (present(2 * layer), present(2 * layer + 1));
    let outputs = [name.as_str(), &keys, &values];
    let [attended, presents @ ..] =
        graph.node_with_outputs((MICROSOFT, "GroupQueryAttention"), &outputs, &operands, &attributes);
    presents.iter().for_each(|present| graph.output_of(present, ElementType::F32, &axes));
    attended
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

/// The table of a rotary embedding of base 100000, `[SLOTS, HEAD_DIM / 2]`.
fn rotary(function: fn(f32) -> f32) -> Vec<f32> {
    let frequency = |pair: usize| 100_000_f32.powf(-2.0 * pair as f32 / HEAD_DIM as f32);
    let angles = (0..SLOTS).flat_map(|position| (0..HEAD_DIM / 2).map(move |pair| position as f32 * frequency(pair)));
    angles.map(function).collect()
}
