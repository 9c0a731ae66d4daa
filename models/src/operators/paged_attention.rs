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
//! 7 position_bias    in the schema, refused so far
//! 8 q_norm         f32      [head_dim] or [heads * head_dim]       optional: RMS normalisation before rotation, of
//! 9 k_norm         f32      [head_dim] or [kv_heads * head_dim]    each head or of all together; both or neither
//! output           f32      [rows, heads * head_dim]
//! ```
//!
//! Attributes: `version`, `layer`, `heads`, `kv_heads`, `head_dim`, `scale`, `rotary_dim` (0 = none), `interleaved`,
//! `window` (0 = all), `softcap` (0 = none), `kind` ("self" or "cross"); `norm_epsilon` where q and k are normalised.

use std::sync::Arc;

use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Bool, Float32, Int32};
use veridraft_kernels::{
    Attention, AttentionConfig, Columns, CosSin, LayerPages, PagedRows, Pool, QueryKeyNorm, Simd, append, attend,
};

use super::node::{Attributes, Axed, Inputs, guarded, write_output};
use crate::causal_model::kv_pages::{BLOCK_TOKENS, KvPages};

const VERSION: i64 = 1;

/// The operator, for graphs over one pool.
pub(crate) struct PagedAttention {
    pub(crate) pages: Arc<KvPages>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) simd: Simd,
}

/// One node of a graph.
pub(crate) struct PagedAttentionKernel {
    layer: usize,
    config: AttentionConfig,
    /// Added to the mean square of q and k; `None` where they are not normalised.
    norm_epsilon: Option<f32>,
    pages: Arc<KvPages>,
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
        let optional = [Float32, Float32, Float32, Float32].map(OperatorInput::optional);
        required.into_iter().chain(optional)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let attributes = Attributes::new(context);
        let (layer, config) = layer_and_config(&attributes).map_err(|reason| attributes.error(&reason))?;
        let norm_epsilon = attributes.optional_number("norm_epsilon");
        self.pages.announce(layer, &config).map_err(|reason| attributes.error(&reason))?;
        let (pages, pool) = (self.pages.clone(), self.pool.clone());
        Ok(PagedAttentionKernel { layer, config, norm_epsilon, pages, pool, simd: self.simd })
    }
}

impl Kernel for PagedAttentionKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let inputs = Inputs::new(context)?;
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
        let columns = |offset| Columns { data: normalized.as_deref().unwrap_or(qkv), stride, offset };
        append(config, pages, &rows, columns(query_columns), columns(query_columns + kv_columns), cos_sin.as_ref());
        let attention = Attention { config, pages, rows: &rows, queries: columns(0), cos_sin };
        write_output(context, [qkv_shape[0], query_columns], |output| {
            attend(self.simd, attention, output, &*self.pool);
        })
    }
}

impl PagedAttentionKernel {
    /// `qkv` with normalised q and k; `None` where they are taken as they come.
    fn normalized(&self, inputs: &Inputs, qkv: &[f32]) -> Result<Option<Vec<f32>>, String> {
        // Those of models to come, and those that would do nothing: a model without them is another one.
        let first_unexpected = if self.norm_epsilon.is_some() { 10 } else { 8 };
        if let Some(index) = [7].into_iter().chain(first_unexpected..10).find(|&index| inputs.has(index)) {
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

fn layer_and_config(attributes: &Attributes) -> Result<(usize, AttentionConfig), String> {
    attributes.expect("version", VERSION)?;
    attributes.expect("interleaved", 0)?;
    let kind = attributes.text("kind")?;
    if kind != "self" {
        return Err(format!("attribute `kind` is \"{kind}\", expected \"self\""));
    }
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
