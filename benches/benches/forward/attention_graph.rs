//! The attention of all layers and nothing else, by ONNX Runtime.
//!
//! Every layer attends with the same rows of queries, keys and values. What it makes of them is read by nobody but in the
//! last layer; its keys and values are outputs of the graph, so no node is dropped.

use std::path::Path;

use anyhow::Result;
use ort::environment::Environment;
use ort::memory::Allocator;
use ort::value::Tensor;
use veridraft_benches::noise;
use veridraft_export::onnx::{Axis, ElementType, GraphBuilder};

use crate::contender::Contender;
use crate::grouped_attention::{BoundSession, Inputs, attention};
use crate::quantised::MICROSOFT;
use crate::session;
use crate::sizes::{HEAD_DIM, HEADS, LAYERS, Pass, QKV};

/// A session on the graph.
pub(crate) struct OrtAttention(BoundSession);

impl OrtAttention {
    pub(crate) fn create(environment: &Environment, folder: &Path) -> Result<Self> {
        let path = folder.join("attention.onnx");
        write(&path)?;
        Ok(Self(BoundSession::create(session::open(environment, &path)?)?))
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
        self.0.run(pass, |binding| {
            let qkv = noise(pass.rows * QKV.outs);
            binding.bind_input("qkv", &Tensor::from_array(([1, pass.rows, QKV.outs], qkv))?)?;
            let result = Tensor::<f32>::new(&Allocator::default(), [1, pass.rows, HEADS * HEAD_DIM])?;
            Ok(binding.bind_output(output(LAYERS - 1), result)?)
        })
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
