//! Turns a journal into the files that the user gets.
//!
//! The order is what makes OUT a proof: all files are written, the others get their names, the disk has those, then OUT
//! gets its name, the disk has it, then the journal goes. A run that is killed at any point finds the journal or OUT.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};

use super::journal::{Journal, Kind};
use super::places::{Places, cannot_write, unfinished};
use crate::data_files::{Column, Format, LineWriter};
use crate::unfinished_file::put_in_place;

/// Writes the records of the journal to their files and removes the journal. `columns`: those of OUT if it is a Parquet
/// file. `stats`: the text of the file of statistics, from the number of bytes in OUT.
pub(super) fn publish(
    places: &Places,
    columns: &[Column],
    mut journal: Journal,
    stats: impl FnOnce(u64) -> Vec<u8>,
) -> Result<()> {
    journal.sync()?;
    let out_bytes = write_records(places, columns, &mut journal)?;
    fs::write(unfinished(&places.stats), stats(out_bytes)).with_context(|| cannot_write(&places.stats))?;
    for place in places.published() {
        put_in_place(&unfinished(place), place).with_context(|| cannot_write(place))?;
    }
    journal.remove()
}

/// Returns the bytes of OUT.
fn write_records(places: &Places, columns: &[Column], journal: &mut Journal) -> Result<u64> {
    let mut out = create(&places.out, places.format, columns)?;
    let mut errors = create(&places.errors, Format::Plain, &[])?;
    for record in journal.records()? {
        let (_, kind, record) = record?;
        let (writer, place) = match kind {
            Kind::Result => (&mut out, &places.out),
            Kind::Error => (&mut errors, &places.errors),
        };
        writer.write(&record).with_context(|| cannot_write(place))?;
    }
    errors.finish().with_context(|| cannot_write(&places.errors))?;
    let length = out.finish().and_then(|file| Ok(file.metadata()?.len()));
    length.with_context(|| cannot_write(&places.out))
}

fn create(place: &Path, format: Format, columns: &[Column]) -> Result<LineWriter> {
    let file = File::create(unfinished(place)).with_context(|| cannot_write(place))?;
    LineWriter::new(file, format, columns).with_context(|| cannot_write(place))
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
        publish(&places, &[], journal, |bytes| format!("{bytes}\n").into_bytes()).expect("published");
        assert_eq!(names(&folder), ["out.jsonl", "out.jsonl.errors.jsonl", "out.jsonl.stats.json"]);
        assert_eq!(text(&places.out), "{\"n\":0}\n{\"n\":2}\n");
        assert_eq!(text(&places.errors), "{\"e\":1}\n");
        assert_eq!(text(&places.stats), "16\n");
    }

    #[test]
    fn what_killed_runs_left_is_replaced() {
        let (folder, places, journal) = finished("out.jsonl.gz");
        for place in [&places.out, &places.errors, &places.stats] {
            fs::write(unfinished(place), vec![b'x'; 1000]).expect("written");
        }
        fs::write(&places.errors, "of a run that was killed before OUT had its name").expect("written");
        publish(&places, &[], journal, |bytes| format!("{bytes}\n").into_bytes()).expect("published");
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
        let error = format!(
            "{:#}",
            publish(&places, &[], journal, |bytes| format!("{bytes}\n").into_bytes())
                .expect_err("a folder is in the way")
        );
        assert!(error.starts_with(&cannot_write(&places.stats)), "{error}");
        assert!(places.journal.exists() && !places.out.exists());
        fs::remove_dir(&places.stats).expect("removed");
        let journal = Journal::open(&places.journal, &RUN, 3).expect("the same journal");
        assert_eq!(journal.finished(), 3);
        publish(&places, &[], journal, |bytes| format!("{bytes}\n").into_bytes()).expect("published");
        assert_eq!(names(&folder).len(), 3);
    }
}
