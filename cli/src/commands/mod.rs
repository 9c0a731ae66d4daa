//! One file a command.

pub(crate) mod batch;
pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod export;
pub(crate) mod fill;
pub(crate) mod generate;
mod generation;
pub(crate) mod model;
pub(crate) mod perplexity;
pub(crate) mod runtime;
pub(crate) mod score;
pub(crate) mod train;
pub(crate) mod verify;

pub(crate) use generation::{Answer, Generated};
