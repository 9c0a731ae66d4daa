//! The attention of all layers and nothing else, by ONNX Runtime.
//!
//! Every layer attends with the same rows of queries, keys and values. What it makes of them is read by nobody but in the
//! last layer; its keys and values are outputs of the graph, so no node is dropped.

use std::path::Path;

use anyhow::Result;
use ort::environment::Environment;
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};
use ort::value::Tensor;
use veridraft_export::onnx::{Axis, ElementType, GraphBuilder};

use crate::contender::Contender;
use crate::grouped_attention::{Inputs, LayerBuffers, attention};
use crate::quantised::MICROSOFT;
use crate::session;
use crate::sizes::{HEAD_DIM, HEADS, LAYERS, Pass, QKV, noise};

/// A session on the graph, its buffers, and what was bound for each pass so far.
pub(crate) struct OrtAttention {
    session: Session,
    buffers: LayerBuffers,
    bindings: Vec<(Pass, IoBinding)>,
}

impl OrtAttention {
    pub(crate) fn create(environment: &Environment, folder: &Path) -> Result<Self> {
        let path = folder.join("attention.onnx");
        write(&path)?;
        let buffers = LayerBuffers::create()?;
        Ok(Self { session: session::open(environment, &path)?, buffers, bindings: Vec::new() })
    }

    fn bind(&mut self, pass: Pass) -> Result<IoBinding> {
        let mut binding = self.session.create_binding()?;
        binding.bind_input("qkv", &Tensor::from_array(([1, pass.rows, QKV.outs], noise(pass.rows * QKV.outs)))?)?;
        self.buffers.bind(&mut binding, pass)?;
        let result = Tensor::<f32>::new(&Allocator::default(), [1, pass.rows, HEADS * HEAD_DIM])?;
        binding.bind_output(output(LAYERS - 1), result)?;
        Ok(binding)
    }
}

impl Contender for OrtAttention {
    fn name(&self) -> String {
        "ONNX Runtime".to_owned()
    }

    fn bytes(&self, pass: Pass) -> u64 {
        pass.kv_bytes()
    }

    fn run(&mut self, pass: Pass) -> Result<()> {
        if let Some((_, binding)) = self.bindings.iter().find(|(bound, _)| *bound == pass) {
            self.session.run_binding(binding)?;
            return Ok(());
        }
        let binding = self.bind(pass)?;
        self.session.run_binding(&binding)?;
        self.bindings.push((pass, binding));
        self.buffers.check_in_place(pass)
    }
}

fn output(layer: usize) -> String {
    format!("layer.{layer}.attention")
}

fn write(path: &Path) -> Result<()> {
    let mut graph = GraphBuilder::create(path)?;
    graph.domain(MICROSOFT, 1);
    let axes = [Axis::Fixed(1), Axis::Named("rows"), Axis::Fixed(QKV.outs)];
    let qkv = graph.input_of("qkv", ElementType::F32, &axes);
    let inputs = Inputs::create(&mut graph)?;
    for layer in 0..LAYERS {
        let attended = attention(&mut graph, layer, &qkv, &inputs);
        if layer + 1 == LAYERS {
            let axes = [Axis::Fixed(1), Axis::Named("rows"), Axis::Fixed(HEADS * HEAD_DIM)];
            graph.output_of(&attended, ElementType::F32, &axes);
        }
    }
    graph.finish()?;
    Ok(())
}
