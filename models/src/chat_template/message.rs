//! One message of a conversation, and the JSON file that a conversation comes in.

use std::path::Path;

use minijinja::{Value, context};
use serde_json::Value as Json;

use crate::folder::json_object::{describe, read_json};
use crate::{Error, Result};

/// Who says what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, or another role that the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message of a role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }

    /// Reads a conversation: `[{"role": .., "content": ..}]` or `{"messages": [..]}`, where `content` is a string or a
    /// list of `{"type": "text", "text": ..}`, whose texts are joined.
    pub fn read_list(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let path = path.as_ref();
        Self::list_of(&read_json(path)?).map_err(|reason| Error::Messages { path: path.to_owned(), reason })
    }

    /// The conversation in a JSON value of the form that [`read_list`](Self::read_list) reads; else what is wrong.
    pub fn list_of(json: &Json) -> Result<Vec<Self>, String> {
        messages_of(json)
    }

    /// The message as a template sees it.
    pub(super) fn to_value(&self) -> Value {
        context! { role => self.role.as_str(), content => self.content.as_str() }
    }
}

fn messages_of(json: &Json) -> Result<Vec<Message>, String> {
    let list = match json {
        Json::Object(fields) => fields.get("messages").ok_or("no `messages` in the object")?,
        other => other,
    };
    let Json::Array(items) = list else { return Err(wrong("messages", Some(list), "a list of messages")) };
    if items.is_empty() {
        return Err("no messages, expected at least one".to_owned());
    }
    items.iter().enumerate().map(|(index, item)| message_of(item, &format!("messages[{index}]"))).collect()
}

fn message_of(item: &Json, place: &str) -> Result<Message, String> {
    if !item.is_object() {
        return Err(wrong(place, Some(item), "an object with `role` and `content`"));
    }
    let role = item.get("role").and_then(Json::as_str);
    let role = role.ok_or_else(|| wrong(&format!("{place}.role"), item.get("role"), "a string"))?;
    Ok(Message::new(role, content_of(item.get("content"), &format!("{place}.content"))?))
}

fn content_of(content: Option<&Json>, place: &str) -> Result<String, String> {
    match content {
        Some(Json::String(text)) => Ok(text.clone()),
        Some(Json::Array(parts)) => {
            parts.iter().enumerate().map(|(index, part)| part_of(part, &format!("{place}[{index}]"))).collect()
        }
        other => Err(wrong(place, other, "a string or a list of text parts")),
    }
}

fn part_of<'a>(part: &'a Json, place: &str) -> Result<&'a str, String> {
    match part.get("type").and_then(Json::as_str) {
        Some("text") => {}
        Some(kind) => return Err(format!("`{place}.type` is `{}`, expected `text`", kind.escape_debug())),
        None => return Err(wrong(&format!("{place}.type"), part.get("type"), "`text`")),
    }
    let text = part.get("text");
    text.and_then(Json::as_str).ok_or_else(|| wrong(&format!("{place}.text"), text, "a string"))
}

fn wrong(place: &str, found: Option<&Json>, expected: &str) -> String {
    let found = found.map_or_else(|| "missing".to_owned(), describe);
    format!("`{place}` is {found}, expected {expected}")
}
