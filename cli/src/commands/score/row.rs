//! A row of the input: one JSON object that says what is to be scored.
//!
//! ```text
//! {"context": "...", "continuation": "..."}                     the continuation, behind the context
//! {"context_tokens": [1, 2], "continuation_tokens": [3]}        the same in token ids
//! {"text": "..."}                                               a whole text, in as many windows as it takes
//! ```
//!
//! Each may have an `id`, any JSON, that its answer repeats. Other fields are left alone, as data sets have many.

use serde_json::{Map, Value};
use veridraft_models::TokenId;

use crate::texts::kind;

/// What a row wants scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A continuation, behind a context that may be empty.
    Continuation { context: String, continuation: String },
    /// The same in tokens.
    ContinuationTokens { context: Vec<TokenId>, continuation: Vec<TokenId> },
    /// A whole text.
    Text(String),
}

/// Names of the fields of each kind of row.
const KINDS: [&[&str]; 3] = [&["context", "continuation"], &["context_tokens", "continuation_tokens"], &["text"]];

/// Reads a line: its `id`, if it has one, and what it wants, else what is wrong with it.
pub(super) fn read(line: &str) -> (Option<Value>, Result<Subject, String>) {
    let mut fields: Map<String, Value> = match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => return (None, Err(format!("{}, expected a JSON object", kind(&other)))),
        Err(error) => return (None, Err(format!("not JSON: {error}"))),
    };
    (fields.remove("id"), subject(fields))
}

fn subject(mut fields: Map<String, Value>) -> Result<Subject, String> {
    let has_one = |names: &&&[&str]| names.iter().any(|name| fields.contains_key(*name));
    let kinds: Vec<_> = KINDS.iter().filter(has_one).collect();
    match kinds[..] {
        [] => Err("none of `context`, `context_tokens` and `text`, expected one".to_owned()),
        [names] if names.contains(&"text") => Ok(Subject::Text(text(&mut fields, "text")?)),
        [names] if names.contains(&"context") => Ok(Subject::Continuation {
            context: text(&mut fields, "context")?,
            continuation: text(&mut fields, "continuation")?,
        }),
        [_] => Ok(Subject::ContinuationTokens {
            context: tokens(&mut fields, "context_tokens")?,
            continuation: tokens(&mut fields, "continuation_tokens")?,
        }),
        [one, other, ..] => {
            let found = |names: &[&'static str]| names.iter().copied().find(|name| fields.contains_key(*name));
            let (one, other) = (found(one).unwrap_or_default(), found(other).unwrap_or_default());
            Err(format!("both `{one}` and `{other}`, expected one of them"))
        }
    }
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("`{name}` is {}, expected a string", kind(&other))),
        None => Err(format!("no `{name}`, expected a string")),
    }
}

fn tokens(fields: &mut Map<String, Value>, name: &str) -> Result<Vec<TokenId>, String> {
    let values = match fields.remove(name) {
        Some(Value::Array(values)) => values,
        Some(other) => return Err(format!("`{name}` is {}, expected a list of token ids", kind(&other))),
        None => return Err(format!("no `{name}`, expected a list of token ids")),
    };
    let token = |(index, value): (usize, &Value)| {
        let id = value.as_u64().and_then(|id| TokenId::try_from(id).ok());
        id.ok_or_else(|| format!("`{name}` has {value} at index {index}, expected a token id"))
    };
    values.iter().enumerate().map(token).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_says_what_it_wants() {
        let check = |line: Value, id: Option<Value>, expected: Subject| {
            assert_eq!(read(&line.to_string()), (id, Ok(expected)), "{line}");
        };
        let continuation = |context: &str, continuation: &str| Subject::Continuation {
            context: context.to_owned(),
            continuation: continuation.to_owned(),
        };
        check(json!({"context": "a", "continuation": "b"}), None, continuation("a", "b"));
        check(json!({"continuation": "", "context": "", "label": [1]}), None, continuation("", ""));
        check(
            json!({"id": [1, "x"], "context": "a", "continuation": "b"}),
            Some(json!([1, "x"])),
            continuation("a", "b"),
        );
        check(json!({"id": null, "text": "t"}), Some(json!(null)), Subject::Text("t".to_owned()));
        check(
            json!({"context_tokens": [], "continuation_tokens": [7, 4294967295_u64]}),
            None,
            Subject::ContinuationTokens { context: Vec::new(), continuation: vec![7, TokenId::MAX] },
        );
    }

    #[test]
    fn what_is_wrong_with_a_row_is_one_line_and_its_id_is_kept() {
        let check = |line: &str, expected: &str| {
            let (id, subject) = read(line);
            let found = subject.expect_err(line);
            assert!(found.starts_with(expected) && !found.contains('\n'), "{found:?}, expected {expected:?}");
            assert_eq!(id.is_some(), line.contains("\"id\""), "{line}");
        };
        check("{", "not JSON: EOF while parsing");
        check("{\"text\": \"a\"} x", "not JSON: trailing characters");
        check("[1]", "a list, expected a JSON object");
        check("{\"id\": 1}", "none of `context`, `context_tokens` and `text`, expected one");
        check("{\"id\": 1, \"context\": \"a\"}", "no `continuation`, expected a string");
        check("{\"continuation\": \"a\"}", "no `context`, expected a string");
        check("{\"context\": \"a\", \"continuation\": null}", "`continuation` is null, expected a string");
        check("{\"context_tokens\": [1]}", "no `continuation_tokens`, expected a list of token ids");
        check("{\"context_tokens\": \"1\"}", "`context_tokens` is a string, expected a list of token ids");
        check("{\"context_tokens\": [0, -1]}", "`context_tokens` has -1 at index 1, expected a token id");
        check("{\"context_tokens\": [4294967296]}", "`context_tokens` has 4294967296 at index 0, expected a tok");
        check("{\"id\": 0, \"text\": \"a\", \"context\": \"b\"}", "both `context` and `text`, expected one of them");
        check("{\"context\": \"a\", \"continuation_tokens\": [1]}", "both `context` and `continuation_tokens`, exp");
    }
}
