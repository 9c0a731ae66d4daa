//! What integration tests share: models that need no checkpoint, and the places of optional data.

mod chunked;
mod company;
mod constrained_text;
mod dense_folder;
mod letters;
mod masked_reference;
mod one_token;
mod outcomes;
mod reference;
mod scripted_constraint;
mod scripted_drafter;
mod scripted_engine;
mod scripted_model;
mod shared_data;
mod tiny_llama;
pub mod trial;

pub use chunked::{TreeOfRows, add_rows, assert_same_bits, run_chunked, scattered_table};
pub use company::{Company, Small, random_ngrams};
pub use constrained_text::{BYTE_VOCABULARY, END_OF_TEXT, byte_vocabulary, constrained_tokens, hashed_logits, text_of};
pub use dense_folder::DenseFolder;
pub use letters::{LetterPairs, Letters};
pub use masked_reference::MaskedReference;
pub use one_token::one_token;
pub use outcomes::Outcomes;
pub use reference::Reference;
pub use scripted_constraint::ScriptedConstraint;
pub use scripted_drafter::ScriptedDrafter;
pub use scripted_engine::{Output, alone, run_all, scripted_engine};
pub use scripted_model::{HeldSources, Script, ScriptedModel, SourceScript};
pub use shared_data::shared_data;
pub use tiny_llama::TinyLlama;
