//! CPU arithmetic: plain slices in, plain slices out, with SIMD chosen at run time.
//!
//! Every kernel is row-exact: row `r` of its result has the same bits whatever other rows are in the batch, however many
//! threads run and wherever its data lies. Each kernel's module says which order of operations makes it so.

mod weights;
mod matmul;
mod attention;
mod rotary;
mod exp;
mod lanes;
mod parallel;
mod simd;
mod error;

pub use attention::{
    Attention, AttentionConfig, CheckedRows, Columns, KvType, LayerPages, PagedRows, PositionBias, QueryKeyNorm,
    append, attend,
};
pub use error::{Error, Result};
pub use matmul::{MatMul, RmsNorm, matmul};
pub use parallel::{Parallel, Pass, Pool, Serial, Threads};
pub use rotary::CosSin;
pub use simd::Simd;
pub use weights::{LAYOUT_VERSION, PANEL_COLUMNS, PackedWeights, WeightFormat, WeightRow, pack_panel};
