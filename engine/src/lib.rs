//! How tokens are produced: requests, sequences, the block pool, drafting, verification and sampling.
//!
//! Everything here is plain data over [`veridraft_models::LanguageModel`]; no tensor library's type and no clock is
//! seen. Start at [`Engine`]: add a [`Request`], call [`Engine::step`] while it has work, take the tokens.
//!
//! ```
//! use std::time::Duration;
//!
//! use veridraft_engine::drafters::Lookup;
//! use veridraft_engine::{CostModel, Decode, Engine, EngineConfig, Parts, Request};
//! use veridraft_models::{Batch, CacheSpec, LanguageModel, Limits, Logits, Result, TokenId};
//!
//! /// Counts to five, again and again. It looks at nothing but the last token, so it needs no cache.
//! struct Counter;
//!
//! impl LanguageModel for Counter {
//!     fn cache_spec(&self) -> CacheSpec {
//!         CacheSpec { block_tokens: 16, blocks: 8, block_bytes: 0 }
//!     }
//!     fn limits(&self) -> Limits {
//!         let (max_rows, context_length) = (64, 100);
//!         Limits { max_rows, context_length, ragged: true, tree: true, share_blocks: true, row_exact: true }
//!     }
//!     fn vocabulary(&self) -> usize {
//!         5
//!     }
//!     fn forward(&mut self, batch: &Batch) -> Result<Logits> {
//!         let mut values = vec![0.0; batch.logit_rows.len() * 5];
//!         for (logits, &row) in values.chunks_mut(5).zip(&batch.logit_rows) {
//!             logits[(batch.token_ids[row as usize] as usize + 1) % 5] = 1.0;
//!         }
//!         Ok(Logits { vocabulary: 5, values })
//!     }
//!     fn copy_slots(&mut self, _: &[(u32, u32)]) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! struct Digits;
//!
//! impl Decode for Digits {
//!     fn decode(&self, ids: &[TokenId]) -> String {
//!         ids.iter().map(|id| id.to_string()).collect()
//!     }
//! }
//!
//! let parts = Parts {
//!     model: Box::new(Counter),
//!     decoder: std::sync::Arc::new(Digits),
//!     drafters: vec![Box::new(Lookup::default())],
//!     costs: CostModel::default(),
//!     clock: Box::new(|| Duration::ZERO),
//! };
//! let mut engine = Engine::new(parts, EngineConfig::default());
//! let id = engine.add(Request { draft_max: 4, ..Request::new(vec![0, 1, 2, 3, 4, 0, 1], 10) })?;
//! let mut text = String::new();
//! while engine.has_work() {
//!     for step in engine.step()?.sequences {
//!         text += &step.text;
//!     }
//! }
//! assert_eq!(text, "2340123401");
//! // Drafts were right, so that ten tokens took fewer than ten passes.
//! assert!(engine.remove(id).unwrap().report.forwards < 10);
//! # Ok::<(), veridraft_engine::Error>(())
//! ```
//!
//! A whole program over a model folder: `cargo run -p veridraft-engine --example generate`.

mod engine;
mod request;
mod sequence;
mod plan;
mod verify;
mod choice;
mod report;
pub mod measure;
pub mod evaluation;
pub mod drafters;
pub mod ngram;
pub mod sampling;
pub mod constraint;
mod block_pool;
mod prefix_cache;
mod detokenizer;
mod encode;
mod stop_strings;
mod sequence_id;
mod invalid_setting;
mod encoded_sources;
mod error;

pub use block_pool::BlockPool;
pub use choice::{ContextTimes, CostModel, Load, MEASURED_ROWS};
pub use detokenizer::{Decode, Detokenizer};
pub use encode::Encode;
pub use engine::{Clock, Engine, EngineConfig, Parts};
pub use error::{Error, Result};
pub use invalid_setting::InvalidSetting;
pub use report::{DraftedToken, Finished, Outcome, SequenceReport, SequenceStep, SourceReport, StepReport};
pub use request::{FinishReason, Logprobs, Request, StopConditions, Verification};
pub use sampling::{SamplingConfig, TokenLogprobs};
pub use sequence_id::SequenceId;
pub use stop_strings::StopStrings;
