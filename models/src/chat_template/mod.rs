//! Messages to one text, by the Jinja template that a chat model carries.
//!
//! Templates are code by strangers. They see the values given to them and nothing else, no files and no clock, and they
//! run on a budget of work, so a hostile one ends in an error instead of a hang.
//! The set-up imitates `apply_chat_template` of Hugging Face transformers, whose text a model was trained on.

mod clock;
mod environment;
mod generation_tag;
mod message;
mod python_json;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use minijinja::{Environment, Value};
use serde_json::Value as Json;

pub use message::Message;

use environment::Budget;

use crate::folder::json_object::JsonObject;
use crate::tokenizer::TokenizerConfig;
use crate::{Error, Result};

/// A compiled template with the special tokens that it may name.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    special_tokens: Vec<(String, String)>,
}

impl ChatTemplate {
    /// Reads a model folder's template: `chat_template.jinja`, else `chat_template` in `tokenizer_config.json`.
    /// `None` when there is neither: the model is not made for chat.
    pub fn open(folder: impl AsRef<Path>) -> Result<Option<Self>> {
        let folder = folder.as_ref();
        let config_path = folder.join("tokenizer_config.json");
        let config = JsonObject::open_if_exists(&config_path)?;
        let tokens = config.as_ref().map(TokenizerConfig::from_json).transpose()?.unwrap_or_default().named_tokens;
        let own_path = folder.join("chat_template.jinja");
        if own_path.is_file() {
            let source = std::fs::read_to_string(&own_path).map_err(Error::io("read", &own_path))?;
            return Self::new(&source, tokens)
                .map(Some)
                .map_err(|error| Error::model_file(own_path, error.to_string()));
        }
        let Some(source) = config.as_ref().map(default_template).transpose()?.flatten() else { return Ok(None) };
        Self::new(source, tokens).map(Some).map_err(|error| Error::model_file(config_path, error.to_string()))
    }

    /// Compiles a template. `special_tokens`: name (`bos_token` ...) and text.
    pub fn new(source: &str, special_tokens: Vec<(String, String)>) -> Result<Self> {
        let environment = environment::compile(source).map_err(|error| environment::in_words(&error))?;
        Ok(Self { environment: Arc::new(environment), special_tokens })
    }

    /// The text of the messages. With `add_generation_prompt` it ends where the assistant's answer begins.
    /// `now` is what a template that writes the date sees, in UTC.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool, now: SystemTime) -> Result<String> {
        let mut context = BTreeMap::from([
            ("messages".to_owned(), messages.iter().map(Message::to_value).collect::<Value>()),
            ("add_generation_prompt".to_owned(), Value::from(add_generation_prompt)),
            // Templates ask whether these are none, not whether they are defined.
            ("tools".to_owned(), Value::from(())),
            ("documents".to_owned(), Value::from(())),
            ("strftime_now".to_owned(), Value::from_function(move |format: &str| clock::strftime(format, now))),
        ]);
        context.extend(self.special_tokens.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))));
        let bytes = messages.iter().map(|message| message.role.len() + message.content.len()).sum();
        environment::render(&self.environment, context, &Budget::for_text(bytes))
    }
}

/// `chat_template` is a string, or a list of named templates of which `default` is for plain chat.
fn default_template(config: &JsonObject) -> Result<Option<&str>> {
    const EXPECTED: &str = "a string or a list of objects with `name` and `template`";
    match config.value("chat_template") {
        None => Ok(None),
        Some(Json::String(source)) => Ok(Some(source)),
        Some(Json::Array(named)) => {
            let default = named.iter().find(|entry| entry.get("name").and_then(Json::as_str) == Some("default"));
            let source = default.and_then(|entry| entry.get("template")).and_then(Json::as_str);
            source.map(Some).ok_or_else(|| config.error("`chat_template` lists no template named `default`"))
        }
        Some(other) => Err(config.wrong_type("chat_template", other, EXPECTED)),
    }
}
