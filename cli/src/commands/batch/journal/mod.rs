//! The journal of a batch: finished rows on the disk, so that a killed run goes on where it was.
//!
//! A file is only ever appended to, in groups that are waited for until the disk has them. Invariant: what
//! [`Journal::open`] finds is a prefix of the records that were appended, and every record that a [`Journal::sync`]
//! came behind is in it. A crash can tear the tail alone: it is cut, and its rows run again. Memory: 8 bytes a row of
//! the input, whatever the records hold.
//!
//! `format.rs` draws the file, `recovery.rs` finds its sound part.

mod format;
mod recovery;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::unfinished_file::sync_folder_of;
use format::{HEADER_BYTES, Header, PREFIX_BYTES, Prefix};

pub(super) use format::Kind;

/// A group of records is synced when it is this old at the next append, or this long.
const GROUP_AGE: Duration = Duration::from_secs(1);
const GROUP_BYTES: u64 = 1 << 20;
/// And at least so many times as old as the last sync took, so that a slow disk takes 2 % of the time, not all, as far as
/// that does not risk more than a minute's work.
const SYNC_SHARE: u32 = 50;
const GREATEST_AGE: Duration = Duration::from_secs(60);

/// The open journal of one run. After an error of any method the run has to end: what the disk has is known again when
/// the journal is opened again.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    header: Header,
    /// Where each row's record begins; 0, where the header is, says that the row is not finished.
    offsets: Vec<u64>,
    finished: usize,
    /// Bytes of the file; `pending` comes behind them.
    written: u64,
    /// Records that no one has handed to the operating system yet.
    pending: Vec<u8>,
    /// Bytes of the file that the disk has for sure.
    synced: u64,
    synced_at: Instant,
    /// How old a group gets.
    group_age: Duration,
}

impl Journal {
    /// Opens or makes the journal at `path`.
    ///
    /// `run`: the digest of input, model, weights and flags; the journal of another run is refused, and so is a file
    /// that is no journal. `rows`: how many rows the input has. A damaged end is cut off the file; if sound records
    /// came behind the damage, a line on standard error says how much was lost.
    pub(super) fn open(path: &Path, run: &[u8; 32], rows: usize) -> Result<Self> {
        let header = Header { run: *run, rows: rows as u64 };
        let (mut file, is_new) = open_file(path)?;
        let length = file.metadata().and_then(|file| regular_length(&file)).with_context(|| cannot("read", path))?;
        if is_new || is_unborn(&mut file, length, &header).with_context(|| cannot("read", path))? {
            begin(&mut file, path, &header).with_context(|| cannot("write", path))?;
        }
        check_header(&mut file, path, &header)?;
        let found = recovery::recover(&mut file, &header, rows).with_context(|| cannot("read", path))?;
        if let Some(damage) = found.damage {
            if damage.is_followed {
                let (place, end, lost) = (path.display(), found.end, damage.bytes);
                eprintln!("note: `{place}` is damaged at byte {end}: {lost} bytes are dropped, their rows run again");
            }
            file.set_len(found.end).with_context(|| cannot("write", path))?;
        }
        // What a killed process wrote may be in the operating system's memory alone, and from now on it counts.
        file.sync_all().and_then(|()| sync_folder_of(path)).with_context(|| cannot("write", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            finished: found.offsets.iter().filter(|&&offset| offset != 0).count(),
            offsets: found.offsets,
            written: found.end,
            pending: Vec::new(),
            synced: found.end,
            synced_at: Instant::now(),
            group_age: GROUP_AGE,
        })
    }

    /// Whether the row has a record.
    pub(super) fn is_finished(&self, row: usize) -> bool {
        self.offsets.get(row).is_some_and(|&offset| offset != 0)
    }

    /// How many rows have a record.
    pub(super) fn finished(&self) -> usize {
        self.finished
    }

    /// Adds the record of a row that has none. It is on the disk when a later append finds its group full or old, or
    /// after [`Self::sync`].
    pub(super) fn append(&mut self, row: usize, kind: Kind, record: &[u8]) -> Result<()> {
        ensure!(
            row < self.offsets.len(),
            "row {row} is not one of {} of `{}`",
            self.offsets.len(),
            self.path.display()
        );
        ensure!(!self.is_finished(row), "row {row} is in `{}` already", self.path.display());
        let prefix = Prefix::of(row as u64, kind, record)
            .with_context(|| format!("the record of row {row} has {} bytes, too many", record.len()))?;
        self.offsets[row] = self.written + self.pending.len() as u64;
        self.finished += 1;
        self.pending.extend_from_slice(&prefix.encode(&self.header));
        self.pending.extend_from_slice(record);
        if self.is_due() { self.sync() } else { Ok(()) }
    }

    /// Hands what was appended to the operating system, which has it then whatever becomes of this process, and waits for
    /// the disk when the group is old or long. To be called between rows: the last row of a group may be the last for a while.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.write_pending().with_context(|| cannot("write", &self.path))?;
        if self.is_due() { self.sync() } else { Ok(()) }
    }

    /// Whether the records that the disk may not have are too old or too many.
    fn is_due(&self) -> bool {
        let bytes = self.written + self.pending.len() as u64 - self.synced;
        bytes >= GROUP_BYTES || bytes > 0 && self.synced_at.elapsed() >= self.group_age
    }

    /// Returns when the disk has every record.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.write_pending().with_context(|| cannot("write", &self.path))?;
        if self.synced < self.written {
            let start = Instant::now();
            self.file.sync_data().with_context(|| cannot("write", &self.path))?;
            self.group_age = age_behind(start.elapsed());
            self.synced = self.written;
        }
        self.synced_at = Instant::now();
        Ok(())
    }

    fn write_pending(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(self.written))?;
        self.file.write_all(&self.pending)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// The records of finished rows in the order of rows, read back and checked again.
    pub(super) fn records(&mut self) -> Result<impl Iterator<Item = Result<(usize, Kind, Vec<u8>)>>> {
        self.write_pending().with_context(|| cannot("write", &self.path))?;
        let Self { path, file, header, offsets, written, .. } = self;
        let finished = offsets.iter().enumerate().filter(|&(_, &offset)| offset != 0);
        Ok(finished.map(move |(row, &offset)| {
            let (kind, record) = read_record(file, header, row, offset..*written)
                .with_context(|| format!("cannot read row {row} of `{}`", path.display()))?;
            Ok((row, kind, record))
        }))
    }

    /// Deletes the file.
    pub(super) fn remove(self) -> Result<()> {
        drop(self.file);
        std::fs::remove_file(&self.path).with_context(|| cannot("remove", &self.path))
    }
}

/// How old a group gets when a sync took that long.
fn age_behind(sync: Duration) -> Duration {
    sync.saturating_mul(SYNC_SHARE).clamp(GROUP_AGE, GREATEST_AGE)
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} `{}`", path.display())
}

/// The file, and whether this call made it.
fn open_file(path: &Path) -> Result<(File, bool)> {
    let mut options = File::options();
    options.read(true).write(true);
    match options.open(path) {
        Ok(file) => Ok((file, false)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok((options.create_new(true).open(path).with_context(|| cannot("create", path))?, true))
        }
        Err(error) => Err(error).with_context(|| cannot("open", path)),
    }
}

/// The file's length. A device or a pipe would be read without end.
fn regular_length(file: &std::fs::Metadata) -> std::io::Result<u64> {
    if file.is_file() { Ok(file.len()) } else { Err(std::io::Error::other("it is not a regular file")) }
}

/// Whether a crash stopped [`begin`]: a file system may keep the beginning of the header, or its length alone.
fn is_unborn(file: &mut File, length: u64, header: &Header) -> std::io::Result<bool> {
    if length > HEADER_BYTES as u64 {
        return Ok(false);
    }
    let mut found = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(HEADER_BYTES as u64).read_to_end(&mut found)?;
    let is_cut = found.len() < HEADER_BYTES && header.encode().starts_with(&found);
    Ok(is_cut || found.iter().all(|&byte| byte == 0))
}

fn begin(file: &mut File, path: &Path, header: &Header) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header.encode())?;
    file.sync_all()?;
    sync_folder_of(path)
}

fn check_header(file: &mut File, path: &Path, expected: &Header) -> Result<()> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).with_context(|| cannot("read", path))?;
    file.take(HEADER_BYTES as u64).read_to_end(&mut bytes).with_context(|| cannot("read", path))?;
    match Header::decode(&bytes) {
        Err(reason) => bail!("`{}` is not a journal of this program: {reason}; it was left as it is", path.display()),
        Ok(found) if found != *expected => bail!(
            "`{}` belongs to another run: {}; go on with the input, model and flags of that run, or delete the file to \
             begin again",
            path.display(),
            found.difference(expected)
        ),
        Ok(_) => Ok(()),
    }
}

/// Reads the record of `row`, which begins where `place` does and must end within it.
fn read_record(
    file: &mut File,
    header: &Header,
    row: usize,
    place: std::ops::Range<u64>,
) -> std::io::Result<(Kind, Vec<u8>)> {
    let changed = || std::io::Error::other("it has changed since it was written");
    file.seek(SeekFrom::Start(place.start))?;
    let mut bytes = [0; PREFIX_BYTES];
    file.read_exact(&mut bytes)?;
    let prefix = Prefix::decode(&bytes, header).filter(|prefix| prefix.row == row as u64).ok_or_else(changed)?;
    if u64::from(prefix.length) > (place.end - place.start).saturating_sub(PREFIX_BYTES as u64) {
        return Err(changed());
    }
    let mut record = vec![0; prefix.length as usize];
    file.read_exact(&mut record)?;
    if prefix.is_of(&record) { Ok((prefix.kind, record)) } else { Err(changed()) }
}

#[cfg(test)]
mod tests;
