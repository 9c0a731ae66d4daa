//! Vocabularies as text: `vocab.txt` with a token a line, `vocab.json` with ids, `merges.txt` with a merge a line.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::tokenizer::byte_level;
use crate::{Error, Result};

/// Ids by token; every id once.
pub(super) type Ids = HashMap<String, u32>;

/// Far above every published vocabulary.
const MAX_ID: u64 = 1 << 24;

/// Reads `vocab.json`.
pub(super) fn read_ids(path: &Path) -> Result<Ids> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    parse_ids(&bytes).map_err(Error::checkpoint(path))
}

/// Reads `vocab.txt`, where the line says the id.
pub(super) fn read_lines(path: &Path) -> Result<Ids> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    parse_lines(&text).map_err(Error::checkpoint(path))
}

/// Reads `merges.txt`: pairs of tokens, the earliest merged first.
pub(super) fn read_merges(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    parse_merges(&text).map_err(Error::checkpoint(path))
}

fn parse_ids(bytes: &[u8]) -> Result<Ids, String> {
    let ids: HashMap<String, u64> =
        serde_json::from_slice(bytes).map_err(|error| format!("not an object of ids: {error}"))?;
    let mut tokens = HashMap::with_capacity(ids.len());
    for (token, id) in &ids {
        if *id > MAX_ID {
            return Err(format!("token `{}` has id {id}, expected at most {MAX_ID}", token.escape_debug()));
        }
        if let Some(other) = tokens.insert(id, token) {
            let (one, two) = (token.min(other).escape_debug(), token.max(other).escape_debug());
            return Err(format!("tokens `{one}` and `{two}` both have id {id}"));
        }
    }
    Ok(ids.into_iter().map(|(token, id)| (token, id as u32)).collect())
}

/// A token that stands in two lines has the id of the later one, as in the library.
fn parse_lines(text: &str) -> Result<Ids, String> {
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let ids: Ids =
        (0..).zip(lines).map(|(id, line)| (line.strip_suffix('\r').unwrap_or(line).to_owned(), id)).collect();
    if ids.len() < 2 { Err("has no tokens, expected one a line".to_owned()) } else { Ok(ids) }
}

fn parse_merges(text: &str) -> Result<Vec<Value>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
    let merges = lines.filter(|(number, line)| !(*number == 1 && line.starts_with("#version")));
    merges.map(|(number, line)| byte_level::merge(line).map_err(|reason| format!("line {number} {reason}"))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_read_and_doubtful_ones_refused() {
        let check = |text: &str, expected: Result<&[(&str, u32)], &str>| {
            let expected =
                expected.map(|ids| ids.iter().map(|(token, id)| ((*token).to_owned(), *id)).collect::<Ids>());
            assert_eq!(parse_ids(text.as_bytes()), expected.map_err(str::to_owned), "{text}");
        };
        check(r#"{"a": 0, "b": 7}"#, Ok(&[("a", 0), ("b", 7)]));
        check(r#"{"b": 1, "a": 1}"#, Err("tokens `a` and `b` both have id 1"));
        check(r#"{"a": 99999999}"#, Err("token `a` has id 99999999, expected at most 16777216"));
        let error = parse_ids(br#"{"a": -1}"#).expect_err("no id");
        assert!(error.starts_with("not an object of ids: "), "{error}");
    }

    #[test]
    fn a_line_is_a_token() {
        let ids = parse_lines("[PAD]\r\na\n \na\n").expect("tokens");
        let expected = [("[PAD]", 0), (" ", 2), ("a", 3)];
        assert_eq!(ids, expected.map(|(token, id)| (token.to_owned(), id)).into());
        assert_eq!(parse_lines(""), Err("has no tokens, expected one a line".to_owned()));
    }

    #[test]
    fn merges_begin_behind_the_version() {
        let merges = parse_merges("#version: 0.2\na b\n# #\n\n").expect("merges");
        assert_eq!(merges, [json!(["a", "b"]), json!(["#", "#"])]);
        let expected = "line 2 holds `ab`, expected two tokens and a space between";
        assert_eq!(parse_merges("a b\nab\n"), Err(expected.to_owned()));
        assert!(parse_merges("a \n").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c:{}\", 0-9\n#-]{0,60}|\\PC{0,40}") {
            let _ = parse_ids(text.as_bytes());
            let _ = parse_merges(&text);
            if let Ok(ids) = parse_lines(&text) {
                prop_assert!(ids.len() <= text.lines().count() + 1);
            }
        }
    }
}
