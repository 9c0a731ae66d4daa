//! Turns a journal into the files that the user gets.
//!
//! ```text
//! OUT                 results, in the order of the input; there when everything is complete, else absent
//! OUT.errors.jsonl    errors, in the order of the input; empty if there are none
//! OUT.stats.json      timings and counts
//! OUT.journal         see `journal`; there while OUT is not
//! .OUT.unfinished     OUT being written, and alike for the others; written anew if a killed run left it
//! ```
//!
//! The order is what makes OUT a proof: all files are written, the others get their names, the disk has those, then OUT
//! gets its name, the disk has it, then the journal goes. A run that is killed at any point finds the journal or OUT.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::journal::{Journal, Kind};
use crate::data_files::{Column, Format, LineWriter};
use crate::unfinished_file::{check_destination, put_in_place};

/// The files of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) out: PathBuf,
    pub(super) errors: PathBuf,
    pub(super) stats: PathBuf,
    pub(super) journal: PathBuf,
}

impl Places {
    /// The files beside `out`; an error if a file cannot have one of their names.
    pub(super) fn of(out: &Path) -> Result<Self> {
        let name = out.file_name().with_context(|| format!("`{}` is not the name of a file", out.display()))?;
        let beside = |ending: &str| {
            let mut name = name.to_owned();
            name.push(ending);
            out.with_file_name(name)
        };
        let places = Self {
            out: out.to_owned(),
            errors: beside(".errors.jsonl"),
            stats: beside(".stats.json"),
            journal: beside(".journal"),
        };
        [&places.out, &places.errors, &places.stats].into_iter().try_for_each(|place| check_destination(place))?;
        Ok(places)
    }
}

/// Writes the records of the journal to their files and removes the journal. `columns`: those of OUT if it is a Parquet
/// file. `stats`: the text of the file of statistics.
pub(super) fn publish(places: &Places, columns: &[Column], mut journal: Journal, stats: &[u8]) -> Result<()> {
    journal.sync()?;
    write_records(places, columns, &mut journal)?;
    write_whole(&places.stats, stats)?;
    for place in [&places.errors, &places.stats, &places.out] {
        put_in_place(&unfinished(place), place).with_context(|| cannot_write(place))?;
    }
    journal.remove()
}

fn write_records(places: &Places, columns: &[Column], journal: &mut Journal) -> Result<()> {
    let mut out = create(&places.out, Format::of(&places.out)?, columns)?;
    let mut errors = create(&places.errors, Format::Plain, &[])?;
    for record in journal.records()? {
        let (_, kind, record) = record?;
        let (writer, place) = match kind {
            Kind::Result => (&mut out, &places.out),
            Kind::Error => (&mut errors, &places.errors),
        };
        writer.write(&record).with_context(|| cannot_write(place))?;
    }
    out.finish().with_context(|| cannot_write(&places.out))?;
    errors.finish().with_context(|| cannot_write(&places.errors))?;
    Ok(())
}

fn create(place: &Path, format: Format, columns: &[Column]) -> Result<LineWriter> {
    let file = File::create(unfinished(place)).with_context(|| cannot_write(place))?;
    LineWriter::new(file, format, columns).with_context(|| cannot_write(place))
}

fn write_whole(place: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(unfinished(place), bytes).with_context(|| cannot_write(place))
}

fn cannot_write(place: &Path) -> String {
    format!("cannot write `{}`", place.display())
}

/// The name of a file that is being written. It is the same for every run, so that the next one replaces what a killed
/// one left; the lock on OUT keeps others away.
fn unfinished(place: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(".unfinished");
    place.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const RUN: [u8; 32] = [1; 32];

    /// A finished journal of three rows.
    fn finished(out: &str) -> (TempDir, Places, Journal) {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::of(&folder.path().join(out)).expect("a good name");
        let mut journal = Journal::open(&places.journal, &RUN, 3).expect("a new journal");
        for (row, kind, record) in
            [(2, Kind::Result, "{\"n\":2}"), (1, Kind::Error, "{\"e\":1}"), (0, Kind::Result, "{\"n\":0}")]
        {
            journal.append(row, kind, record.as_bytes()).expect("appended");
        }
        (folder, places, journal)
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let names = fs::read_dir(folder.path()).expect("readable");
        let mut names: Vec<_> =
            names.map(|name| name.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("there")
    }

    #[test]
    fn results_and_errors_go_to_their_files_and_the_journal_goes_away() {
        let (folder, places, journal) = finished("out.jsonl");
        publish(&places, &[], journal, b"{}\n").expect("published");
        assert_eq!(names(&folder), ["out.jsonl", "out.jsonl.errors.jsonl", "out.jsonl.stats.json"]);
        assert_eq!(text(&places.out), "{\"n\":0}\n{\"n\":2}\n");
        assert_eq!(text(&places.errors), "{\"e\":1}\n");
        assert_eq!(text(&places.stats), "{}\n");
    }

    #[test]
    fn what_killed_runs_left_is_replaced() {
        let (folder, places, journal) = finished("out.jsonl.gz");
        for place in [&places.out, &places.errors, &places.stats] {
            fs::write(unfinished(place), vec![b'x'; 1000]).expect("written");
        }
        fs::write(&places.errors, "of a run that was killed before OUT had its name").expect("written");
        publish(&places, &[], journal, b"{}\n").expect("published");
        assert_eq!(names(&folder).len(), 3);
        let lines = crate::data_files::Lines::open(&places.out).expect("opened");
        let lines: Vec<_> = lines.map(|line| line.expect("sound").bytes).collect();
        assert_eq!(lines, [b"{\"n\":0}", b"{\"n\":2}"]);
        assert_eq!(text(&places.errors), "{\"e\":1}\n");
    }

    #[test]
    fn a_failure_leaves_the_journal_and_no_output() {
        let (folder, places, journal) = finished("out.jsonl");
        fs::create_dir(&places.stats).expect("made");
        let error = format!("{:#}", publish(&places, &[], journal, b"{}\n").expect_err("a folder is in the way"));
        assert!(error.starts_with(&cannot_write(&places.stats)), "{error}");
        assert!(places.journal.exists() && !places.out.exists());
        fs::remove_dir(&places.stats).expect("removed");
        let journal = Journal::open(&places.journal, &RUN, 3).expect("the same journal");
        assert_eq!(journal.finished(), 3);
        publish(&places, &[], journal, b"{}\n").expect("published");
        assert_eq!(names(&folder).len(), 3);
    }

    #[test]
    fn names_that_no_file_can_have_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Places::of(folder.path()).is_err());
        assert!(Places::of(Path::new("/")).is_err());
        fs::create_dir(folder.path().join("out.errors.jsonl")).expect("made");
        assert!(Places::of(&folder.path().join("out")).is_err());
    }
}
