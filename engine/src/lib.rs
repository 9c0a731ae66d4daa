//! How tokens are produced: requests, sequences, the block pool, drafting, verification and sampling.
//!
//! Everything here is plain data over [`veridraft_models::LanguageModel`]; no tensor library's type and no clock is
//! seen. Start at [`Engine`]: add a [`Request`], call [`Engine::step`] while it has work, take the tokens.

mod engine;
mod request;
mod sequence;
mod plan;
mod verify;
mod choice;
mod report;
pub mod measure;
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
mod error;

pub use block_pool::BlockPool;
pub use choice::{ContextTimes, CostModel, Load, MEASURED_ROWS};
pub use detokenizer::{Decode, Detokenizer};
pub use encode::Encode;
pub use engine::{Clock, Engine, EngineConfig, Parts};
pub use error::{Error, Result};
pub use invalid_setting::InvalidSetting;
pub use report::{Finished, Outcome, SequenceReport, SequenceStep, SourceReport, StepReport};
pub use request::{FinishReason, Logprobs, Request, StopConditions, Verification};
pub use sampling::{SamplingConfig, TokenLogprobs};
pub use sequence_id::SequenceId;
pub use stop_strings::StopStrings;
