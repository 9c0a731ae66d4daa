//! What every architecture's graph is written with: its inputs, and the parts that layers are made of.

mod attention;

use veridraft_models::FORMAT_VERSION;
use veridraft_models::operators::DOMAIN;

use super::products::{Matrix, Product, Products};
use super::tensors::Tensors;
use crate::checkpoint::{Activation, DecoderConfig, local_rotary_table, rotary_table};
use crate::onnx::Attribute::{Float, Int};
use crate::onnx::{ElementType, GraphBuilder, Value};
use crate::{ExportConfig, Result};

/// The domain of operators that ONNX Runtime has beside the standard ones.
const MICROSOFT: &str = "com.microsoft";

/// A graph under construction with what its weights come from.
pub(super) struct Writer<'a> {
    pub(super) graph: GraphBuilder,
    pub(super) config: &'a DecoderConfig,
    inputs: Inputs,
    tensors: &'a Tensors<'a>,
    products: Box<dyn Products>,
    hidden_states: &'a [usize],
}

/// The graph's inputs.
pub(super) struct Inputs {
    input_ids: Value,
    /// `None` in an encoder.
    pages: Option<PageInputs>,
}

/// What a decoder's graph takes beside tokens; axes as `veridraft.PagedAttention` documents them.
pub(super) struct PageInputs {
    pub(super) positions: Value,
    slot_mapping: Value,
    block_tables: Value,
    query_starts: Value,
    tree_mask: Value,
    logit_rows: Value,
    /// Behind an encoder.
    sources: Option<Value>,
}

/// Tables of the rotary embedding.
pub(super) struct RotaryTables {
    /// Of layers without a window, and of those with one unless `local` is there.
    all: Option<Value>,
    local: Option<Value>,
}

/// Weights that normalise q and k.
pub(super) struct QueryKeyNorm {
    pub(super) query: Value,
    pub(super) key: Value,
}

impl Inputs {
    fn of_decoder(graph: &mut GraphBuilder, has_encoder: bool) -> Self {
        let input_ids = graph.input("input_ids", ElementType::I64, &["rows"]);
        let pages = PageInputs {
            positions: graph.input("positions", ElementType::I32, &["rows"]),
            slot_mapping: graph.input("slot_mapping", ElementType::I32, &["rows"]),
            block_tables: graph.input("block_tables", ElementType::I32, &["sequences", "blocks"]),
            query_starts: graph.input("query_starts", ElementType::I32, &["sequences_and_one"]),
            tree_mask: graph.input("tree_mask", ElementType::Bool, &["rows", "tree_width"]),
            logit_rows: graph.input("logit_rows", ElementType::I64, &["logits"]),
            sources: has_encoder.then(|| graph.input("sources", ElementType::I64, &["sequences"])),
        };
        Self { input_ids, pages: Some(pages) }
    }

    fn of_encoder(graph: &mut GraphBuilder) -> Self {
        Self { input_ids: graph.input("input_ids", ElementType::I64, &["source"]), pages: None }
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        mut graph: GraphBuilder,
        config: &'a DecoderConfig,
        tensors: &'a Tensors<'a>,
        export: &'a ExportConfig,
    ) -> Self {
        graph.domain(DOMAIN, 1);
        describe(&mut graph, config, export);
        let inputs = Inputs::of_decoder(&mut graph, config.encoder.is_some());
        let products = super::products::new(export);
        Self { graph, config, inputs, tensors, products, hidden_states: &export.hidden_states }
    }

    /// For the encoder of a model, whose decoder has a graph of its own.
    pub(super) fn of_encoder(
        mut graph: GraphBuilder,
        config: &'a DecoderConfig,
        tensors: &'a Tensors<'a>,
        export: &'a ExportConfig,
    ) -> Self {
        graph.domain(DOMAIN, 1);
        graph.metadata("veridraft.format_version", FORMAT_VERSION);
        let inputs = Inputs::of_encoder(&mut graph);
        let products = super::products::new(export);
        Self { graph, config, inputs, tensors, products, hidden_states: &[] }
    }

    /// The tokens, `[rows]` or `[source]`.
    pub(super) fn input_ids(&self) -> &Value {
        &self.inputs.input_ids
    }

    /// Makes `tokens` what is read as the graph's tokens.
    pub(super) fn read_instead(&mut self, tokens: Value) {
        self.inputs.input_ids = tokens;
    }

    /// What a decoder takes beside tokens.
    pub(super) fn pages(&self) -> &PageInputs {
        self.inputs.pages.as_ref().expect("a decoder's graph is written")
    }

    /// The numbers of a tensor.
    pub(super) fn numbers(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>> {
        self.tensors.read(name, dims)
    }

    /// Reports that what was made of a tensor is in the graph.
    pub(super) fn count_written(&self) {
        self.tensors.written();
    }

    /// Gives out the residual stream behind so many layers if it was asked for.
    pub(super) fn hidden_state(&mut self, layers: usize, hidden: &Value) {
        if self.hidden_states.contains(&layers) {
            // A node of its own, because an output bears the name of what it is.
            let output = self.graph.standard("Identity", &format!("hidden_states.{layers}"), &[hidden], &[]);
            self.graph.output(&output, ElementType::F32, "rows", self.config.hidden);
        }
    }

    /// The rows of `matrix` that the input's tokens name.
    pub(super) fn embedding(&mut self, matrix: Matrix) -> Result<Value> {
        self.products.embedding(&mut self.graph, self.tensors, matrix, &self.inputs.input_ids)
    }

    /// The tables that the layers need.
    pub(super) fn rotary_tables(&mut self) -> Result<RotaryTables> {
        let config = self.config;
        let local = config.local_rope_theta.filter(|_| config.windows.iter().any(Option::is_some));
        let all_are_local = local.is_some() && !config.windows.contains(&None);
        let all = match all_are_local {
            true => None,
            false => Some(self.rotary_table("cos_sin", &rotary_table(config))?),
        };
        let local = match local {
            Some(theta) => Some(self.rotary_table("cos_sin.local", &local_rotary_table(config, theta))?),
            None => None,
        };
        Ok(RotaryTables { all, local })
    }

    fn rotary_table(&mut self, name: &str, values: &[f32]) -> Result<Value> {
        let value = self.graph.constant(name, &[self.config.context_length, self.config.rotary_dim], values)?;
        self.tensors.written();
        Ok(value)
    }

    /// A constant made of a tensor.
    pub(super) fn tensor(&mut self, name: &str, dims: &[usize]) -> Result<Value> {
        let value = self.graph.constant(name, dims, &self.tensors.read(name, dims)?)?;
        self.tensors.written();
        Ok(value)
    }

    pub(super) fn product(&mut self, product: Product) -> Result<Value> {
        self.products.product(&mut self.graph, self.tensors, product)
    }

    /// Layer normalisation (Ba et al. 2016) of `[rows, hidden]` by `NAME.weight` and `NAME.bias`.
    pub(super) fn layer_norm(&mut self, name: &str, input: &Value) -> Result<Value> {
        let dims = [self.config.hidden];
        let [weight, bias] = ["weight", "bias"].map(|part| self.tensor(&format!("{name}.{part}"), &dims));
        Ok(self.normalized("LayerNormalization", name, &[input, &weight?, &bias?]))
    }

    /// RMS normalisation (Zhang and Sennrich 2019) of `[rows, hidden]` by `NAME.weight`.
    pub(super) fn rms_norm(&mut self, name: &str, input: &Value) -> Result<Value> {
        let weight = self.tensor(&format!("{name}.weight"), &[self.config.hidden])?;
        Ok(self.normalized("SimplifiedLayerNormalization", name, &[input, &weight]))
    }

    /// A node of one of ONNX Runtime's normalisations.
    pub(super) fn normalized(&mut self, operator: &str, name: &str, inputs: &[&Value]) -> Value {
        let attributes = [("axis", Int(-1)), ("epsilon", Float(self.config.norm_eps)), ("stash_type", Int(1))];
        self.graph.standard(operator, name, inputs, &attributes)
    }

    pub(super) fn add(&mut self, name: &str, left: &Value, right: &Value) -> Value {
        self.graph.standard("Add", name, &[left, right], &[])
    }

    /// The MLP's function, where products do not have it.
    pub(super) fn activated(&mut self, name: &str, input: &Value) -> Value {
        let operator = match self.config.activation {
            Activation::Gelu => "Gelu",
            Activation::GeluTanh => "FastGelu",
            Activation::Relu => return self.graph.standard("Relu", name, &[input], &[]),
            Activation::Silu => {
                let share = self.graph.standard("Sigmoid", &format!("{name}.sigmoid"), &[input], &[]);
                return self.graph.standard("Mul", name, &[input, &share], &[]);
            }
        };
        self.graph.domain(MICROSOFT, 1);
        self.graph.node((MICROSOFT, operator), name, &[Some(input)], &[])
    }

    /// The rows whose logits are wanted.
    pub(super) fn wanted_rows(&mut self, hidden: &Value) -> Value {
        let rows = self.pages().logit_rows.clone();
        self.graph.standard("Gather", "wanted", &[hidden, &rows], &[])
    }

    /// The logits of `wanted` rows: the graph's output. `norm` is an RMS normalisation before the head, which is
    /// `embedding` where the two are tied.
    pub(super) fn logits(&mut self, wanted: &Value, norm: Option<&str>, embedding: Matrix) -> Result<()> {
        self.biased_logits(wanted, norm, embedding, Vec::new())
    }

    /// The same, with tensors added to them as [`Product::biases`] says.
    pub(super) fn biased_logits(
        &mut self,
        wanted: &Value,
        norm: Option<&str>,
        embedding: Matrix,
        biases: Vec<(String, usize)>,
    ) -> Result<()> {
        let config = self.config;
        let head = match config.tied_embeddings {
            true => embedding,
            false => Matrix::new("lm_head.weight", config.vocabulary, config.hidden),
        };
        let norm = norm.map(|name| (name.to_owned(), config.norm_eps));
        // The last node bears the output's name.
        let name = if config.logit_softcap.is_some() { "logits.straight" } else { "logits" };
        let mut logits = self.product(Product { norm, biases, ..Product::new(name, wanted, [head]) })?;
        if let Some(softcap) = config.logit_softcap {
            logits = self.bent("logits", &logits, softcap)?;
        }
        self.graph.output(&logits, ElementType::F32, "logits", config.vocabulary);
        Ok(())
    }
}

impl Writer<'_> {
    /// `softcap * tanh(input / softcap)`
    fn bent(&mut self, name: &str, input: &Value, softcap: f32) -> Result<Value> {
        let softcap = self.graph.constant(&format!("{name}.softcap"), &[1], &[softcap])?;
        let divided = self.graph.standard("Div", &format!("{name}.divided"), &[input, &softcap], &[]);
        let bent = self.graph.standard("Tanh", &format!("{name}.tanh"), &[&divided], &[]);
        Ok(self.graph.standard("Mul", name, &[&bent, &softcap], &[]))
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
    if let Some(encoder) = &config.encoder {
        graph.metadata("veridraft.source_length", encoder.source_length);
    }
    if !export.hidden_states.is_empty() {
        let layers: Vec<_> = export.hidden_states.iter().map(usize::to_string).collect();
        graph.metadata("veridraft.hidden_states", layers.join(","));
    }
}
