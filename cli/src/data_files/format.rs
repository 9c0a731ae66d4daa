//! What a file's name says about how its lines are stored.

use std::path::{Path, PathBuf};

use anyhow::Result;

#[cfg(not(feature = "parquet"))]
use crate::usage::UsageError;

/// How the lines of a file are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As they are: any ending that is none of the others.
    Plain,
    /// `.gz`, RFC 1952; several members are one text.
    Gzip,
    /// `.zst`, RFC 8878; several frames are one text.
    Zstandard,
    /// `.parquet`; a row is one JSON object.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Format {
    /// The format that the file's ending names; an error if this program was built without it.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Ok(Self::Gzip),
            Some("zst") => Ok(Self::Zstandard),
            #[cfg(feature = "parquet")]
            Some("parquet") => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => {
                let path = path.display();
                let message =
                    format!("`{path}` is a Parquet file, which needs a build with the cargo feature `parquet`");
                Err(UsageError::new(message).into())
            }
            _ => Ok(Self::Plain),
        }
    }
}

impl Format {
    /// Whether lines are the rows of a table, whose columns have one type each.
    pub(crate) fn has_columns(self) -> bool {
        match self {
            Self::Plain | Self::Gzip | Self::Zstandard => false,
            #[cfg(feature = "parquet")]
            Self::Parquet => true,
        }
    }
}

/// Whether the file's lines are JSON objects by its name: `.jsonl`, packed or not, and `.parquet`.
pub(crate) fn has_rows(path: &Path) -> bool {
    let ends = |path: &Path, ending| path.extension().is_some_and(|found| found == ending);
    let unpacked: PathBuf =
        if ends(path, "gz") || ends(path, "zst") { path.with_extension("") } else { path.to_owned() };
    ends(&unpacked, "jsonl") || ends(path, "parquet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ending_decides() {
        let check = |path: &str, expected| assert_eq!(Format::of(Path::new(path)).expect(path), expected, "{path}");
        check("a.jsonl", Format::Plain);
        check("gz", Format::Plain);
        check(".gz", Format::Plain);
        check("a.gz.txt", Format::Plain);
        check("a.jsonl.gz", Format::Gzip);
        check("a.zst", Format::Zstandard);
        #[cfg(feature = "parquet")]
        check("a.parquet", Format::Parquet);
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn parquet_without_its_feature_is_a_mistake_of_usage() {
        let error = Format::of(Path::new("a.parquet")).expect_err("no such feature");
        assert!(error.is::<UsageError>());
        assert!(error.to_string().ends_with("needs a build with the cargo feature `parquet`"), "{error}");
    }

    #[test]
    fn rows_are_known_by_the_name() {
        let check = |path: &str, expected| assert_eq!(has_rows(Path::new(path)), expected, "{path}");
        for path in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"] {
            check(path, true);
        }
        for path in ["a.txt", "jsonl", "a.jsonl.txt", "a.json.gz", "a.parquet.gz"] {
            check(path, false);
        }
    }
}
