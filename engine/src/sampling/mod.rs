//! Coupled sampling: a token is a pure function of the target's logits and of noise keyed by seed and position.
//!
//! The token at absolute position `i` is `argmax_t(log p_t + Gumbel(t))` over the processed distribution `p`, ties to
//! the lowest id; at temperature 0 it is the plain argmax of the penalised logits. Nothing else enters, so the text
//! does not depend on who drafted what: a drafted token is accepted exactly when it equals this one.
//! Daliri, Musco, Suresh 2024, "Coupling without communication and drafter-invariant speculative decoding".
//!
//! ```text
//! logits -> penalties (history) -> temperature -> top-k -> top-p -> min-p (processors) -> race (+ noise) -> token
//! ```

mod config;
mod history;
pub(crate) mod logits;
mod logprobs;
mod noise;
mod processors;
mod race;
mod sampler;
mod distribution;
pub mod rejection;
pub mod typical;

pub use config::SamplingConfig;
pub use history::History;
pub use logprobs::TokenLogprobs;
pub use noise::{NoiseKey, Stream, gumbel, uniform};
pub use sampler::Sampler;
