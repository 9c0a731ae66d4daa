//! What a waiting person sees on standard error: a spinner or a bar on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A spinner beside a line that changes.
pub(crate) struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    pub(crate) fn start() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// Shows the line; without a terminal, prints it.
    pub(crate) fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.set_message(line.to_owned());
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar over the tensors of an export.
pub(crate) struct ExportBar {
    bar: ProgressBar,
}

impl ExportBar {
    /// Says what is exported; the bar appears with the first tensor.
    pub(crate) fn start(title: &str) -> Self {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} tensors, {elapsed}");
        let bar = ProgressBar::new(0).with_style(style.expect("the template is well formed"));
        bar.set_message(title.to_owned());
        if bar.is_hidden() {
            eprintln!("{title}");
        }
        Self { bar }
    }

    pub(crate) fn set(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}

impl Drop for ExportBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
