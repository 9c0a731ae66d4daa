//! A bug is one line, like any other error.
//!
//! The libraries catch the panics of theirs that bad input can cause and return errors, but the standard hook would
//! print each of them first. So the hook only remembers, and what nobody caught is reported at the end.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

use anyhow::{Result, anyhow};

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Runs the command; a panic that comes through becomes an error.
pub(crate) fn caught(run: impl FnOnce() -> Result<()>) -> Result<()> {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST.lock() {
            *last = Some(info.to_string());
        }
    }));
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let last = LAST.lock().ok().and_then(|mut last| last.take());
        Err(anyhow!("this is a bug in veridraft: {}", last.unwrap_or_else(|| "no message".to_owned())))
    })
}
