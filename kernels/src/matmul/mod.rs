//! Matrix products with packed weights, row-exact: `output[r] = epilogue(weights * norm(input[r]))`.
//!
//! What is computed for one row and one column of the product, in this order whatever the batch, tiles and threads:
//!
//! ```text
//! norm       x = input / sqrt(mean(input^2) + epsilon) * norm weight     eight sums of squares by k mod 8, then in order
//! quantise   s = largest |x| / 127, a = round(x / s)                     for each 32 of x; not for f32 weights
//! block b    dot = sum of code * a                                       integers, exact in any order
//!            y += (scale * s) * dot;  y += minimum * (s * sum of a)      b = 0, 1, 2 ...; 16 long for `q8k`
//! f32        y += w[k] * x[k]                                            k = 0, 1, 2 ...
//! epilogue   y + bias;  silu(gate) * up;  y + residual
//! ```
//!
//! Weights are multiplied tile by tile: a few rows of input by two panels of eight columns, so that codes are read and
//! unpacked once for all rows of the tile. Threads take columns.

mod activations;
mod epilogue;
mod formats;
mod product;
mod split;
#[cfg(test)]
mod tests;
mod tile;

pub use product::{MatMul, RmsNorm, matmul};
