//! Attention nodes of a decoder, over a sequence's own pages and over its source's.

use veridraft_models::operators::DOMAIN;

use super::super::products::Product;
use super::{QueryKeyNorm, RotaryTables, Writer};
use crate::Result;
use crate::checkpoint::DecoderConfig;
use crate::onnx::Attribute::{Float, Int, Text};
use crate::onnx::{Attribute, ElementType, Value};

impl Writer<'_> {
    /// The attention of a layer over `qkv`, `[rows, (heads + 2 * kv_heads) * head_dim]`.
    pub(in crate::architecture) fn attention(
        &mut self,
        layer: usize,
        qkv: &Value,
        tables: Option<&RotaryTables>,
        norm: Option<&QueryKeyNorm>,
    ) -> Value {
        let config = self.config;
        let is_local = config.windows[layer].is_some();
        let table = tables.and_then(|tables| tables.local.as_ref().filter(|_| is_local).or(tables.all.as_ref()));
        let mut attributes = attention_attributes(config, layer, "self").to_vec();
        let mut optional = vec![table];
        if let Some(QueryKeyNorm { query, key }) = norm {
            optional.extend([None, Some(query), Some(key)]);
            attributes.push(("norm_epsilon", Float(config.norm_eps)));
        }
        self.paged(&format!("model.layers.{layer}.attention"), qkv, &optional, &attributes)
    }

    /// The attention of a layer without rotation; `bias` is added to scores, `[heads, distances]`.
    pub(in crate::architecture) fn biased_attention(
        &mut self,
        layer: usize,
        qkv: &Value,
        bias: Option<&Value>,
    ) -> Value {
        let attributes = attention_attributes(self.config, layer, "self");
        self.paged(&format!("model.layers.{layer}.attention"), qkv, &[None, bias], &attributes)
    }

    /// The attention of `query`, `[rows, heads * head_dim]`, over each sequence's source.
    pub(in crate::architecture) fn cross_attention(&mut self, layer: usize, query: &Value) -> Value {
        let attributes = attention_attributes(self.config, layer, "cross");
        let sources = self.pages().sources.clone();
        let optional = [None, None, None, None, sources.as_ref()];
        self.paged(&format!("model.layers.{layer}.cross_attention"), query, &optional, &attributes)
    }

    /// An attention node with these inputs behind those that all have.
    fn paged(
        &mut self,
        name: &str,
        input: &Value,
        optional: &[Option<&Value>],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        let pages = self.inputs.pages.as_ref().expect("a decoder's graph is written");
        let mut operands = vec![
            Some(input),
            Some(&pages.positions),
            Some(&pages.slot_mapping),
            Some(&pages.block_tables),
            Some(&pages.query_starts),
            Some(&pages.tree_mask),
        ];
        operands.extend(optional);
        while operands.last().is_some_and(Option::is_none) {
            operands.pop();
        }
        self.graph.node((DOMAIN, "PagedAttention"), name, &operands, attributes)
    }

    /// A product that is an output of an encoder: keys and values of its source, `[source, 2 * kv_heads * head_dim]`.
    pub(in crate::architecture) fn cross_output(&mut self, product: Product) -> Result<()> {
        let columns = 2 * self.config.kv_heads * self.config.head_dim;
        let output = self.product(product)?;
        self.graph.output(&output, ElementType::F32, "positions", columns);
        Ok(())
    }
}

fn attention_attributes(config: &DecoderConfig, layer: usize, kind: &str) -> [(&'static str, Attribute); 11] {
    let count = |value: usize| Int(value as i64);
    [
        ("version", Int(1)),
        ("layer", count(layer)),
        ("heads", count(config.heads)),
        ("kv_heads", count(config.kv_heads)),
        ("head_dim", count(config.head_dim)),
        ("scale", Float(config.attention_scale)),
        ("rotary_dim", count(config.rotary_dim)),
        ("interleaved", Int(0)),
        ("window", count(config.windows[layer].unwrap_or(0))),
        ("softcap", Float(config.attention_softcap.unwrap_or(0.0))),
        ("kind", Text(kind.to_owned())),
    ]
}
