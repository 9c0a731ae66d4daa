//! The first pass over the input: its digest, its rows, and the rows whose `custom_id` an earlier one has.
//!
//! Memory: 20 bytes a row while it lasts, then 4 and one bit: what makes sure that the second pass sees the same rows. A row is known by 96 bits of a hash of its `custom_id` with its
//! number in the low 32 bits, so sorting brings equal ids together, the first row in front. That two ids of a billion
//! share 96 bits has probability 6e-12.

use std::path::Path;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use super::row::{RowFormat, object};
use super::rows::{InputRow, Rows};
use super::selection::Selection;

/// Ids that there is room for from the beginning. Memory that is not touched costs nothing, and blocks of this size
/// go back to the operating system as a whole when they are freed.
const ROOM: usize = 1 << 21;

/// What is known of the input before anything is asked.
pub(super) struct Survey {
    /// SHA-256 of all rows up to the limit.
    pub(super) digest: [u8; 32],
    /// Rows of this run.
    pub(super) rows: usize,
    /// Whether some rows are requests in OpenAI's form, and some are not.
    pub(super) has_requests: bool,
    pub(super) has_others: bool,
    duplicates: Bits,
    /// Of each row up to the limit, see [`InputRow::checksum`].
    checksums: Vec<u32>,
}

impl Survey {
    /// Reads the input once.
    pub(super) fn of(input: &Path, selection: Selection, format: &RowFormat) -> Result<Self> {
        let mut rows = Rows::open(input, selection)?;
        let mut ids = Vec::with_capacity(ROOM);
        let mut survey = Self {
            digest: [0; 32],
            rows: 0,
            has_requests: false,
            has_others: false,
            duplicates: Bits::new(0),
            checksums: Vec::with_capacity(ROOM),
        };
        while let Some(row) = rows.next()? {
            let Ok(index) = u32::try_from(row.index) else {
                bail!("`{}` has more than {} rows, expected fewer; cut it into files", input.display(), u32::MAX);
            };
            let id = survey.see(&row, format);
            ids.extend(id.map(|id| known_by(&id, index)));
            survey.checksums.push(row.checksum);
            survey.rows += usize::from(selection.has(row.index));
        }
        survey.duplicates = duplicates(ids, rows.count());
        survey.digest = rows.digest();
        Ok(survey)
    }

    /// Whether this pass saw the same row in the same place.
    pub(super) fn knows(&self, row: &InputRow) -> bool {
        self.checksums.get(row.index) == Some(&row.checksum)
    }

    /// Whether an earlier row of the input has the same `custom_id`. The row must be [known](Self::knows).
    pub(super) fn is_duplicate(&self, row: usize) -> bool {
        self.duplicates.has(row)
    }

    /// Notes of which form the row is; its `custom_id`, if it has one.
    fn see(&mut self, row: &InputRow, format: &RowFormat) -> Option<String> {
        // What is not JSON is in no form: its record is an error.
        let object = object(&row.bytes).ok()?;
        if !format.is_request(&object) {
            self.has_others = true;
            return None;
        }
        self.has_requests = true;
        format.custom_id(&object).map(str::to_owned)
    }
}

fn known_by(id: &str, row: u32) -> u128 {
    let digest = Sha256::digest(id);
    let hash = digest[..12].iter().fold(0_u128, |hash, &byte| hash << 8 | u128::from(byte));
    hash << 32 | u128::from(row)
}

fn duplicates(mut ids: Vec<u128>, rows: usize) -> Bits {
    ids.sort_unstable();
    let mut duplicates = Bits::new(rows);
    let equal = ids.windows(2).filter(|pair| pair[0] >> 32 == pair[1] >> 32);
    equal.for_each(|pair| duplicates.set(pair[1] as u32 as usize));
    duplicates
}

/// One bit a row.
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::batch::selection::Selection;

    fn survey(lines: &[&str], selection: Selection) -> Survey {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("input.jsonl");
        std::fs::write(&path, lines.join("\n")).expect("written");
        Survey::of(&path, selection, &RowFormat::default()).expect("it can be read")
    }

    fn request(id: &str) -> String {
        format!(r#"{{"custom_id": "{id}", "url": "/v1/completions", "body": {{}}}}"#)
    }

    #[test]
    fn the_first_row_of_an_id_counts_whatever_comes_between() {
        let rows: Vec<_> = ["a", "b", "a", "c", "b", "a"].map(request).to_vec();
        let lines: Vec<_> =
            rows.iter().map(String::as_str).chain(["not JSON", "", r#"{"text": "a", "id": "a"}"#]).collect();
        let survey = survey(&lines, Selection::default());
        let found: Vec<_> = (0..8).map(|row| survey.is_duplicate(row)).collect();
        assert_eq!(found, [false, false, true, false, true, true, false, false]);
        assert_eq!((survey.rows, survey.has_requests, survey.has_others), (8, true, true));
    }

    #[test]
    fn rows_that_changed_moved_or_are_new_are_not_known() {
        let known = |before: &str, after: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("input.jsonl");
            std::fs::write(&path, before).expect("written");
            let survey = Survey::of(&path, Selection::default(), &RowFormat::default()).expect("it can be read");
            std::fs::write(&path, after).expect("written");
            let mut rows = Rows::open(&path, Selection::default()).expect("opened");
            std::iter::from_fn(|| rows.next().expect("read")).map(|row| survey.knows(&row)).collect::<Vec<_>>()
        };
        let lines = "{}\n".repeat(64);
        assert_eq!(known(&lines, &lines), [true; 64]);
        let grown = known(&lines, &"{}\n".repeat(65));
        assert_eq!((&grown[..64], grown[64]), (&[true; 64][..], false));
        assert_eq!(known("1\n2\n3\n", "1\n3\n3\n"), [true, false, true]);
        assert_eq!(known("1\n2\n3\n", "1\n\n2\n"), [true, false]);
    }

    #[test]
    fn shards_see_the_duplicates_of_all_rows() {
        let rows: Vec<_> = ["a", "b", "c", "a"].map(request).to_vec();
        let lines: Vec<_> = rows.iter().map(String::as_str).collect();
        let shard = survey(&lines, Selection { limit: None, shard: "2/2".parse().expect("a shard") });
        assert_eq!(shard.rows, 2);
        assert!(shard.is_duplicate(3));
        assert_eq!(shard.digest, survey(&lines, Selection::default()).digest);
    }

    #[test]
    fn rows_behind_the_limit_do_not_count() {
        let selection = Selection { limit: std::num::NonZeroUsize::new(2), ..Selection::default() };
        let short = survey(&["{}", "", "[]"], selection);
        assert_eq!(short.rows, 2);
        assert_eq!(short.digest, survey(&["{}", "", "[]", "{}"], selection).digest);
        // The line names a row and gives it its seed.
        assert_ne!(short.digest, survey(&["{}", "[]", "{}"], selection).digest);
        assert_ne!(short.digest, survey(&["{}", "{}", "{}"], selection).digest);
    }
}
