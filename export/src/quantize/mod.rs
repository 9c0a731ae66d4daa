//! Weights to fewer bits, for checkpoints that have more of them, and tensors to panels.
//!
//! [`quantize_q8`] rounds to the nearest code. [`quantize_q4`] first looks for the scale and minimum that leave the least
//! error. Both choose 16-bit parameters and measure with them as they are stored, so a row's
//! [`dequantize`](veridraft_kernels::WeightRow::dequantize) gives what was compared.

mod q8;
mod q4;
pub(crate) mod n_bits;
pub(crate) mod packing;

pub use q4::quantize_q4;
pub use q8::quantize_q8;

/// Weights that share a scale.
const BLOCK: usize = 32;
