//! Rows as they come: a thread reads and encodes them while the model computes those before.
//!
//! A file's rows are there at once. A program at the other end of a pipe writes some rows and waits for their answers, so
//! [`Rows::next_at_hand`] ends where the input pauses, and [`Rows::wait`] begins the next batch. The queue between is
//! bounded: a long file is never in memory as a whole.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::encode::{Encoded, Encoder};
use super::row;
use crate::data_files::{self, BYTE_ORDER_MARK};

/// Rows that are read ahead.
const QUEUE_ROWS: usize = 1024;
/// For so long no row comes where the input pauses: longer than a writer needs from one row to the next, short beside a
/// pass of a model.
const PAUSE: Duration = Duration::from_millis(3);

/// A row, ready to be scored.
#[derive(Debug)]
pub(super) struct Row {
    /// Its line, from 1.
    pub(super) line: usize,
    pub(super) id: Option<Value>,
    /// Its windows, else what is wrong with it.
    pub(super) encoded: Result<Encoded, String>,
}

/// Where rows come from, opened.
pub(super) struct Source {
    name: String,
    reader: Box<dyn BufRead + Send>,
}

/// Rows in order.
pub(super) struct Rows {
    queue: Receiver<Row>,
    reader: JoinHandle<Result<()>>,
}

impl Source {
    /// Opens a file of any form that [`data_files`] reads, or standard input by the name `-`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let reader = Box::new(BufReader::new(std::io::stdin()));
            return Ok(Self { name: "standard input".to_owned(), reader });
        }
        let name = format!("`{}`", path.display());
        Ok(Self { name, reader: data_files::open(path)? })
    }

    /// What messages call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Starts to read at most `limit` rows; blank lines are none.
    pub(super) fn read(self, encoder: Encoder, limit: usize) -> Rows {
        let (sender, queue) = sync_channel(QUEUE_ROWS);
        let reader = std::thread::spawn(move || self.send_rows(&encoder, limit, &sender));
        Rows { queue, reader }
    }

    fn send_rows(mut self, encoder: &Encoder, limit: usize, queue: &SyncSender<Row>) -> Result<()> {
        let mut left = limit;
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            let place = || format!("cannot read {} behind line {}", self.name, line - 1);
            if left == 0 || self.reader.read_until(b'\n', &mut bytes).with_context(place)? == 0 {
                break;
            }
            if line == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            left -= 1;
            if queue.send(make_row(line, &bytes, encoder)).is_err() {
                // Nobody wants more of them.
                break;
            }
        }
        Ok(())
    }
}

fn make_row(line: usize, bytes: &[u8], encoder: &Encoder) -> Row {
    let (id, subject) = match std::str::from_utf8(bytes) {
        Ok(text) => row::read(text),
        Err(_) => (None, Err("not UTF-8, expected text".to_owned())),
    };
    Row { line, id, encoded: subject.and_then(|subject| encoder.encode(&subject)) }
}

impl Rows {
    /// The next row, as soon as there is one; `None` at the end of the input.
    pub(super) fn wait(&self) -> Option<Row> {
        self.queue.recv().ok()
    }

    /// The next row if there is one; `None` at the end of the input and where it pauses.
    pub(super) fn next_at_hand(&self) -> Option<Row> {
        self.queue.recv_timeout(PAUSE).ok()
    }

    /// Why the input ended.
    ///
    /// # Errors
    /// What kept the input from being read to its end.
    pub(super) fn end(self) -> Result<()> {
        let Self { queue, reader } = self;
        drop(queue);
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
