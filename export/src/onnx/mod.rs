//! Writing ONNX files: messages, a graph builder, and weights in external data.

mod external_data;
mod graph;
mod proto;

pub use graph::{Attribute, Axis, ElementType, GraphBuilder, Value};
