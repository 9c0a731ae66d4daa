//! N-gram language models: interpolated modified Kneser-Ney over token ids (Chen and Goodman 1998, "An Empirical Study
//! of Smoothing Techniques for Language Modeling", section 3).
//!
//! The probability of a token `w` behind a context `h`, where `h'` is `h` without its oldest token, is
//!
//! ```text
//! p(w | h) = max(c(hw) - D, 0) / c(h)  +  backoff(h) p(w | h')        p(w | no context at all) has 1/V as its p(w | h')
//! ```
//!
//! `c` counts occurrences at the highest order; below, it counts the different tokens to the left, because a shorter
//! context is asked only where the longer one is new. `D` is one of three discounts an order, for counts of 1, 2 and
//! more; `backoff(h)` gives away exactly what they took. So in every context, seen or not, each of the `V` tokens has
//! a probability above 0, and all of them add up to 1.
//!
//! **Borders of documents.** No n-gram crosses the end of a document, and no token stands for its end: whoever wants
//! one appends it. The start is a left neighbour like a token, the same for all documents, but never part of an n-gram:
//! the first token is predicted without context.
//!
//! Reading order: [`train()`] counts (`counts.rs`), estimates and writes; the bytes (`file.rs`) are what is read, be it
//! from memory or a mapped file, once `validate.rs` has let them through; [`NgramModel`] (`model.rs`) answers.

mod model;
mod context;
mod held_out;
mod train;
mod counts;
mod discounts;
mod file;
mod validate;
#[cfg(test)]
mod tests;

pub use context::NgramContext;
pub use file::MAGIC;
pub use held_out::HeldOut;
pub use model::NgramModel;
pub use train::{NgramConfig, train};

/// Tokens of an n-gram, at most.
pub const MAX_ORDER: usize = 5;
