//! What a waiting person sees on standard error: a spinner or a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

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

/// Time between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A bar over rows, with what is told beside it; without a terminal a line now and then.
pub(crate) struct RowsBar {
    bar: ProgressBar,
    begun: Instant,
    /// Rows that were done before.
    found: usize,
    rows: usize,
    last_line: Instant,
}

impl RowsBar {
    /// `found` of `rows` are done already.
    pub(crate) fn start(found: usize, rows: usize) -> Self {
        let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} rows, {msg}");
        let bar = ProgressBar::new(rows as u64).with_style(style.expect("the template is well formed"));
        bar.set_position(found as u64);
        let now = Instant::now();
        Self { bar, begun: now, found, rows, last_line: now }
    }

    /// Shows that `done` rows are done and `under_way` begun.
    pub(crate) fn set(&mut self, done: usize, under_way: usize, told: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_position(done as u64);
            self.bar.set_message(format!("{}{}", told(), self.left(done, under_way)));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            eprintln!("{done}/{} rows, {}{}", self.rows, told(), self.left(done, under_way));
        }
    }

    /// The time that the rest takes at the pace so far, rows under way being half done on average.
    fn left(&self, done: usize, under_way: usize) -> String {
        if done == self.found {
            return String::new();
        }
        let half = under_way as f64 / 2.0;
        let (fresh, rest) = ((done - self.found) as f64 + half, (self.rows - done) as f64 - half);
        let left = self.begun.elapsed().as_secs_f64() * rest.max(0.0) / fresh;
        format!(", {} left", HumanDuration(Duration::from_secs_f64(left.min(1e9))))
    }
}

impl Drop for RowsBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar over the tokens of an evaluation, with their rate; without a terminal, a line now and then.
pub(crate) struct TokenBar {
    bar: ProgressBar,
    start: Instant,
    /// When the last line was printed.
    said: Instant,
}

impl TokenBar {
    pub(crate) fn start(total: usize) -> Self {
        let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} tokens, {per_sec}, {eta} left");
        let bar = ProgressBar::new(total as u64).with_style(style.expect("the template is well formed"));
        let start = Instant::now();
        Self { bar, start, said: start }
    }

    /// Counts further tokens.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.bar.inc(tokens as u64);
        let is_done = self.bar.position() >= self.bar.length().unwrap_or(0);
        if self.bar.is_hidden() && !is_done && self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            eprintln!("{} of {} tokens, {}", self.bar.position(), self.bar.length().unwrap_or(0), self.rate());
        }
    }

    /// Says what it took.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
        let (tokens, seconds) = (self.bar.position(), self.start.elapsed().as_secs_f64());
        eprintln!("{tokens} tokens in {seconds:.1} s, {}", self.rate());
    }

    fn rate(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64().max(1e-6);
        format!("{:.0} tokens/s", self.bar.position() as f64 / seconds)
    }
}

impl Drop for TokenBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
