//! Ctrl-C as a request: during a generation the first ends it; a second, or one while nothing runs, ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status of a process ended by Ctrl-C, by convention 128 + SIGINT.
const INTERRUPTED_STATUS: i32 = 130;

/// Whether Ctrl-C was pressed in the generation under way.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    is_generating: Arc<AtomicBool>,
    is_pressed: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over Ctrl-C for the rest of the process; called once.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let handler = interrupt.clone();
        ctrlc::set_handler(move || {
            let is_generating = handler.is_generating.load(Ordering::SeqCst);
            if handler.is_pressed.swap(true, Ordering::SeqCst) || !is_generating {
                std::process::exit(INTERRUPTED_STATUS);
            }
        })?;
        Ok(interrupt)
    }

    /// A generation starts: Ctrl-C from here on is a request to end it.
    pub(crate) fn begin(&self) {
        self.is_pressed.store(false, Ordering::SeqCst);
        self.is_generating.store(true, Ordering::SeqCst);
    }

    /// The generation is over: Ctrl-C from here on ends the process.
    pub(crate) fn end(&self) {
        self.is_generating.store(false, Ordering::SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_pressed.load(Ordering::SeqCst)
    }
}
