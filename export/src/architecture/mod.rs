//! Graphs, one file an architecture.

mod llama;

pub(crate) use llama::{tensor_count, write_graph};
