//! One line of the input, read: what is asked, how, and in which form the answer goes out.

use serde_json::{Map, Value};
use veridraft_models::{Message, TokenId};

use super::body;
use super::fields::Fields;
use super::refusal::{Code, Refusal};
use crate::prompts::Content;
use crate::prompts::row as common;

/// What stands in a line.
pub(super) type Object = Map<String, Value>;

/// A row that can be asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) shape: Shape,
    pub(super) asked: Asked,
    pub(super) settings: Settings,
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// OpenAI's, for /v1/chat/completions.
    Chat,
    /// OpenAI's, for /v1/completions.
    Completion,
    /// Our own, for plain rows.
    Plain,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    /// A conversation to be answered.
    Messages(Vec<Message>),
    /// A text to be continued as it is.
    Text(String),
    /// A text that is a user's message where the model has a chat template.
    TextOrMessage(String),
    /// Tokens to be continued.
    Tokens(Vec<TokenId>),
}

/// What a row says beside its prompt; the run's flags say the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) model: Option<String>,
    pub(super) max_tokens: Option<usize>,
    pub(super) samples: Option<usize>,
    pub(super) temperature: Option<f32>,
    pub(super) top_k: Option<usize>,
    pub(super) top_p: Option<f32>,
    pub(super) min_p: Option<f32>,
    pub(super) repetition_penalty: Option<f32>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) frequency_penalty: Option<f32>,
    pub(super) seed: Option<u64>,
    pub(super) stop: Option<Vec<String>>,
    /// Likeliest tokens beside each token's own log-probability; `None` for no log-probabilities.
    pub(super) logprobs: Option<usize>,
    /// The answer begins with the prompt.
    pub(super) echo: bool,
    /// The form of the answer, in place of the run's constraint.
    pub(super) form: Option<Form>,
}

/// What an answer looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Any text.
    Text,
    /// A value that fits this JSON schema.
    JsonSchema(String),
}

/// How rows are read.
#[derive(Clone, Debug, Default)]
pub(super) struct RowFormat {
    /// Rows are plain and have their prompt in this field; `None` for requests, and for the fields of the common reader.
    pub(super) field: Option<String>,
    /// The field is continued as it is.
    pub(super) raw: bool,
}

impl RowFormat {
    /// Reads a line's object.
    pub(super) fn read(&self, line: Object) -> Result<Row, Refusal> {
        if self.is_request(&line) { request(line) } else { self.plain(&line) }
    }

    /// Whether the object is a request in OpenAI's form. `url` alone does not say so, nor does a `body` of text:
    /// texts from the web have them.
    pub(super) fn is_request(&self, line: &Object) -> bool {
        let has_body = line.get("body").is_some_and(Value::is_object);
        let looks_so = has_body || line.contains_key("custom_id") && line.contains_key("url");
        looks_so && self.field.is_none()
    }

    /// What names a row in records, whose line is `number` from 1: `custom_id`, or the name that a plain row gives itself, else its line.
    pub(super) fn name(&self, line: &Object, number: usize) -> Value {
        let names = if self.is_request(line) { &["custom_id"][..] } else { &common::NAMES };
        common::name(line, names).cloned().unwrap_or_else(|| unnamed(number))
    }

    /// The `custom_id` of a request, which no two may share.
    pub(super) fn custom_id<'a>(&self, line: &'a Object) -> Option<&'a str> {
        if self.is_request(line) { line.get("custom_id")?.as_str() } else { None }
    }

    fn plain(&self, line: &Object) -> Result<Row, Refusal> {
        let asked = match &self.field {
            None => asked(common::content(line))?,
            Some(name) => {
                let absent = || Refusal::invalid(format!("has no field `{}`, expected one", name.escape_debug()));
                self.field(name, line.get(name).ok_or_else(absent)?)?
            }
        };
        Ok(Row { shape: Shape::Plain, asked, settings: Settings::default() })
    }

    /// A field that the common reader knows keeps its meaning; any other is taken as `generate` takes its prompt.
    fn field(&self, name: &str, value: &Value) -> Result<Asked, Refusal> {
        if common::is_known(name) && !self.raw {
            return asked(common::content_in(name, value));
        }
        let text = common::text(name, value).map_err(Refusal::invalid)?;
        Ok(if self.raw { Asked::Text(text) } else { Asked::TextOrMessage(text) })
    }
}

/// The name of a row that has none.
pub(super) fn unnamed(number: usize) -> Value {
    format!("line {number}").into()
}

/// The object in a line.
pub(super) fn object(line: &[u8]) -> Result<Object, Refusal> {
    common::object(line).map_err(|reason| Refusal::new(Code::InvalidJson, reason))
}

fn request(line: Object) -> Result<Row, Refusal> {
    let mut fields = Fields::new("", line);
    let id = fields.text("custom_id")?.filter(|id| !id.is_empty());
    id.ok_or_else(|| fields.wrong("custom_id", None, "a string that is not empty"))?;
    let method = fields.text("method")?;
    if method.as_deref().is_some_and(|method| method != "POST") {
        let found = Value::from(method.unwrap_or_default().escape_debug().to_string());
        return Err(Refusal::invalid(format!("`method` is {found}, expected \"POST\"")));
    }
    let url =
        fields.text("url")?.ok_or_else(|| fields.wrong("url", None, "/v1/chat/completions or /v1/completions"))?;
    let shape = match url.as_str() {
        "/v1/chat/completions" => Shape::Chat,
        "/v1/completions" => Shape::Completion,
        other => {
            let found = other.escape_debug();
            let message = format!("`url` is `{found}`, expected `/v1/chat/completions` or `/v1/completions`");
            return Err(Refusal::invalid(message));
        }
    };
    let body = match fields.take("body") {
        Some(Value::Object(body)) => body,
        other => return Err(fields.wrong("body", other.as_ref(), "an object")),
    };
    fields.end()?;
    let (asked, settings) = body::read(body, shape)?;
    Ok(Row { shape, asked, settings })
}

fn asked(content: Result<Content, String>) -> Result<Asked, Refusal> {
    match content.map_err(Refusal::invalid)? {
        Content::Messages(messages) => Ok(Asked::Messages(messages)),
        Content::Text(text) => Ok(Asked::Text(text)),
        Content::Turns(turns) => match <[String; 1]>::try_from(turns) {
            Ok([turn]) => Ok(Asked::Messages(vec![Message::new("user", turn)])),
            Err(turns) => Err(Refusal::invalid(format!("has {} `turns`, expected one", turns.len()))),
        },
    }
}

#[cfg(test)]
mod tests;
