//! The LLaMA family: LLaMA, SmolLM2, Mistral, Qwen2.
//!
//! Pre-norm transformer with RMSNorm, rotary embedding, grouped-query attention and a SiLU-gated MLP
//! (Touvron et al. 2023, LLaMA; Ainslie et al. 2023, GQA). Rows of all sequences run as one matrix; each box is one
//! product:
//!
//! ```text
//! input_ids ─ embedding ─┬─ [norm, qkv] ─ PagedAttention ─ [o, +] ─┬─ [norm, gate, up, SiLU, *] ─ [down, +] ─ ...
//!                        └─────────────────────────────────────────┘└────────────────────────────────────┘
//! ... ─ Gather(logit_rows) ─ [norm, head] ─ logits
//! ```

use std::path::Path;

use veridraft_models::FORMAT_VERSION;
use veridraft_models::operators::DOMAIN;

use super::products::{Matrix, Product, Products};
use super::tensors::Tensors;
use crate::checkpoint::{DecoderConfig, TensorSource, rotary_table};
use crate::onnx::Attribute::{Float, Int, Text};
use crate::onnx::{Attribute, ElementType, GraphBuilder, Value};
use crate::{ExportConfig, Result};

/// Writes the graph of `config` with the weights of `source` to `path`, calling `written` after each tensor.
pub(crate) fn write_graph(
    config: &DecoderConfig,
    source: &dyn TensorSource,
    path: &Path,
    export: &ExportConfig,
    written: &dyn Fn(),
) -> Result<()> {
    let mut graph = GraphBuilder::create(path)?;
    graph.domain(DOMAIN, 1);
    describe(&mut graph, config, export);
    let tensors = Tensors::new(source, written);
    let inputs = Inputs::declare(&mut graph);
    let products = super::products::new(export);
    let mut writer = Writer { inputs, graph, config, tensors: &tensors, products };
    writer.model()?;
    tensors.check_all_taken(config)?;
    writer.graph.finish()
}

/// Tensors that [`write_graph`] writes.
pub(crate) fn tensor_count(config: &DecoderConfig) -> usize {
    let layer = if config.attention_bias { 10 } else { 9 };
    layer * config.layers + if config.tied_embeddings { 3 } else { 4 }
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

fn describe(graph: &mut GraphBuilder, config: &DecoderConfig, export: &ExportConfig) {
    graph.metadata("veridraft.format_version", FORMAT_VERSION);
    graph.metadata("veridraft.architecture", &config.architecture);
    graph.metadata("veridraft.weights", export.weights.name());
    graph.metadata("veridraft.matmul", export.operators.name());
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
    tensors: &'a Tensors<'a>,
    products: Box<dyn Products>,
}

impl Writer<'_> {
    fn model(&mut self) -> Result<()> {
        let config = self.config;
        let embedding = Matrix::new("model.embed_tokens.weight", config.vocabulary, config.hidden);
        let mut hidden =
            self.products.embedding(&mut self.graph, self.tensors, embedding.clone(), &self.inputs.input_ids)?;
        let table = rotary_table(config);
        let cos_sin = self.graph.constant("cos_sin", &[config.context_length, config.head_dim], &table)?;
        self.tensors.written();
        for layer in 0..config.layers {
            hidden = self.attention(layer, &hidden, &cos_sin)?;
            hidden = self.mlp(layer, &hidden)?;
        }
        let wanted = self.graph.standard("Gather", "wanted", &[&hidden, &self.inputs.logit_rows], &[]);
        let head = match config.tied_embeddings {
            true => embedding,
            false => Matrix::new("lm_head.weight", config.vocabulary, config.hidden),
        };
        let norm = Some(("model.norm.weight".to_owned(), config.rms_eps));
        let logits = self.product(Product { norm, ..Product::new("logits", &wanted, [head]) })?;
        self.graph.output(&logits, ElementType::F32, "logits", config.vocabulary);
        Ok(())
    }

    fn attention(&mut self, layer: usize, hidden: &Value, cos_sin: &Value) -> Result<Value> {
        let config = self.config;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let columns = config.heads * config.head_dim;
        let kv_columns = config.kv_heads * config.head_dim;
        let parts = [("q", columns), ("k", kv_columns), ("v", kv_columns)];
        let weights =
            parts.map(|(part, n)| Matrix::new(&name(&format!("self_attn.{part}_proj.weight")), n, config.hidden));
        let biases = parts.map(|(part, n)| (name(&format!("self_attn.{part}_proj.bias")), n));
        let biases = if config.attention_bias { biases.to_vec() } else { Vec::new() };
        let norm = Some((name("input_layernorm.weight"), config.rms_eps));
        let qkv = self.product(Product { norm, biases, ..Product::new(&name("qkv"), hidden, weights) })?;
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
        let weights = [Matrix::new(&name("self_attn.o_proj.weight"), config.hidden, columns)];
        self.product(Product { residual: Some(hidden), ..Product::new(&name("o"), &attended, weights) })
    }

    fn mlp(&mut self, layer: usize, hidden: &Value) -> Result<Value> {
        let config = self.config;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let weights = ["gate", "up"]
            .map(|part| Matrix::new(&name(&format!("mlp.{part}_proj.weight")), config.intermediate, config.hidden));
        let norm = Some((name("post_attention_layernorm.weight"), config.rms_eps));
        let gated = Product { norm, is_gated: true, ..Product::new(&name("gate_up"), hidden, weights) };
        let gated = self.product(gated)?;
        let weights = [Matrix::new(&name("mlp.down_proj.weight"), config.hidden, config.intermediate)];
        self.product(Product { residual: Some(hidden), ..Product::new(&name("down"), &gated, weights) })
    }

    fn product(&mut self, product: Product) -> Result<Value> {
        self.products.product(&mut self.graph, self.tensors, product)
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
