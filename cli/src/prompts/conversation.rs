//! A prompt as it is asked: turn by turn, each behind the answers so far.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};
use veridraft_models::{Message, ModelFolder, TokenId};

use super::{Content, DataPrompt};
use crate::prompt::encode_messages;

/// What was said and what is still to be asked.
pub(crate) struct Conversation {
    name: String,
    said: Vec<Message>,
    open: VecDeque<Ask>,
}

enum Ask {
    /// The user's next message.
    Message(String),
    /// Nothing more: `said` ends with what is to be answered.
    Answer,
    Text(String),
}

impl Conversation {
    /// Nothing asked yet; the system message goes before turns, and before messages that have none.
    pub(crate) fn new(prompt: &DataPrompt, system: Option<&str>) -> Self {
        let mut said: Vec<_> = system.map(|system| Message::new("system", system)).into_iter().collect();
        let open = match &prompt.content {
            Content::Turns(turns) => turns.iter().cloned().map(Ask::Message).collect(),
            Content::Messages(messages) => {
                if messages.iter().any(|message| message.role == "system") {
                    said.clear();
                }
                said.extend_from_slice(messages);
                [Ask::Answer].into()
            }
            Content::Text(text) => [Ask::Text(text.clone())].into(),
        };
        Self { name: format!("prompt `{}` of `{}`", prompt.id, prompt.category), said, open }
    }

    /// Which prompt, for a message.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The tokens of the next turn, `None` behind the last.
    pub(crate) fn ask(&mut self, folder: &ModelFolder) -> Result<Option<Vec<TokenId>>> {
        let Some(ask) = self.open.pop_front() else { return Ok(None) };
        let tokens = match ask {
            Ask::Text(text) => folder.tokenizer.encode_raw(&text).map_err(Into::into),
            Ask::Message(text) => {
                self.said.push(Message::new("user", text));
                self.encode(folder)
            }
            Ask::Answer => self.encode(folder),
        };
        tokens.map(Some).with_context(|| self.name.clone())
    }

    /// Takes the answer to what was asked.
    pub(crate) fn answer(&mut self, text: String) {
        self.said.push(Message::new("assistant", text));
    }

    fn encode(&self, folder: &ModelFolder) -> Result<Vec<TokenId>> {
        if folder.chat_template.is_none() {
            let folder = folder.path.display();
            bail!("`{folder}` has no chat template, expected one for `turns`, `question` and `messages`; use `prompt`");
        }
        encode_messages(&self.said, folder)
    }
}
