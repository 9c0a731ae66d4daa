//! ONNX Runtime's attention of a layer, `com.microsoft.GroupQueryAttention`, with keys and values in place.
//!
//! Each layer's keys and values are one buffer, bound as `past` and as `present`; the operator sees that they are the
//! same and appends without copying.

use anyhow::{Result, ensure};
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};
use ort::value::Tensor;
use veridraft_export::onnx::Attribute::{Float, Int};
use veridraft_export::onnx::{Attribute, Axis, ElementType, GraphBuilder, Value};

use crate::quantised::MICROSOFT;
use crate::sizes::{HEAD_DIM, HEADS, KV_HEADS, LAYERS, Pass, SCALE, SLOTS, rotary_angle};

/// The first axis of what each sequence has its own of.
pub(crate) const SEQUENCES: Axis = Axis::Named("sequences");

/// What every layer's attention takes beside its rows.
pub(crate) struct Inputs {
    last_positions: Value,
    tokens: Value,
    cos: Value,
    sin: Value,
}

impl Inputs {
    /// Declares the inputs and writes the tables.
    pub(crate) fn create(graph: &mut GraphBuilder) -> Result<Self> {
        Ok(Self {
            last_positions: graph.input_of("last_positions", ElementType::I32, &[SEQUENCES]),
            tokens: graph.input_of("tokens", ElementType::I32, &[]),
            cos: graph.constant("cos", &[SLOTS, HEAD_DIM / 2], &rotary(f32::cos))?,
            sin: graph.constant("sin", &[SLOTS, HEAD_DIM / 2], &rotary(f32::sin))?,
        })
    }
}

/// Adds the attention of a layer over fused rows of queries, keys and values.
pub(crate) fn attention(graph: &mut GraphBuilder, layer: usize, qkv: &Value, inputs: &Inputs) -> Value {
    let axes = [SEQUENCES, Axis::Fixed(KV_HEADS), Axis::Named("slots"), Axis::Fixed(HEAD_DIM)];
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
        ("scale", Float(SCALE)),
    ];
    let name = format!("layer.{layer}.attention");
    let (keys, values) = (present(2 * layer), present(2 * layer + 1));
    let outputs = [name.as_str(), &keys, &values];
    let [attended, presents @ ..] =
        graph.node_with_outputs((MICROSOFT, "GroupQueryAttention"), &outputs, &operands, &attributes);
    presents.iter().for_each(|present| graph.output_of(present, ElementType::F32, &axes));
    attended
}

/// Keys and values of all layers, `[sequences, KV_HEADS, slots, HEAD_DIM]` each; keys have even, values odd numbers.
struct LayerBuffers(Vec<Tensor<f32>>);

impl LayerBuffers {
    /// One sequence has room for the longest of all passes, several have as much as they need.
    fn create(pass: Pass) -> Result<Self> {
        let slots = if pass.sequences == 1 { SLOTS } else { (pass.context + pass.rows_each()).next_multiple_of(64) };
        let buffer = || {
            let axes = [pass.sequences, KV_HEADS, slots, HEAD_DIM];
            let mut buffer = Tensor::<f32>::new(&Allocator::default(), axes)?;
            buffer.extract_tensor_mut().1.fill(0.0);
            anyhow::Ok(buffer)
        };
        Ok(Self((0..2 * LAYERS).map(|_| buffer()).collect::<Result<_>>()?))
    }

    /// Binds the buffers and where the rows of a pass stand.
    fn bind(&mut self, binding: &mut IoBinding, pass: Pass) -> Result<()> {
        let tokens = (pass.context + pass.rows_each()) as i32;
        let last_positions = vec![tokens - 1; pass.sequences];
        binding.bind_input("last_positions", &Tensor::from_array(([pass.sequences], last_positions))?)?;
        binding.bind_input("tokens", &Tensor::from_array(([0_usize; 0], vec![tokens]))?)?;
        for (index, buffer) in self.0.iter_mut().enumerate() {
            binding.bind_input(past(index), buffer)?;
            binding.bind_output(present(index), buffer)?;
        }
        Ok(())
    }

    /// Checks that a pass has left its last key in the first layer's buffer, so that nothing was copied elsewhere.
    fn check_in_place(&self, pass: Pass) -> Result<()> {
        let (_, keys) = self.0[0].extract_tensor();
        let last = &keys[(pass.context + pass.rows_each() - 1) * HEAD_DIM..][..HEAD_DIM];
        ensure!(last.iter().any(|&value| value != 0.0), "keys were not appended to the bound buffer");
        Ok(())
    }
}

/// A session with its buffers, and what was bound for each pass so far.
pub(crate) struct BoundSession {
    session: Session,
    /// By the number of sequences.
    buffers: Vec<(usize, LayerBuffers)>,
    bindings: Vec<(Pass, IoBinding)>,
}

impl BoundSession {
    pub(crate) fn create(session: Session) -> Result<Self> {
        Ok(Self { session, buffers: Vec::new(), bindings: Vec::new() })
    }

    /// Runs a pass. Before its first run `bind` binds what the graph takes and gives beside the buffers, and after it keys
    /// are checked to be in place.
    pub(crate) fn run(&mut self, pass: Pass, bind: impl FnOnce(&mut IoBinding) -> Result<()>) -> Result<()> {
        if let Some((_, binding)) = self.bindings.iter().find(|(bound, _)| *bound == pass) {
            self.session.run_binding(binding)?;
            return Ok(());
        }
        let mut binding = self.session.create_binding()?;
        bind(&mut binding)?;
        let buffers = self.buffers(pass)?;
        buffers.bind(&mut binding, pass)?;
        self.session.run_binding(&binding)?;
        self.bindings.push((pass, binding));
        self.buffers(pass)?.check_in_place(pass)
    }

    fn buffers(&mut self, pass: Pass) -> Result<&mut LayerBuffers> {
        let place = match self.buffers.iter().position(|(sequences, _)| *sequences == pass.sequences) {
            Some(place) => place,
            None => {
                self.buffers.push((pass.sequences, LayerBuffers::create(pass)?));
                self.buffers.len() - 1
            }
        };
        Ok(&mut self.buffers[place].1)
    }
}

/// The input that buffer `index` is bound to.
fn past(index: usize) -> String {
    format!("past.{index}")
}

fn present(index: usize) -> String {
    format!("present.{index}")
}

/// `[SLOTS, HEAD_DIM / 2]`
fn rotary(function: fn(f32) -> f32) -> Vec<f32> {
    let angles = (0..SLOTS).flat_map(|position| (0..HEAD_DIM / 2).map(move |pair| rotary_angle(position, pair)));
    angles.map(function).collect()
}
