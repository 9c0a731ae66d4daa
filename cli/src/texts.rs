//! Documents out of text files: a plain file is one, and so is each row of a JSONL or Parquet file. The first two may be
//! packed.
//!
//! The name says which a file is: `.jsonl`, `.gz`, `.jsonl.zst`, `.parquet`, and plain text under any other.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value};

use crate::data_files::{self, has_rows};
use crate::usage::UsageError;

/// The field of a row that holds the document, where none is named.
const DEFAULT_FIELD: &str = "text";

/// Refuses a name for the field of JSONL rows where no file has such rows.
pub(crate) fn check_field<'a>(field: Option<&str>, mut paths: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    match field {
        Some(field) if !paths.any(|path| has_rows(path)) => {
            let rows = "`.jsonl`, `.jsonl.gz`, `.jsonl.zst` and `.parquet` files";
            let message = format!("`--field {field}` is for {rows}, but none is given");
            Err(UsageError::new(message).into())
        }
        _ => Ok(()),
    }
}

/// Reads the documents of a file, in order. `field` is where JSONL rows have their text.
pub(crate) fn read_documents(path: &Path, field: Option<&str>) -> Result<Vec<String>> {
    let text = read_text(path)?;
    if has_rows(path) {
        rows(&text, field.unwrap_or(DEFAULT_FIELD)).with_context(|| format!("`{}`", path.display()))
    } else {
        Ok(vec![text])
    }
}

fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    data_files::open(path)?.read_to_end(&mut bytes).with_context(|| cannot_read(path))?;
    String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        anyhow!("line {line} is not UTF-8").context(cannot_read(path))
    })
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read `{}`", path.display())
}

/// The text of each row; empty lines are none.
fn rows(text: &str, field: &str) -> Result<Vec<String>> {
    // Some editors write a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| row(line, field).with_context(|| format!("line {number}"))).collect()
}

fn row(line: &str, field: &str) -> Result<String> {
    let mut fields: Map<String, Value> = serde_json::from_str(line).context("not a JSON object")?;
    match fields.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(anyhow!("`{field}` is {}, expected a string", kind(&other))),
        None => {
            let found: Vec<_> = fields.keys().map(|key| format!("`{key}`")).collect();
            Err(anyhow!("no field `{field}`, only {}; `--field` names another", found.join(", ")))
        }
    }
}

/// What a value is, whatever it holds.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzipped(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    fn check(name: &str, bytes: &[u8], field: Option<&str>, expected: Result<&[&str], &str>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        let found = read_documents(&path, field).map_err(|error| {
            let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
            chain.join(": ").replace(&format!("{}/", folder.path().display()), "")
        });
        match expected {
            Ok(documents) => {
                assert_eq!(found.as_deref(), Ok(&documents.iter().map(ToString::to_string).collect::<Vec<_>>()[..]))
            }
            Err(start) => {
                assert!(found.as_ref().is_err_and(|message| message.starts_with(start)), "{found:?}: {start}")
            }
        }
    }

    const ROWS: &str = "{\"text\": \"one\\ntwo\", \"n\": 1}\n\n{\"n\": 2, \"text\": \"\u{4e09}\"}\n";

    #[test]
    fn a_file_or_a_row_is_a_document() {
        check("a.txt", b"one\ntwo\n", None, Ok(&["one\ntwo\n"]));
        check("README", "\u{4e09}".as_bytes(), None, Ok(&["\u{4e09}"]));
        check("a.txt.gz", &gzipped("one\ntwo\n"), None, Ok(&["one\ntwo\n"]));
        check("two members.gz", &[gzipped("one "), gzipped("two")].concat(), None, Ok(&["one two"]));
        check("a.jsonl", ROWS.as_bytes(), None, Ok(&["one\ntwo", "\u{4e09}"]));
        check("a.jsonl.gz", &gzipped(ROWS), Some("text"), Ok(&["one\ntwo", "\u{4e09}"]));
        check("a.jsonl", b"{\"body\": \"x\"}", Some("body"), Ok(&["x"]));
        check("marked.jsonl", b"\xef\xbb\xbf{\"text\": \"x\"}", None, Ok(&["x"]));
        check("empty.jsonl", b"", None, Ok(&[]));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        check("a.jsonl", ROWS.as_bytes(), Some("n"), Err("`a.jsonl`: line 1: `n` is a number, expected a string"));
        check(
            "a.jsonl",
            ROWS.as_bytes(),
            Some("t"),
            Err("`a.jsonl`: line 1: no field `t`, only `text`, `n`; `--field` na"),
        );
        check("a.jsonl", b"{\"text\": \"x\"}\n[1]", None, Err("`a.jsonl`: line 2: not a JSON object"));
        check("a.txt", b"one\n\xff", None, Err("cannot read `a.txt`: line 2 is not UTF-8"));
        check("a.gz", b"plain", None, Err("cannot read `a.gz`: "));
        let whole = gzipped("one two three");
        check("cut.gz", &whole[..whole.len() - 9], None, Err("cannot read `cut.gz`: "));
        let absent = read_documents(Path::new("absent/a.txt"), None).expect_err("it is absent");
        assert_eq!(absent.to_string(), "cannot read `absent/a.txt`");
    }

    #[test]
    fn a_field_wants_a_file_that_has_fields() {
        let check = |field, names: &[&str], is_fine| {
            let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            assert_eq!(check_field(field, paths.iter()).is_ok(), is_fine, "{field:?} {names:?}");
        };
        check(None, &["a.txt"], true);
        check(Some("body"), &["a.txt", "b.jsonl.gz"], true);
        check(Some("body"), &["a.jsonl"], true);
        check(Some("body"), &["a.txt", "jsonl", "a.jsonl.txt", "a.json.gz"], false);
    }
}
