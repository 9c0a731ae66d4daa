//! The LLaMA family: LLaMA, SmolLM2, Mistral, Qwen2.
//!
//! Pre-norm transformer with RMSNorm, rotary embedding, grouped-query attention and a SiLU-gated MLP
//! (Touvron et al. 2023, LLaMA; Ainslie et al. 2023, GQA). Rows of all sequences run as one matrix:
//!
//! ```text
//! input_ids ─ Gather ─┬─ norm ─ qkv ─ PagedAttention ─ o ─ + ─┬─ norm ─ gate, up ─ SiLU, * ─ down ─ + ─ ...
//!                     └──────────────────────────────────────┘└────────────────────────────────────┘
//! ... ─ Gather(logit_rows) ─ norm ─ head ─ logits
//! ```

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;

use veridraft_models::FORMAT_VERSION;
use veridraft_models::operators::DOMAIN;

use crate::checkpoint::{DecoderConfig, TensorSource, rotary_table};
use crate::onnx::Attribute::{Float, Int, Text};
use crate::onnx::{Attribute, ElementType, GraphBuilder, Value};
use crate::{Error, Result};

/// Writes the graph of `config` with `tensors` as f32 to `path`, calling `written` after each tensor.
pub(crate) fn write_graph(
    config: &DecoderConfig,
    tensors: &dyn TensorSource,
    path: &Path,
    written: &dyn Fn(),
) -> Result<()> {
    let mut graph = GraphBuilder::create(path)?;
    graph.domain(DOMAIN, 1);
    describe(&mut graph, config);
    let mut writer =
        Writer { inputs: Inputs::declare(&mut graph), graph, config, tensors, written, taken: RefCell::default() };
    writer.model()?;
    writer.check_all_taken()?;
    writer.graph.finish()
}

/// Tensors that [`write_graph`] writes.
pub(crate) fn tensor_count(config: &DecoderConfig) -> usize {
    let layer = if config.attention_bias { 8 } else { 7 };
    layer * config.layers + 4
}

/// The graph's inputs; axes as `veridraft.PagedAttention` documents them.
struct Inputs {
    input_ids: Value,
    positions: Value,
    slot_mapping: Value,
    block_tables: Value,
    query_starts: Value,
    tree_mask: Value,
    logit_rows: Value,
}

impl Inputs {
    fn declare(graph: &mut GraphBuilder) -> Self {
        Self {
            input_ids: graph.input("input_ids", ElementType::I64, &["rows"]),
            positions: graph.input("positions", ElementType::I32, &["rows"]),
            slot_mapping: graph.input("slot_mapping", ElementType::I32, &["rows"]),
            block_tables: graph.input("block_tables", ElementType::I32, &["sequences", "blocks"]),
            query_starts: graph.input("query_starts", ElementType::I32, &["sequences_and_one"]),
            tree_mask: graph.input("tree_mask", ElementType::Bool, &["rows", "tree_width"]),
            logit_rows: graph.input("logit_rows", ElementType::I64, &["logits"]),
        }
    }
}

fn describe(graph: &mut GraphBuilder, config: &DecoderConfig) {
    graph.metadata("veridraft.format_version", FORMAT_VERSION);
    graph.metadata("veridraft.architecture", &config.architecture);
    graph.metadata("veridraft.weights", "f32");
    graph.metadata("veridraft.providers", "cpu");
    graph.metadata("veridraft.vocabulary", config.vocabulary);
    graph.metadata("veridraft.context_length", config.context_length);
    graph.metadata("veridraft.layers", config.layers);
}

/// A graph under construction with what its weights come from.
struct Writer<'a> {
    graph: GraphBuilder,
    inputs: Inputs,
    config: &'a DecoderConfig,
    tensors: &'a dyn TensorSource,
    written: &'a dyn Fn(),
    /// Tensors that the graph has taken.
    taken: RefCell<HashSet<String>>,
}

impl Writer<'_> {
    fn model(&mut self) -> Result<()> {
        let config = self.config;
        let embedding = self.tensor("model.embed_tokens.weight", &[config.vocabulary, config.hidden])?;
        let table = rotary_table(config);
        let cos_sin = self.graph.constant("cos_sin", &[config.context_length, config.head_dim], &table)?;
        (self.written)();
        let mut hidden = self.graph.standard("Gather", "embedding", &[&embedding, &self.inputs.input_ids], &[]);
        for layer in 0..config.layers {
            hidden = self.attention(layer, &hidden, &cos_sin)?;
            hidden = self.mlp(layer, &hidden)?;
        }
        let wanted = self.graph.standard("Gather", "wanted", &[&hidden, &self.inputs.logit_rows], &[]);
        let wanted = self.norm("model.norm.weight", &wanted)?;
        let head = match config.tied_embeddings {
            true => embedding,
            false => self.tensor("lm_head.weight", &[config.vocabulary, config.hidden])?,
        };
        let logits = self.matmul("logits", &wanted, &head, None);
        self.graph.output(&logits, ElementType::F32, "logits", config.vocabulary);
        Ok(())
    }

    fn attention(&mut self, layer: usize, hidden: &Value, cos_sin: &Value) -> Result<Value> {
        let config = self.config;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let normed = self.norm(&name("input_layernorm.weight"), hidden)?;
        let (weight, bias) = self.qkv(layer)?;
        let qkv = self.matmul(&name("qkv"), &normed, &weight, bias.as_ref());
        let inputs = &self.inputs;
        let operands = [
            &qkv,
            &inputs.positions,
            &inputs.slot_mapping,
            &inputs.block_tables,
            &inputs.query_starts,
            &inputs.tree_mask,
            cos_sin,
        ]
        .map(Some);
        let attributes = attention_attributes(config, layer);
        let attended = self.graph.node((DOMAIN, "PagedAttention"), &name("attention"), &operands, &attributes);
        let columns = config.heads * config.head_dim;
        let weight = self.tensor(&name("self_attn.o_proj.weight"), &[config.hidden, columns])?;
        let projected = self.matmul(&name("o"), &attended, &weight, None);
        Ok(self.graph.standard("Add", &name("attention_residual"), &[hidden, &projected], &[]))
    }

    /// The q, k and v projections as one matrix, `[(heads + 2 * kv_heads) * head_dim, hidden]`, and their biases.
    fn qkv(&mut self, layer: usize) -> Result<(Value, Option<Value>)> {
        let config = self.config;
        let kv_columns = config.kv_heads * config.head_dim;
        let parts = [("q", config.heads * config.head_dim), ("k", kv_columns), ("v", kv_columns)];
        let columns: usize = parts.iter().map(|(_, columns)| columns).sum();
        // Without a capacity: until the tensors are read, the sizes are what a file claims.
        let mut weight = Vec::new();
        let mut bias = Vec::new();
        for (part, columns) in parts {
            let name = format!("model.layers.{layer}.self_attn.{part}_proj");
            weight.extend(self.read(&format!("{name}.weight"), &[columns, config.hidden])?);
            if config.attention_bias {
                bias.extend(self.read(&format!("{name}.bias"), &[columns])?);
            }
        }
        let weight = self.constant(&format!("model.layers.{layer}.qkv.weight"), &[columns, config.hidden], &weight)?;
        let bias = match config.attention_bias {
            true => Some(self.constant(&format!("model.layers.{layer}.qkv.bias"), &[columns], &bias)?),
            false => None,
        };
        Ok((weight, bias))
    }

    fn mlp(&mut self, layer: usize, hidden: &Value) -> Result<Value> {
        let config = self.config;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let normed = self.norm(&name("post_attention_layernorm.weight"), hidden)?;
        let weight = self.tensor(&name("mlp.gate_proj.weight"), &[config.intermediate, config.hidden])?;
        let gate = self.matmul(&name("gate"), &normed, &weight, None);
        let weight = self.tensor(&name("mlp.up_proj.weight"), &[config.intermediate, config.hidden])?;
        let up = self.matmul(&name("up"), &normed, &weight, None);
        let sigmoid = self.graph.standard("Sigmoid", &name("gate_sigmoid"), &[&gate], &[]);
        let silu = self.graph.standard("Mul", &name("gate_silu"), &[&gate, &sigmoid], &[]);
        let gated = self.graph.standard("Mul", &name("gated"), &[&silu, &up], &[]);
        let weight = self.tensor(&name("mlp.down_proj.weight"), &[config.hidden, config.intermediate])?;
        let down = self.matmul(&name("down"), &gated, &weight, None);
        Ok(self.graph.standard("Add", &name("mlp_residual"), &[hidden, &down], &[]))
    }

    fn norm(&mut self, weight_name: &str, hidden: &Value) -> Result<Value> {
        let weight = self.tensor(weight_name, &[self.config.hidden])?;
        let name = weight_name.trim_end_matches(".weight");
        let attributes = [("axis", Int(-1)), ("epsilon", Float(self.config.rms_eps)), ("stash_type", Int(1))];
        Ok(self.graph.standard("SimplifiedLayerNormalization", name, &[hidden, &weight], &attributes))
    }

    /// `rows * weight^T (+ bias)`. `Gemm` with `transB` takes the checkpoint's `[out, in]` layout as it is, so a tied
    /// embedding serves as head without a copy.
    fn matmul(&mut self, name: &str, rows: &Value, weight: &Value, bias: Option<&Value>) -> Value {
        let operands: Vec<_> = [rows, weight].into_iter().chain(bias).collect();
        self.graph.standard("Gemm", name, &operands, &[("transB", Int(1))])
    }

    /// Copies a checkpoint tensor into the graph.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Value> {
        let values = self.read(name, shape)?;
        self.constant(name, shape, &values)
    }

    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<Value> {
        let value = self.graph.constant(name, shape, values)?;
        (self.written)();
        Ok(value)
    }

    fn read(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>> {
        self.taken.borrow_mut().insert(name.to_owned());
        match self.tensors.shape(name) {
            Some(found) if found == expected => self.tensors.read_f32(name),
            Some(found) => Err(self.wrong(format!("tensor `{name}` is {found:?}, expected {expected:?}"))),
            None => Err(self.wrong(format!("tensor `{name}` is missing, expected {expected:?}"))),
        }
    }

    /// Refuses tensors that the graph has no place for: leaving one out would change the model without a word.
    fn check_all_taken(&self) -> Result<()> {
        let taken = self.taken.borrow();
        // Old checkpoints carry what follows from the configuration, and tied ones the same matrix twice.
        let is_spare = |name: &str| name.ends_with("rotary_emb.inv_freq") || name == "lm_head.weight";
        let names = self.tensors.names();
        match names.into_iter().find(|name| !taken.contains(*name) && !is_spare(name)) {
            Some(name) => Err(self.wrong(format!(
                "tensor `{name}` has no place in a `{}` of {} layers as the configuration describes it",
                self.config.architecture, self.config.layers
            ))),
            None => Ok(()),
        }
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Checkpoint { path: self.tensors.path().to_owned(), reason }
    }
}

fn attention_attributes(config: &DecoderConfig, layer: usize) -> [(&'static str, Attribute); 11] {
    let count = |value: usize| Int(value as i64);
    [
        ("version", Int(1)),
        ("layer", count(layer)),
        ("heads", count(config.heads)),
        ("kv_heads", count(config.kv_heads)),
        ("head_dim", count(config.head_dim)),
        ("scale", Float(1.0 / (config.head_dim as f32).sqrt())),
        ("rotary_dim", count(config.head_dim)),
        ("interleaved", Int(0)),
        ("window", count(config.sliding_window.unwrap_or(0))),
        ("softcap", Float(0.0)),
        ("kind", Text("self".to_owned())),
    ]
}
