//! From arguments to prompt tokens: where the text comes from and how it is dressed.

use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use veridraft_models::{Message, ModelFolder, TokenId};

use crate::arguments::GenerateArguments;
use crate::usage::UsageError;

/// What is to be continued or answered, before a model has been opened.
pub(crate) enum Prompt {
    /// A text, not empty.
    Text(String),
    /// A conversation.
    Messages(Vec<Message>),
}

impl Prompt {
    /// Reads what the arguments name: the argument itself, a file, a conversation, or standard input.
    pub(crate) fn read(arguments: &GenerateArguments) -> Result<Self> {
        if let Some(path) = &arguments.messages {
            return Ok(Self::Messages(Message::read_list(path)?));
        }
        let text = read_text(arguments)?;
        if text.is_empty() {
            return Err(UsageError::new("the prompt is empty, expected some text").into());
        }
        Ok(Self::Text(text))
    }

    /// The prompt's tokens: in the chat template where the model has one, unless the arguments say otherwise. What an
    /// encoder reads stands by itself.
    pub(crate) fn encode(self, arguments: &GenerateArguments, folder: &ModelFolder) -> Result<Vec<TokenId>> {
        let system = arguments.generation.system.as_deref();
        if folder.has_encoder() && (system.is_some() || matches!(self, Self::Messages(_))) {
            return Err(no_conversation(folder).into());
        }
        let is_raw = arguments.raw || folder.has_encoder() || folder.chat_template.is_none() && system.is_none();
        match self {
            Self::Text(text) if is_raw => Ok(folder.tokenizer.encode_raw(&text)?),
            Self::Text(text) => encode_messages(&conversation(system, text), folder),
            Self::Messages(messages) => encode_messages(&messages, folder),
        }
    }
}

/// A model with an encoder answers texts, not conversations.
pub(crate) fn no_conversation(folder: &ModelFolder) -> UsageError {
    UsageError::new(format!(
        "`{}` has an encoder, which reads one text, expected a prompt alone",
        folder.path.display()
    ))
}

/// Renders a conversation with the model's chat template, an answer to follow, and encodes it.
pub(crate) fn encode_messages(messages: &[Message], folder: &ModelFolder) -> Result<Vec<TokenId>> {
    let template = folder.chat_template.as_ref().ok_or_else(|| {
        let folder = folder.path.display();
        UsageError::new(format!("`{folder}` has no chat template, expected one; use `generate --raw`"))
    })?;
    let rendered = template.render(messages, true, SystemTime::now())?;
    Ok(folder.tokenizer.encode_chat(&rendered)?)
}

fn conversation(system: Option<&str>, text: String) -> Vec<Message> {
    let system = system.map(|system| Message::new("system", system));
    system.into_iter().chain([Message::new("user", text)]).collect()
}

fn read_text(arguments: &GenerateArguments) -> Result<String> {
    if let Some(text) = &arguments.prompt {
        return Ok(text.clone());
    }
    match &arguments.prompt_file {
        Some(path) => read_file(path),
        None => read_standard_input(),
    }
}

/// The text of a file.
pub(crate) fn read_file(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    utf8(bytes, &format!("`{}`", path.display()))
}

pub(crate) fn read_standard_input() -> Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    utf8(bytes, "standard input")
}

fn utf8(bytes: Vec<u8>, place: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        anyhow::anyhow!("{place} is not UTF-8 at byte {offset}, expected text")
    })
}
