//! What is compared: the contenders of each subject and the passes that they run.

use std::path::Path;

use anyhow::Result;
use veridraft_models::Simd;
use veridraft_models::runtime::Runtime;

use crate::attention_graph::OrtAttention;
use crate::contender::Contender;
use crate::forward_graph::OrtForward;
use crate::matmul_graph::OrtMatmuls;
use crate::plain_read::PlainRead;
use crate::sizes::{FORWARD_PASSES, LONG_PASSES, PASSES, Pass};
use crate::veridraft_attention::VeridraftAttention;
use crate::veridraft_forward::VeridraftForward;
use crate::veridraft_matmuls::VeridraftMatmuls;

/// Contenders that do the same work.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// A single row first, prompts last.
    pub(crate) passes: &'static [Pass],
    /// ONNX Runtime first.
    pub(crate) contenders: Vec<Box<dyn Contender>>,
}

impl Subject {
    pub(crate) const NAMES: [&str; 3] = ["matmuls", "attention", "forward"];

    /// One of [`NAMES`](Self::NAMES).
    pub(crate) fn create(name: &'static str, runtime: &Runtime, folder: &Path) -> Result<Self> {
        match name {
            "matmuls" => matmuls(runtime, folder),
            "attention" => attention(runtime, folder),
            _ => forward(runtime, folder),
        }
    }
}

/// The portable path is an oracle, tens of times slower.
fn fast_paths() -> impl Iterator<Item = Simd> {
    Simd::available().filter(|simd| *simd != Simd::Portable)
}

fn matmuls(runtime: &Runtime, folder: &Path) -> Result<Subject> {
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(OrtMatmuls::create(runtime.environment(), folder)?)];
    for simd in fast_paths() {
        contenders.push(Box::new(VeridraftMatmuls::create(simd)?));
    }
    let bytes = contenders.last().map_or(0, |contender| contender.bytes(PASSES[0]));
    contenders.push(Box::new(PlainRead::create(bytes)?));
    Ok(Subject { name: "matmuls", passes: &PASSES, contenders })
}

fn attention(runtime: &Runtime, folder: &Path) -> Result<Subject> {
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(OrtAttention::create(runtime.environment(), folder)?)];
    for simd in fast_paths() {
        contenders.push(Box::new(VeridraftAttention::create(simd)?));
    }
    contenders.push(Box::new(PlainRead::create(LONG_PASSES[0].kv_bytes())?));
    Ok(Subject { name: "attention", passes: &LONG_PASSES, contenders })
}

fn forward(runtime: &Runtime, folder: &Path) -> Result<Subject> {
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(OrtForward::create(runtime.environment(), folder)?)];
    for simd in fast_paths() {
        contenders.push(Box::new(VeridraftForward::create(runtime, simd)?));
    }
    Ok(Subject { name: "forward", passes: &FORWARD_PASSES, contenders })
}
