//! What models make of given text, without generating: teacher forcing, and distributions read off logits.
//!
//! Perplexity, scores of continuations and the fitness of drafters are sums over [`teacher_force`].

mod distributions;
mod teacher_forcing;
mod windows;

pub use distributions::{Agreement, Softmax};
pub use teacher_forcing::{Pass, Place, teacher_force};
pub use windows::Window;
