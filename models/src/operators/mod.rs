//! Custom operators of the `veridraft` domain: thin shells over `veridraft-kernels`.

mod paged_attention;
mod matmul;
mod embedding;
mod node;
mod pool;

pub(crate) use embedding::Embedding;
pub(crate) use matmul::MatMul;
pub(crate) use paged_attention::PagedAttention;
pub(crate) use pool::Pool;

/// The operators' domain in a graph.
pub const DOMAIN: &str = "veridraft";
