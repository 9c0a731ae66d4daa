//! Custom operators of the `veridraft` domain: thin shells over `veridraft-kernels`.

mod paged_attention;
mod matmul;
mod embedding;
mod node;

pub(crate) use embedding::Embedding;
pub(crate) use matmul::MatMul;
pub(crate) use paged_attention::PagedAttention;

/// The operators' domain in a graph.
pub const DOMAIN: &str = "veridraft";
