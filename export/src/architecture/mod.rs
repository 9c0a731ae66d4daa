//! Graphs, one file an architecture.
//!
//! An architecture says what its layers are made of; `products` says which operators compute them.

mod llama;
mod products;
mod tensors;

pub(crate) use llama::{tensor_count, write_graph};
