//! The body of a request in OpenAI's form: which fields are taken, which say nothing, which are refused.
//!
//! Every field is in one of the lists here or refused by its name, so nothing that was asked for is silently left out.

use serde_json::{Map, Value};
use veridraft_models::{Message, TokenId};

use super::fields::Fields;
use super::refusal::{Code, Refusal};
use super::row::{Asked, Form, Settings, Shape};
use crate::prompts::row::kind;

/// Samples of a row, and likeliest tokens in each place, at most.
const MOST_SAMPLES: usize = 128;
const MOST_LOGPROBS: usize = 20;

/// Fields of both endpoints that cannot change the text.
const IGNORED: [&str; 8] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "stream_options",
];
/// Fields of the chat endpoint that cannot change the text, where no tools are given.
const IGNORED_IN_CHAT: [&str; 2] = ["prediction", "parallel_tool_calls"];
/// Fields of either endpoint that would change the answer, but are not implemented.
const REFUSED: [&str; 2] = ["stream", "logit_bias"];
const REFUSED_IN_CHAT: [&str; 7] =
    ["tools", "functions", "function_call", "audio", "reasoning_effort", "verbosity", "web_search_options"];
const REFUSED_IN_COMPLETIONS: [&str; 1] = ["suffix"];

/// What a body asks, and how.
pub(super) fn read(body: Map<String, Value>, shape: Shape) -> Result<(Asked, Settings), Refusal> {
    let mut fields = Fields::new("body.", body);
    fields.ignore(&IGNORED);
    fields.refuse(&REFUSED)?;
    let mut settings = common(&mut fields)?;
    let asked = match shape {
        Shape::Chat => chat(&mut fields, &mut settings)?,
        _ => completion(&mut fields, &mut settings)?,
    };
    fields.end()?;
    Ok((asked, settings))
}

/// The fields of both endpoints; `top_k`, `min_p` and `repetition_penalty` are not OpenAI's, but widely known.
fn common(fields: &mut Fields) -> Result<Settings, Refusal> {
    Ok(Settings {
        model: fields.text("model")?,
        max_tokens: fields.count("max_tokens", 1, usize::MAX)?,
        samples: fields.count("n", 1, MOST_SAMPLES)?,
        temperature: fields.number("temperature")?,
        top_k: fields.count("top_k", 0, usize::MAX)?,
        top_p: fields.number("top_p")?,
        min_p: fields.number("min_p")?,
        repetition_penalty: fields.number("repetition_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        seed: fields.seed("seed")?,
        stop: stop(fields)?,
        ..Settings::default()
    })
}

fn chat(fields: &mut Fields, settings: &mut Settings) -> Result<Asked, Refusal> {
    fields.ignore(&IGNORED_IN_CHAT);
    fields.refuse(&REFUSED_IN_CHAT)?;
    only(fields, "tool_choice", &["none".into(), "auto".into()])?;
    only(fields, "modalities", &[Value::from(vec!["text"])])?;
    let newer = fields.count("max_completion_tokens", 1, usize::MAX)?;
    if let (Some(older), Some(newer)) = (settings.max_tokens, newer)
        && older != newer
    {
        let message = format!("`body.max_tokens` is {older}, but `body.max_completion_tokens` {newer}");
        return Err(Refusal::invalid(message));
    }
    settings.max_tokens = newer.or(settings.max_tokens);
    let top = fields.count("top_logprobs", 0, MOST_LOGPROBS)?;
    let wanted = fields.flag("logprobs")?.unwrap_or_default();
    if top.is_some() && !wanted {
        return Err(Refusal::invalid("`body.top_logprobs` is given, but `body.logprobs` is not true"));
    }
    settings.logprobs = wanted.then_some(top.unwrap_or(0));
    settings.form = form(fields)?;
    let messages = fields.take("messages");
    let messages = messages.ok_or_else(|| fields.wrong("messages", None, "a list of messages"))?;
    check_messages(&messages)?;
    let refuse = |reason| Refusal::invalid(format!("`body.messages` is wrong: {reason}"));
    Message::list_of(&messages).map(Asked::Messages).map_err(refuse)
}

fn completion(fields: &mut Fields, settings: &mut Settings) -> Result<Asked, Refusal> {
    fields.refuse(&REFUSED_IN_COMPLETIONS)?;
    only(fields, "best_of", &[settings.samples.unwrap_or(1).into()])?;
    settings.logprobs = fields.count("logprobs", 0, MOST_LOGPROBS)?;
    settings.echo = fields.flag("echo")?.unwrap_or_default();
    let expected = "a string that is not empty or a list of token ids";
    match fields.take("prompt") {
        Some(Value::String(text)) if !text.is_empty() => Ok(Asked::Text(text)),
        Some(Value::Array(items)) => match items.as_slice() {
            [Value::String(text)] if !text.is_empty() => Ok(Asked::Text(text.clone())),
            _ => tokens(&items).map(Asked::Tokens).ok_or_else(|| {
                let found = if items.iter().any(Value::is_number) { "another list" } else { "several prompts" };
                Refusal::invalid(format!("`body.prompt` is {found}, expected {expected}"))
            }),
        },
        other => Err(fields.wrong("prompt", other.as_ref(), expected)),
    }
}

fn tokens(items: &[Value]) -> Option<Vec<TokenId>> {
    if items.is_empty() {
        return None;
    }
    items.iter().map(|item| TokenId::try_from(item.as_u64()?).ok()).collect()
}

/// A field that is accepted with the values that change nothing.
fn only(fields: &mut Fields, name: &str, accepted: &[Value]) -> Result<(), Refusal> {
    match fields.take(name) {
        Some(value) if !accepted.contains(&value) => {
            let accepted: Vec<_> = accepted.iter().map(ToString::to_string).collect();
            let message =
                format!("`body.{name}` is {value}, which is not supported; expected {}", accepted.join(" or "));
            Err(Refusal::new(Code::Unsupported, message))
        }
        _ => Ok(()),
    }
}

fn stop(fields: &mut Fields) -> Result<Option<Vec<String>>, Refusal> {
    let Some(value) = fields.take("stop") else { return Ok(None) };
    let expected = "a string or a list of strings, none of them empty";
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let stop = match &value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => text(one).map(|text| vec![text]),
    };
    stop.map(Some).ok_or_else(|| fields.wrong("stop", Some(&value), expected))
}

/// Message fields that templates do not see are refused: an answer without them would answer something else. Those with
/// nothing in them are in answers of the API, which become messages of the next request.
fn check_messages(messages: &Value) -> Result<(), Refusal> {
    for (index, message) in messages.as_array().into_iter().flatten().enumerate() {
        let fields = message.as_object().into_iter().flatten();
        let says_nothing = |name: &str, value: &Value| {
            let is_list = ["tool_calls", "annotations"].contains(&name);
            value.is_null() || is_list && value.as_array().is_some_and(Vec::is_empty)
        };
        let unknown = fields.filter(|(name, value)| !says_nothing(name, value)).map(|(name, _)| name);
        if let Some(name) = unknown.into_iter().find(|name| !["role", "content"].contains(&name.as_str())) {
            let name = name.escape_debug();
            let message = format!("`body.messages[{index}].{name}` is an unknown field");
            return Err(Refusal::new(Code::UnknownField, message));
        }
    }
    Ok(())
}

/// What the answer must look like.
fn form(fields: &mut Fields) -> Result<Option<Form>, Refusal> {
    let format = match fields.take("response_format") {
        None => return Ok(None),
        Some(Value::Object(format)) => format,
        Some(other) => return Err(fields.wrong("response_format", Some(&other), "an object")),
    };
    let mut format = Fields::new("body.response_format.", format);
    let form = match format.text("type")?.as_deref() {
        Some("text") => Form::Text,
        Some("json_object") => Form::JsonSchema(r#"{"type":"object"}"#.to_owned()),
        Some("json_schema") => Form::JsonSchema(named_schema(&mut format)?),
        other => {
            let found = other.map_or_else(|| "missing".to_owned(), |found| format!("`{}`", found.escape_debug()));
            let message = format!("`body.response_format.type` is {found}, expected text, json_object or json_schema");
            return Err(Refusal::invalid(message));
        }
    };
    format.end()?;
    Ok(Some(form))
}

/// The schema of `{"json_schema": {"name", "description", "strict", "schema"}}`. All schemas are held to strictly.
fn named_schema(format: &mut Fields) -> Result<String, Refusal> {
    let named = match format.take("json_schema") {
        Some(Value::Object(named)) => named,
        other => return Err(format.wrong("json_schema", other.as_ref(), "an object with `schema`")),
    };
    let mut named = Fields::new("body.response_format.json_schema.", named);
    named.ignore(&["name", "description", "strict"]);
    let schema = match named.take("schema") {
        Some(schema @ (Value::Object(_) | Value::Bool(_))) => schema.to_string(),
        other => {
            let found = other.as_ref().map_or_else(|| "missing".to_owned(), kind);
            let message = format!("`body.response_format.json_schema.schema` is {found}, expected a JSON schema");
            return Err(Refusal::invalid(message));
        }
    };
    named.end()?;
    Ok(schema)
}
