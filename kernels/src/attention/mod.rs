//! Paged attention, row-exact: a row's result has the same bits whatever other rows, blocks, chunks or threads.
//!
//! A row walks *logical positions*, never slots. Its walk is cut into chunks of [`CHUNK`] positions, counted from
//! position 0 of the sequence; a chunk gives a maximum, a sum and a weighted sum of values (online softmax, Milakov and
//! Gimelshein 2018; cut as in Flash-Decoding, Dao et al. 2023), and chunks are merged in order:
//!
//! ```text
//! score(j)   = scale * (((q0 k0) + q1 k1) + ...)                one sum, over the head in order; then, by itself,
//!                                                               moved by the distance and bent
//! chunk c    : m = max score(j), p(j) = exp(score(j) - m)       j in the chunk and seen by the row
//!              l = sum p(j), eight sums by j mod 8, then added in order
//!              o = ((p(j0) v(j0)) + p(j1) v(j1)) + ...          one sum for each number of the head, over j in order
//! merge      : (m, l, o) of chunks 0, 1, 2 ... in order, rescaled to the larger maximum
//! ```
//!
//! Keys and values may be stored as codes with a scale a row ([`KvType`]): then a score is multiplied by its key's scale
//! at last, and p(j) by its value's scale before it weighs the value's codes.
//!
//! Which rows share the reading of a key, which lane or thread computes what, changes none of these operations. A
//! product is added as the path rounds: AVX2 and AVX-512 give the same bits, the portable path nearly the same.

mod append;
mod attend;
mod blocks;
mod chunk;
mod columns;
mod config;
mod head_norm;
mod kv_type;
mod pages;
mod partial;
mod plan;
mod position_bias;
mod rows;
mod softmax;
#[cfg(test)]
mod tests;
mod tile;
mod tree;
mod walk;

pub use append::append;
pub use attend::{Attention, attend};
pub use columns::Columns;
pub use config::AttentionConfig;
pub use head_norm::QueryKeyNorm;
pub use kv_type::KvType;
pub use pages::LayerPages;
pub use position_bias::PositionBias;
pub use rows::{CheckedRows, PagedRows};

/// Positions in a chunk of a row's walk.
pub(crate) const CHUNK: usize = 256;
