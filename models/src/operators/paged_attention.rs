//! `veridraft.PagedAttention`, version 1: rotary embedding, append to the pages, attention through block tables.
//!
//! ```text
//! input            element  axes
//! 0 qkv            f32      [rows, (heads + 2 * kv_heads) * head_dim]    q, then k, then v of each row
//! 1 positions      i32      [rows]
//! 2 slot_mapping   i32      [rows]
//! 3 block_tables   i32      [sequences, blocks]    padded with -1
//! 4 query_starts   i32      [sequences + 1]
//! 5 tree_mask      bool     [rows, width]          width 0: every sequence is a chain
//! 6 cos_sin        f32      [positions, rotary_dim]    optional; cosines, then sines
//! 7 position_bias f32    [heads, distances]     optional, of kind "self": added to scores, by how far a key stands before
//!                                              its query; the last of a head for all that stand further
//! 8 q_norm         f32      [head_dim] or [heads * head_dim]       optional: RMS normalisation before rotation, of
//! 9 k_norm         f32      [head_dim] or [kv_heads * head_dim]    each head or of all together; both or neither
//! 10 sources       i64      [sequences]            of kind "cross" alone: whose keys and values each sequence reads
//! output           f32      [rows, heads * head_dim]
//! ```
//!
//! Of kind "cross" `qkv` is q alone, `[rows, heads * head_dim]`, and every row sees all of its sequence's source; of the
//! other inputs `query_starts` counts.
//!
//! Attributes: `version`, `layer`, `heads`, `kv_heads`, `head_dim`, `scale`, `rotary_dim` (0 = none), `interleaved`,
//! `window` (0 = all), `softcap` (0 = none), `kind` ("self" or "cross"); `norm_epsilon` where q and k are normalised.

use std::sync::Arc;

use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Bool, Float32, Int32, Int64};
use veridraft_kernels::{
    Attention, AttentionConfig, CheckedRows, Columns, CosSin, LayerPages, PagedRows, Pool, PositionBias, QueryKeyNorm,
    Simd, append, attend,
};

use super::node::{Attributes, Axed, Inputs, guarded, write_output};
use crate::causal_model::kv_pages::{BLOCK_TOKENS, KvPages};
use crate::causal_model::source_pages::SourcePages;

const VERSION: i64 = 1;

/// The operator, for graphs over one pool.
pub(crate) struct PagedAttention {
    pub(crate) pages: Arc<KvPages>,
    pub(crate) sources: Arc<SourcePages>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) simd: Simd,
}

/// Whose keys and values are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The sequence's own.
    Own,
    /// Its source's.
    Cross,
}

/// One node of a graph.
pub(crate) struct PagedAttentionKernel {
    layer: usize,
    config: AttentionConfig,
    /// Added to the mean square of q and k; `None` where they are not normalised.
    norm_epsilon: Option<f32>,
    kind: Kind,
    pages: Arc<KvPages>,
    sources: Arc<SourcePages>,
    pool: Arc<Pool>,
    simd: Simd,
}

impl Operator for PagedAttention {
    type Kernel<'attr> = PagedAttentionKernel;

    fn name(&self) -> &str {
        "PagedAttention"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let required = [Float32, Int32, Int32, Int32, Int32, Bool].map(OperatorInput::required);
        let optional = [Float32, Float32, Float32, Float32, Int64].map(OperatorInput::optional);
        required.into_iter().chain(optional)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let attributes = Attributes::new(context);
        let (layer, config) = layer_and_config(&attributes).map_err(|reason| attributes.error(&reason))?;
        let norm_epsilon = attributes.optional_number("norm_epsilon");
        let kind = kind(&attributes).map_err(|reason| attributes.error(&reason))?;
        let announced = match kind {
            Kind::Own => self.pages.announce(layer, &config),
            Kind::Cross => self.sources.announce(layer, &config),
        };
        announced.map_err(|reason| attributes.error(&reason))?;
        let (pages, sources, pool) = (self.pages.clone(), self.sources.clone(), self.pool.clone());
        Ok(PagedAttentionKernel { layer, config, norm_epsilon, kind, pages, sources, pool, simd: self.simd })
    }
}

impl Kernel for PagedAttentionKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let inputs = Inputs::new(context)?;
        if self.kind == Kind::Cross {
            let name = || format!("PagedAttention over sources, layer {}", self.layer);
            return guarded(name, || self.run_over_sources(context, &inputs));
        }
        let mut pages = self.pages.layer(self.layer).ok_or_else(|| ort::Error::new("the KV pool has no pages yet"))?;
        guarded(|| format!("PagedAttention, layer {}", self.layer), || self.run(context, &inputs, &mut pages))
    }
}

impl PagedAttentionKernel {
    fn run(&self, context: &ComputeContext, inputs: &Inputs, pages: &mut LayerPages) -> Result<(), String> {
        let config = &self.config;
        let (qkv_shape, qkv) = inputs.required::<f32>(0)?;
        let query_columns = config.heads * config.head_dim;
        let kv_columns = config.kv_heads * config.head_dim;
        let stride = query_columns + 2 * kv_columns;
        if qkv_shape.len() != 2 || qkv_shape[1] != stride {
            return Err(format!("`qkv` is {qkv_shape:?}, expected [rows, {stride}]"));
        }
        let (_, positions) = inputs.required::<i32>(1)?;
        let (_, slot_mapping) = inputs.required::<i32>(2)?;
        let (table_shape, block_tables) = inputs.required::<i32>(3)?;
        let (_, query_starts) = inputs.required::<i32>(4)?;
        let (mask_shape, tree_mask) = inputs.required::<bool>(5)?;
        let blocks_per_table = table_shape.get(1).copied().unwrap_or(0);
        let width = mask_shape.get(1).copied().unwrap_or(0);
        let tree = (width > 0).then_some((tree_mask, width));
        let rotary = inputs.optional::<f32>(6)?;
        if config.rotary_dim > 0 && rotary.is_none() {
            return Err(format!("`cos_sin` is missing, expected [positions, {}]", config.rotary_dim));
        }
        if qkv_shape[0] != positions.len() {
            return Err(format!("`qkv` has {} rows, expected {}, one a position", qkv_shape[0], positions.len()));
        }
        let cos_sin = rotary.map(|rotary| self.cos_sin(rotary)).transpose()?;
        let rows = PagedRows { positions, slot_mapping, block_tables, blocks_per_table, query_starts, tree };
        let rows = rows.check(config, self.pages.blocks(), cos_sin.as_ref()).map_err(|error| error.to_string())?;
        let normalized = self.normalized(inputs, qkv)?;
        let position_bias = self.position_bias(inputs)?;
        let columns = |offset| Columns { data: normalized.as_deref().unwrap_or(qkv), stride, offset };
        append(config, pages, &rows, columns(query_columns), columns(query_columns + kv_columns), cos_sin.as_ref());
        let attention = Attention { config, pages, rows: &rows, queries: columns(0), cos_sin, position_bias };
        write_output(context, [qkv_shape[0], query_columns], |output| {
            attend(self.simd, attention, output, &*self.pool);
        })
    }
}

impl PagedAttentionKernel {
    fn run_over_sources(&self, context: &ComputeContext, inputs: &Inputs) -> Result<(), String> {
        let config = &self.config;
        let (shape, queries) = inputs.required::<f32>(0)?;
        let columns = config.heads * config.head_dim;
        if shape.len() != 2 || shape[1] != columns {
            return Err(format!("`qkv` is {shape:?}, expected [rows, {columns}]"));
        }
        if let Some(index) = (6..10).find(|&index| inputs.has(index)) {
            return Err(format!("input {index} is there, expected none"));
        }
        let (_, starts) = inputs.required::<i32>(4)?;
        let (_, sources) = inputs.required::<i64>(10)?;
        let whole = starts.first() == Some(&0) && starts.last().map(|&end| end as usize) == Some(shape[0]);
        if starts.len() != sources.len() + 1 || !whole || !starts.is_sorted() {
            let (found, rows) = (sources.len(), shape[0]);
            return Err(format!(
                "{found} sources and `query_starts` {starts:?}, expected one for each part of {rows} rows"
            ));
        }
        let held = sources.iter().map(|&id| self.sources.source(id)).collect::<Result<Vec<_>, _>>()?;
        let checked = starts
            .windows(2)
            .zip(&held)
            .map(|(rows, source)| CheckedRows::over_source(config, (rows[1] - rows[0]) as usize, source.positions));
        let checked = checked.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        write_output(context, [shape[0], columns], |output| {
            for ((rows, source), start) in checked.iter().zip(&held).zip(starts) {
                let first = *start as usize * columns;
                let queries = Columns { data: &queries[first..], stride: columns, offset: 0 };
                let pages = &source.layers[self.layer];
                let attention = Attention { config, pages, rows, queries, cos_sin: None, position_bias: None };
                attend(self.simd, attention, &mut output[first..], &*self.pool);
            }
        })
    }

    fn position_bias<'a>(&self, inputs: &'a Inputs) -> Result<Option<PositionBias<'a>>, String> {
        let Some((shape, table)) = inputs.optional::<f32>(7)? else { return Ok(None) };
        let distances = shape.get(1).copied().unwrap_or(0);
        let bias = PositionBias { table, distances };
        bias.check(&self.config).map_err(|error| error.to_string())?;
        Ok(Some(bias))
    }

    /// `qkv` with normalised q and k; `None` where they are taken as they come.
    fn normalized(&self, inputs: &Inputs, qkv: &[f32]) -> Result<Option<Vec<f32>>, String> {
        // Those of models to come, and those that would do nothing: a model without them is another one.
        let first_unexpected = if self.norm_epsilon.is_some() { 10 } else { 8 };
        if let Some(index) = (first_unexpected..11).find(|&index| inputs.has(index)) {
            return Err(format!("input {index} is there, expected none"));
        }
        let Some(epsilon) = self.norm_epsilon else { return Ok(None) };
        let ((_, query), (_, key)) = (inputs.required::<f32>(8)?, inputs.required::<f32>(9)?);
        let norm = QueryKeyNorm { query, key, epsilon };
        norm.check(&self.config).map_err(|error| error.to_string())?;
        let mut normalized = qkv.to_vec();
        norm.apply(&self.config, &mut normalized);
        Ok(Some(normalized))
    }

    fn cos_sin<'a>(&self, (shape, table): Axed<'a, f32>) -> Result<CosSin<'a>, String> {
        let rotary_dim = self.config.rotary_dim;
        if shape.len() == 2 && shape[1] == rotary_dim {
            return Ok(CosSin { table, positions: shape[0] });
        }
        Err(format!("`cos_sin` is {shape:?}, expected [positions, {rotary_dim}]"))
    }
}

fn kind(attributes: &Attributes) -> Result<Kind, String> {
    match attributes.text("kind")?.as_str() {
        "self" => Ok(Kind::Own),
        "cross" => Ok(Kind::Cross),
        kind => Err(format!("attribute `kind` is \"{kind}\", expected \"self\" or \"cross\"")),
    }
}

fn layer_and_config(attributes: &Attributes) -> Result<(usize, AttentionConfig), String> {
    attributes.expect("version", VERSION)?;
    attributes.expect("interleaved", 0)?;
    let softcap = attributes.number("softcap")?;
    let window = attributes.count("window")?;
    let config = AttentionConfig {
        heads: attributes.count("heads")?,
        kv_heads: attributes.count("kv_heads")?,
        head_dim: attributes.count("head_dim")?,
        scale: attributes.number("scale")?,
        rotary_dim: attributes.count("rotary_dim")?,
        window: (window > 0).then_some(window),
        softcap: (softcap != 0.0).then_some(softcap),
        block_tokens: BLOCK_TOKENS,
    };
    config.check().map_err(|error| error.to_string())?;
    Ok((attributes.count("layer")?, config))
}
