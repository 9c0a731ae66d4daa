//! One file a command.

#[cfg_attr(not(test), expect(dead_code, reason = "the command itself is yet to come"))]
mod batch;
pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod export;
pub(crate) mod generate;
mod generation;
pub(crate) mod model;
pub(crate) mod runtime;
pub(crate) mod train;
pub(crate) mod verify;

pub(crate) use generation::{Answer, Generated};
