//! What models make of given text, without generating: teacher forcing, and distributions read off logits.
//!
//! Perplexity, scores of continuations and the fitness of drafters are sums over [`teacher_force`]. For perplexity a
//! [`Recipe`] cuts texts into windows, [`force_texts`] runs them, and [`Score`], [`Comparison`] and [`Worst`] gather what
//! is read. [`likelihoods`] answers texts one by one, as they come. Masked models have
//! [`pseudo_log_likelihoods`] instead.

mod distributions;
mod pseudo_likelihood;
mod teacher_forcing;
mod windows;
mod recipe;
mod texts;
mod reading;
mod score;
mod comparison;
mod worst;
mod likelihood;
pub mod fitness;

pub use comparison::{Comparison, ComparisonSummary};
pub use distributions::{Agreement, Softmax};
pub use likelihood::{Likelihood, likelihoods};
pub use pseudo_likelihood::{Masking, PseudoScore, pseudo_log_likelihoods};
pub use reading::{Reading, ngram_readings};
pub use recipe::{Recipe, Start, Stretch};
pub use score::{Score, TextSize, is_python_space};
pub use teacher_forcing::{Pass, Place, teacher_force};
pub use texts::{TextPlace, force_texts};
pub use windows::Window;
pub use worst::Worst;
