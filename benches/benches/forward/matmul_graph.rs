//! The 121 matmuls of a pass and nothing else, by ONNX Runtime.
//!
//! ONNX Runtime drops what no output needs, so each matmul feeds the next: the first columns of qkv, which are as many
//! as o takes, and those of gate and up, which are as many as down takes. Cutting them out costs a copy of a few
//! kilobytes a row: 60 nodes of 6 microseconds for one row by ONNX Runtime's profiler, which is 4 % of the pass, and 1 %
//! from 8 rows on. A contender should cut likewise.

use std::path::Path;

use anyhow::Result;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;
use veridraft_export::onnx::Attribute::Ints;
use veridraft_export::onnx::{ElementType, GraphBuilder, Value};

use crate::contender::Contender;
use crate::quantised::QuantisedGraph;
use crate::session;
use crate::sizes::{DOWN, GATE_UP, HEAD, HIDDEN, LAYERS, O, Pass, QKV, VOCABULARY};

/// A session on the graph.
pub(crate) struct OrtMatmuls {
    session: Session,
    weight_bytes: u64,
}

impl OrtMatmuls {
    pub(crate) fn create(environment: &Environment, folder: &Path) -> Result<Self> {
        let path = folder.join("matmuls.onnx");
        let weight_bytes = write(&path)?;
        Ok(Self { session: session::open(environment, &path)?, weight_bytes })
    }
}

impl Contender for OrtMatmuls {
    fn name(&self) -> String {
        "ONNX Runtime".to_owned()
    }

    fn bytes(&self, _: Pass) -> u64 {
        self.weight_bytes
    }

    fn run(&mut self, pass: Pass) -> Result<()> {
        let hidden = Tensor::from_array(([pass.rows, HIDDEN], vec![0.5_f32; pass.rows * HIDDEN]))?;
        let logit_rows = Tensor::from_array(([pass.logits], pass.logit_rows()))?;
        self.session.run(ort::inputs!["hidden" => hidden, "logit_rows" => logit_rows])?;
        Ok(())
    }
}

/// Writes the graph and returns the bytes of its weights.
fn write(path: &Path) -> Result<u64> {
    let mut builder = QuantisedGraph::create(path)?;
    let mut hidden = builder.graph.input("hidden", ElementType::F32, &["rows", "columns"]);
    let logit_rows = builder.graph.input("logit_rows", ElementType::I64, &["logits"]);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("layer.{layer}.{part}");
        let qkv = builder.matmul(&name("qkv"), &hidden, QKV)?;
        let attended = first_columns(&mut builder.graph, &name("attended"), &qkv, O.ins);
        let o = builder.matmul(&name("o"), &attended, O)?;
        let gate_up = builder.matmul(&name("gate_up"), &o, GATE_UP)?;
        let gated = first_columns(&mut builder.graph, &name("gated"), &gate_up, DOWN.ins);
        hidden = builder.matmul(&name("down"), &gated, DOWN)?;
    }
    let wanted = builder.graph.standard("Gather", "wanted", &[&hidden, &logit_rows], &[]);
    let logits = builder.matmul("logits", &wanted, HEAD)?;
    builder.graph.output(&logits, ElementType::F32, "logits", VOCABULARY);
    builder.graph.finish()?;
    Ok(builder.weight_bytes)
}

fn first_columns(graph: &mut GraphBuilder, name: &str, rows: &Value, columns: usize) -> Value {
    let mut number = |part: &str, number: usize| {
        graph.standard("Constant", &format!("{name}.{part}"), &[], &[("value_ints", Ints(vec![number as i64]))])
    };
    let (start, end, axis) = (number("start", 0), number("end", columns), number("axis", 1));
    graph.standard("Slice", name, &[rows, &start, &end, &axis], &[])
}
