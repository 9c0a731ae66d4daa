//! Drafting with a second, smaller model (Leviathan et al. 2023; Chen et al. 2023).
//!
//! A drafter here owns a model with a block pool of its own and drafts for all wanted sequences at once: first what the
//! draft model has not computed of their tokens, then one row a sequence for each further token of the drafts. So
//! `k` tokens for `n` sequences take `k` forwards (the first of them with the catch-up), not `n k`.
//!
//! Invariant: a draft is a function of the committed tokens, the request and the call, never of what is in the cache.
//! Which sequences of a call find room is decided by their lengths and the size of the pool; caches of sequences that
//! are not in the call are given up for them and computed anew when next wanted.
//!
//! ```text
//! DraftModel       same tokenizer as the target: tokens by the sampler, with the target's noise (choice.rs)
//! CrossVocabulary  another tokenizer: greedy tokens, their text tokenised again
//!   └ Runner       model, pool, the caches of all sequences, batches (runner.rs, cache.rs, rows.rs)
//! ```

mod draft_model;
mod choice;
mod path;
mod cross_vocabulary;
mod runner;
mod cache;
mod rows;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

pub use cross_vocabulary::{CrossVocabulary, Tokenizers};
pub use draft_model::DraftModel;
