//! Parts of encoders, by ONNX Runtime's own operators: every position of one source sees every other.
//!
//! A source is computed once and by itself, so nothing here has to be row-exact.

use super::writer::Writer;
use crate::Result;
use crate::checkpoint::Padding;
use crate::onnx::Attribute::{Int, Ints};
use crate::onnx::Value;

/// Attention of an encoder's layer.
pub(super) struct EncoderAttention<'a> {
    pub(super) name: String,
    /// `[source, 3 * heads * head_dim]`: q, k, v.
    pub(super) qkv: &'a Value,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
    pub(super) scale: f32,
    /// Added to scores, `[heads, source, source]`.
    pub(super) bias: Option<&'a Value>,
}

impl EncoderAttention<'_> {
    /// What attention gives, `[source, heads * head_dim]`.
    pub(super) fn write(&self, writer: &mut Writer) -> Result<Value> {
        let name = |part: &str| format!("{}.{part}", self.name);
        let graph = &mut writer.graph;
        let parts = [name("q"), name("k"), name("v")];
        let parts = parts.each_ref().map(String::as_str);
        let [query, key, value] =
            graph.node_with_outputs(("", "Split"), &parts, &[Some(self.qkv)], &[("axis", Int(1))]);
        let shape = integers(writer, &name("heads"), &[-1, self.heads as i64, self.head_dim as i64]);
        let mut by_head = |part: &str, input: &Value, order: [i64; 3]| {
            let heads = writer.graph.standard("Reshape", &name(&format!("{part}.heads")), &[input, &shape], &[]);
            let order = [("perm", Ints(order.to_vec()))];
            writer.graph.standard("Transpose", &name(&format!("{part}.by_head")), &[&heads], &order)
        };
        let (query, key) = (by_head("q", &query, [1, 0, 2]), by_head("k", &key, [1, 2, 0]));
        let value = by_head("v", &value, [1, 0, 2]);
        let scale = writer.graph.constant(&name("scale"), &[1], &[self.scale])?;
        let graph = &mut writer.graph;
        let query = graph.standard("Mul", &name("scaled"), &[&query, &scale], &[]);
        let mut scores = graph.standard("MatMul", &name("scores"), &[&query, &key], &[]);
        if let Some(bias) = self.bias {
            scores = graph.standard("Add", &name("biased"), &[&scores, bias], &[]);
        }
        let weights = graph.standard("Softmax", &name("weights"), &[&scores], &[("axis", Int(-1))]);
        let attended = graph.standard("MatMul", &name("attended"), &[&weights, &value], &[]);
        let order = [("perm", Ints(vec![1, 0, 2]))];
        let attended = graph.standard("Transpose", &name("by_row"), &[&attended], &order);
        let shape = integers(writer, &name("row"), &[-1, (self.heads * self.head_dim) as i64]);
        Ok(writer.graph.standard("Reshape", &name("output"), &[&attended, &shape], &[]))
    }
}

/// Fills the source up where its configuration says so: what is read is then that.
pub(super) fn pad_source(writer: &mut Writer) {
    let Some(Padding { token, length }) = writer.config.encoder.as_ref().and_then(|encoder| encoder.padding) else {
        return;
    };
    let padding = integers(writer, "source.padding", &vec![token as i64; length]);
    let [start, end, axis] = [("start", 0), ("end", length as i64), ("axis", 0)]
        .map(|(name, value)| integers(writer, &format!("source.{name}"), &[value]));
    let source = writer.input_ids().clone();
    let graph = &mut writer.graph;
    let long = graph.standard("Concat", "source.long", &[&source, &padding], &[("axis", Int(0))]);
    let padded = graph.standard("Slice", "source.padded", &[&long, &start, &end, &axis], &[]);
    writer.read_instead(padded);
}

/// The positions 0, 1, 2 ... of the source, int64.
pub(super) fn source_positions(writer: &mut Writer) -> Value {
    let source = writer.input_ids().clone();
    let graph = &mut writer.graph;
    let shape = graph.standard("Shape", "source.shape", &[&source], &[]);
    let number = |graph: &mut crate::onnx::GraphBuilder, name: &str, value: i64| {
        graph.standard("Constant", name, &[], &[("value_int", Int(value))])
    };
    let (zero, one) = (number(graph, "source.zero", 0), number(graph, "source.one", 1));
    let length = graph.standard("Gather", "source.length", &[&shape, &zero], &[]);
    graph.standard("Range", "source.positions", &[&zero, &length, &one], &[])
}

/// An int64 constant of one axis.
pub(super) fn integers(writer: &mut Writer, name: &str, values: &[i64]) -> Value {
    writer.graph.standard("Constant", name, &[], &[("value_ints", Ints(values.to_vec()))])
}
