//! Encoders of BERT's kind below a head that predicts tokens, in one graph; architectures give the names.
//!
//! ```text
//! input_ids ─ words + positions + type 0 ─ [norm] ─ (projection) ─┬─ [qkv] ─ attention ─ [o, +] ─ norm ─┬─ [up] ─ GELU ─ [down, +] ─ norm ─ ...
//!                                                                 └─────────────────────────────┘       └───────────────────────┘
//! ... ─ Gather(logit_rows) ─ [dense] ─ GELU ─ norm ─ [head] ─ logits
//! ```
//!
//! Products run on the rows of all sequences as one matrix, `[batch * sequence, width]`, and score the wanted rows alone;
//! attention and positions alone know the axes of the batch. Every text is of token type 0, so that row is added to the
//! positions once and for all.

mod bert;
mod roberta;
mod distilbert;
mod electra;
mod names;
mod writer;

use std::path::Path;

use veridraft_models::FORMAT_VERSION;
use veridraft_models::operators::DOMAIN;

pub(super) use self::names::{HeadNames, LayerNames, Names};
use self::writer::{Inputs, MICROSOFT, Writer};
use super::products::{Matrix, Product};
use super::tensors::Tensors;
use crate::checkpoint::{MaskedActivation, MaskedConfig, TensorSource};
use crate::onnx::Attribute::{Float, Int};
use crate::onnx::{Axis, ElementType, GraphBuilder, Value};
use crate::{Error, ExportConfig, Result};

fn names(config: &MaskedConfig) -> Names {
    match config.architecture.as_str() {
        "bert" => bert::NAMES,
        "distilbert" => distilbert::NAMES,
        "electra" => electra::NAMES,
        "roberta" | "xlm-roberta" => roberta::NAMES,
        other => unreachable!("no reader of configurations gives `{other}`"),
    }
}

/// Writes the graph of `config` with the weights of `source` to `path`, calling `written` after each tensor.
pub(crate) fn write_graph(
    config: &MaskedConfig,
    source: &dyn TensorSource,
    path: &Path,
    export: &ExportConfig,
    written: &dyn Fn(),
) -> Result<()> {
    if let Some(layer) = export.hidden_states.first() {
        let reason = format!("hidden states {layer} are asked for, expected none of a masked language model");
        return Err(Error::Checkpoint { path: source.path().to_owned(), reason });
    }
    let names = names(config);
    let mut graph = GraphBuilder::create(path)?;
    graph.domain(DOMAIN, 1);
    graph.domain(MICROSOFT, 1);
    describe(&mut graph, config, export);
    let tensors = Tensors::new(source, written);
    let inputs = Inputs::declare(&mut graph);
    let products = super::products::new(export);
    let mut writer = Writer { graph, inputs, config, names: &names, tensors: &tensors, products };
    writer.model()?;
    let is_unused = |name: &str| {
        let is_tied = name.strip_prefix(names.head.decoder) == Some(".weight") || names.head.biases.contains(&name);
        is_tied || name.ends_with(".position_ids") || names.unused.iter().any(|part| name.starts_with(part))
    };
    let model = format!("a `{}` of {} layers", config.architecture, config.layers);
    tensors.check_all_taken_but(&is_unused, &model)?;
    writer.graph.finish()
}

/// Tensors that [`write_graph`] writes.
pub(crate) fn tensor_count(config: &MaskedConfig) -> usize {
    const LAYER: usize = 6 + 4 + 4;
    const HEAD: usize = 2 + 2 + 1;
    let projection = if config.embedding == config.hidden { 0 } else { 2 };
    let decoder = usize::from(!config.tied_embeddings);
    4 + projection + LAYER * config.layers + HEAD + decoder
}

fn describe(graph: &mut GraphBuilder, config: &MaskedConfig, export: &ExportConfig) {
    graph.metadata("veridraft.format_version", FORMAT_VERSION);
    graph.metadata("veridraft.architecture", &config.architecture);
    graph.metadata("veridraft.task", "masked");
    graph.metadata("veridraft.weights", export.weights.name());
    graph.metadata("veridraft.matmul", export.operators.name());
    graph.metadata("veridraft.providers", "cpu");
    graph.metadata("veridraft.vocabulary", config.vocabulary);
    graph.metadata("veridraft.context_length", config.context_length());
    graph.metadata("veridraft.layers", config.layers);
}

impl Writer<'_> {
    fn model(&mut self) -> Result<()> {
        let (config, names) = (self.config, self.names);
        let mask = self.graph.standard(
            "Cast",
            "mask",
            &[&self.inputs.attention_mask],
            &[("to", Int(ElementType::I32 as i64))],
        );
        let mut hidden = self.embeddings()?;
        if config.embedding != config.hidden {
            let projection =
                names.projection.expect("the reader of configurations gives no other architecture two widths");
            hidden = self.linear("projection", &hidden, projection, [config.hidden, config.embedding])?;
        }
        for layer in 0..config.layers {
            hidden = self.attention(layer, &hidden, &mask)?;
            hidden = self.mlp(layer, &hidden)?;
        }
        self.head(&hidden)
    }

    /// `[batch * sequence, embedding]`
    fn embeddings(&mut self) -> Result<Value> {
        let (config, names) = (self.config, self.names);
        let ids = self.reshaped("flat_ids", &self.inputs.input_ids.clone(), &[-1]);
        let matrix = self.words();
        let words = self.products.embedding(&mut self.graph, self.tensors, matrix, &ids)?;
        let words = self.in_batch("words", &words, config.embedding);
        let table = self.position_table()?;
        let numbers =
            if config.positions_follow_padding() { self.positions_behind_padding() } else { self.positions() };
        let positions = self.graph.standard("Gather", "positions", &[&table, &numbers], &[]);
        let sum = self.graph.standard("Add", "embeddings", &[&words, &positions], &[]);
        let rows = self.reshaped("embeddings.rows", &sum, &[-1, config.embedding as i64]);
        self.norm(&rows, &format!("{}.LayerNorm", names.embeddings), config.embedding)
    }

    /// The word embedding. Where it is tied, some programs keep it under the decoder's name.
    fn words(&self) -> Matrix {
        let (config, names) = (self.config, self.names);
        let name = format!("{}.word_embeddings.weight", names.embeddings);
        let of_decoder = format!("{}.weight", names.head.decoder);
        let is_there = |name: &str| self.tensors.source.shape(name).is_some();
        let is_under_decoder = config.tied_embeddings && !is_there(&name) && is_there(&of_decoder);
        let name = if is_under_decoder { of_decoder } else { name };
        Matrix::new(&name, config.vocabulary, config.embedding)
    }

    /// The embeddings of positions with that of the first token type, `[positions, embedding]`.
    fn position_table(&mut self) -> Result<Value> {
        let (config, prefix) = (self.config, self.names.embeddings);
        let dims = [config.positions, config.embedding];
        let mut table = self.tensors.read(&format!("{prefix}.position_embeddings.weight"), &dims)?;
        if config.token_types > 0 {
            let name = format!("{prefix}.token_type_embeddings.weight");
            let types = self.tensors.read(&name, &[config.token_types, config.embedding])?;
            for row in table.chunks_exact_mut(config.embedding) {
                row.iter_mut().zip(&types).for_each(|(number, of_type)| *number += of_type);
            }
        }
        let value = self.graph.constant("position_table", &dims, &table)?;
        self.tensors.written();
        Ok(value)
    }

    /// 0, 1, 2 ..., `[sequence]`
    fn positions(&mut self) -> Value {
        let [zero, one] = [0, 1].map(|number| self.integer(&format!("number_{number}"), number));
        let shape = self.graph.standard("Shape", "ids_shape", &[&self.inputs.input_ids], &[]);
        let length = self.graph.standard("Gather", "length", &[&shape, &one], &[("axis", Int(0))]);
        self.graph.standard("Range", "numbers", &[&zero, &length, &one], &[])
    }

    /// Of each token behind how many others that are not padding it stands, and as much more as the padding token's id
    /// and one, `[batch, sequence]`; of padding the padding token's id.
    fn positions_behind_padding(&mut self) -> Value {
        let padding = self.integer("padding", i64::from(self.config.padding));
        let axis = self.integer("sequence_axis", 1);
        let is_padding = self.graph.standard("Equal", "is_padding", &[&self.inputs.input_ids, &padding], &[]);
        let is_token = self.graph.standard("Not", "is_token", &[&is_padding], &[]);
        let is_token = self.graph.standard("Cast", "tokens", &[&is_token], &[("to", Int(ElementType::I64 as i64))]);
        let count = self.graph.standard("CumSum", "token_count", &[&is_token, &axis], &[]);
        let count = self.graph.standard("Mul", "token_numbers", &[&count, &is_token], &[]);
        self.graph.standard("Add", "numbers", &[&count, &padding], &[])
    }

    fn attention(&mut self, layer: usize, hidden: &Value, mask: &Value) -> Result<Value> {
        let (config, names) = (self.config, self.names);
        let width = config.hidden;
        let name = |part: &str| format!("{}.{layer}.{part}", names.layers);
        let parts = [names.layer.query, names.layer.key, names.layer.value].map(name);
        let weights = parts.each_ref().map(|part| Matrix::new(&format!("{part}.weight"), width, width));
        let biases = parts.iter().map(|part| (format!("{part}.bias"), width)).collect();
        let qkv = self.product(Product { biases, ..Product::new(&name("qkv"), hidden, weights) })?;
        let qkv = self.in_batch(&name("qkv.batch"), &qkv, 3 * width);
        let outputs = ["q", "k", "v"].map(name);
        let outputs = outputs.each_ref().map(String::as_str);
        let [q, k, v] = self.graph.node_with_outputs(("", "Split"), &outputs, &[Some(&qkv)], &[("axis", Int(2))]);
        let operands = [Some(&q), Some(&k), Some(&v), None, Some(mask)];
        let attributes =
            [("num_heads", Int(config.heads as i64)), ("scale", Float(1.0 / ((width / config.heads) as f32).sqrt()))];
        let attended = self.graph.node((MICROSOFT, "MultiHeadAttention"), &name("attention"), &operands, &attributes);
        let rows = self.reshaped(&name("attention.rows"), &attended, &[-1, width as i64]);
        let sum = self.added(&name("o"), &rows, &name(names.layer.attention_output), [width, width], hidden)?;
        self.norm(&sum, &name(names.layer.attention_norm), width)
    }

    fn mlp(&mut self, layer: usize, hidden: &Value) -> Result<Value> {
        let (config, names) = (self.config, self.names);
        let name = |part: &str| format!("{}.{layer}.{part}", names.layers);
        let (narrow, wide) = (config.hidden, config.intermediate);
        let up = self.linear(&name("up"), hidden, &name(names.layer.intermediate), [wide, narrow])?;
        let active = self.activated(&name("active"), &up, config.activation);
        let sum = self.added(&name("down"), &active, &name(names.layer.output), [narrow, wide], hidden)?;
        self.norm(&sum, &name(names.layer.output_norm), narrow)
    }

    fn head(&mut self, hidden: &Value) -> Result<()> {
        let (config, head) = (self.config, &self.names.head);
        let wanted = self.graph.standard("Gather", "wanted", &[hidden, &self.inputs.logit_rows], &[]);
        let dense = self.linear("head.dense", &wanted, head.dense, [config.embedding, config.hidden])?;
        let activation = if head.is_gelu { MaskedActivation::Gelu } else { config.activation };
        let active = self.activated("head.active", &dense, activation);
        let normal = self.norm(&active, head.norm, config.embedding)?;
        let decoder = match config.tied_embeddings {
            true => self.words(),
            false => Matrix::new(&format!("{}.weight", head.decoder), config.vocabulary, config.embedding),
        };
        // Files may hold both biases; what is tied to the other has no say.
        let [own, of_decoder] = head.biases;
        let wanted = if config.tied_embeddings { [own, of_decoder] } else { [of_decoder, own] };
        let is_there = |name: &&str| self.tensors.source.shape(name).is_some();
        let bias = wanted.into_iter().find(is_there).unwrap_or(own);
        let biases = vec![(bias.to_owned(), config.vocabulary)];
        let logits = self.product(Product { biases, ..Product::new("logits", &normal, [decoder]) })?;
        let axes = [Axis::Named("wanted"), Axis::Fixed(config.vocabulary)];
        self.graph.output_of(&logits, ElementType::F32, &axes);
        Ok(())
    }
}
