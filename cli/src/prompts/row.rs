//! One line of a data file: a JSON object to a prompt.

use serde_json::{Map, Value};
use veridraft_models::Message;

use super::{Content, DataPrompt};

/// Fields that hold a prompt, in the order in which they are looked for.
const FIELDS: [&str; 5] = ["turns", "question", "messages", "prompt", "text"];
/// Fields that name a prompt, in the same order.
pub(crate) const NAMES: [&str; 3] = ["id", "question_id", "task_id"];

/// Reads a line; an error says what is wrong with it, to stand behind the name of the place.
pub(super) fn prompt(line: &str, category: &str, number: usize) -> Result<DataPrompt, String> {
    prompt_of(&object(line.as_bytes())?, category, number)
}

/// The prompt in an object.
pub(super) fn prompt_of(row: &Map<String, Value>, category: &str, number: usize) -> Result<DataPrompt, String> {
    let category = match row.get("category") {
        None | Some(Value::Null) => category.to_owned(),
        Some(Value::String(category)) => category.clone(),
        Some(other) => return Err(format!("has `category` {}, expected a string", kind(other))),
    };
    Ok(DataPrompt { category, id: id(row, number), content: content(row)? })
}

/// The object in a line.
pub(crate) fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(other) => Err(format!("is {}, expected an object", kind(&other))),
        // One line is parsed, so the parser's own line number, always 1, would only mislead.
        Err(error) => Err(format!("is not JSON at column {}, expected one object a line", error.column())),
    }
}

fn id(row: &Map<String, Value>, number: usize) -> String {
    match name(row, &NAMES) {
        Some(Value::String(id)) => id.clone(),
        Some(id) => id.to_string(),
        None => format!("line {number}"),
    }
}

/// What names a row: the text or number in the first of these fields that it has.
pub(crate) fn name<'a>(row: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| row.get(*name)).filter(|id| id.is_string() || id.is_number())
}

/// What a row asks, in the first of the fields that it has.
pub(crate) fn content(row: &Map<String, Value>) -> Result<Content, String> {
    let Some((name, value)) = FIELDS.iter().find_map(|name| row.get(*name).map(|value| (*name, value))) else {
        let found: Vec<_> = row.keys().take(8).map(|name| format!("`{}`", name.escape_debug())).collect();
        let found = if found.is_empty() { "no fields".to_owned() } else { found.join(", ") };
        return Err(format!("has {found}, expected one of `{}`", FIELDS.join("`, `")));
    };
    content_in(name, value)
}

/// Whether a field of that name has a meaning of its own here.
pub(crate) fn is_known(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// What a field that [is known](is_known) asks.
pub(crate) fn content_in(name: &str, value: &Value) -> Result<Content, String> {
    match name {
        "turns" => Ok(Content::Turns(turns(value)?)),
        "question" => Ok(Content::Turns(vec![text(name, value)?])),
        "messages" => Message::list_of(value).map(Content::Messages).map_err(|reason| format!("is wrong: {reason}")),
        _ => Ok(Content::Text(text(name, value)?)),
    }
}

fn turns(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(turns) if !turns.is_empty() => {
            turns.iter().enumerate().map(|(index, turn)| text(&format!("turns[{index}]"), turn)).collect()
        }
        other => Err(format!("has `turns` {}, expected a list of one or more strings", kind(other))),
    }
}

/// A field's text.
pub(crate) fn text(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        other => Err(format!("has `{name}` {}, expected a string that is not empty", kind(other))),
    }
}

/// A value in few words: numbers as they are, others by what they are.
pub(crate) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
