//! Records as they go out: answers and errors, a pure function of row, run and tokens.
//!
//! Nothing of time, of drafts or of the cache is in a record, so that an input has one output. The forms are those of
//! OpenAI's batch output; plain rows get a line of `id`, `text`, `finish_reason` and `usage`.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use veridraft_engine::{FinishReason, TokenLogprobs};
use veridraft_models::TokenId;

use super::logprobs::{Echo, TokenBytes};
use super::refusal::Refusal;
use super::row::{Row, Shape};
use crate::data_files::{Column, ColumnType};

/// What records say of the run.
pub(super) struct RecordWriter {
    /// Digest of input, model and flags; part of every id.
    pub(super) run: [u8; 32],
    /// The model's name, for requests that name none.
    pub(super) model: String,
    pub(super) created: Created,
    /// Ids of plain rows are texts, also where the row has a number: a Parquet column has one type.
    pub(super) text_ids: bool,
}

/// The time in `created`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// The same for all, in seconds since 1970.
    At(u64),
    /// When the answer was complete.
    Now,
}

/// What a row is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// `custom_id`, or what names a plain row; null for what is no row at all.
    pub(super) id: Value,
    /// The same as text.
    pub(super) key: String,
    /// The row's line, where another row may have the same name.
    pub(super) line: Option<usize>,
}

/// A row with all its samples.
pub(super) struct Answer<'a> {
    pub(super) name: &'a Name,
    pub(super) row: &'a Row,
    pub(super) prompt: &'a [TokenId],
    /// The prompt's text, where it is echoed.
    pub(super) prompt_text: &'a str,
    /// In the order of samples.
    pub(super) choices: &'a [Choice],
}

/// One sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) tokens: Vec<TokenId>,
    pub(super) logprobs: Vec<TokenLogprobs>,
    /// Of the prompt from its second token on; in the first sample alone.
    pub(super) prompt_logprobs: Vec<TokenLogprobs>,
    /// Why it ended; `None` while it has not.
    pub(super) reason: Option<FinishReason>,
}

impl Name {
    /// A name that no row before has.
    pub(super) fn new(id: Value) -> Self {
        let key = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        Self { id, key, line: None }
    }

    /// A name that a row before may have, too.
    pub(super) fn in_line(id: Value, line: usize) -> Self {
        Self { line: Some(line), ..Self::new(id) }
    }
}

impl RecordWriter {
    /// The line of a row that was answered.
    pub(super) fn answer(&self, answer: &Answer, texts: Option<&TokenBytes>) -> Vec<u8> {
        let row = answer.row;
        let record = match row.shape {
            Shape::Plain => self.plain(answer),
            Shape::Chat | Shape::Completion => json!({
                "id": self.id("batch_req_", answer.name),
                "custom_id": answer.name.id,
                "response": {
                    "status_code": 200,
                    "request_id": self.id("req_", answer.name),
                    "body": self.body(answer, texts),
                },
                "error": null,
            }),
        };
        record.to_string().into_bytes()
    }

    /// The line of a row that was refused.
    pub(super) fn error(&self, name: &Name, refusal: &Refusal) -> Vec<u8> {
        let record = json!({
            "id": self.id("batch_req_", name),
            "custom_id": name.id,
            "response": null,
            "error": refusal,
        });
        record.to_string().into_bytes()
    }

    fn body(&self, answer: &Answer, texts: Option<&TokenBytes>) -> Value {
        let row = answer.row;
        let is_chat = row.shape == Shape::Chat;
        let (prefix, object) = if is_chat { ("chatcmpl-", "chat.completion") } else { ("cmpl-", "text_completion") };
        let choice = |(index, choice): (usize, &Choice)| {
            if is_chat { chat_choice(index, choice, texts) } else { text_choice(index, choice, answer, texts) }
        };
        json!({
            "id": self.id(prefix, answer.name),
            "object": object,
            "created": self.created.seconds(),
            "model": row.settings.model.as_ref().unwrap_or(&self.model),
            "choices": answer.choices.iter().enumerate().map(choice).collect::<Value>(),
            "usage": usage(answer),
        })
    }

    fn plain(&self, answer: &Answer) -> Value {
        let choice = answer.choices.first().expect("a plain row has one sample");
        json!({
            "id": if self.text_ids { answer.name.key.as_str().into() } else { answer.name.id.clone() },
            "text": choice.text,
            "finish_reason": choice.finish_reason(),
            "usage": usage(answer),
        })
    }

    /// An id that a row has in this run and nowhere else.
    fn id(&self, prefix: &str, name: &Name) -> String {
        let line = name.line.unwrap_or(0) as u64;
        let digest = Sha256::new_with_prefix(self.run).chain_update(prefix).chain_update(line.to_le_bytes());
        let digest = digest.chain_update(&name.key).finalize();
        let mut id = prefix.to_owned();
        for byte in &digest[..16] {
            let _ = write!(id, "{byte:02x}"); // Writing to a string cannot fail.
        }
        id
    }
}

/// The columns of OUT as a Parquet file: those of requests, of plain rows, or of both.
pub(super) fn columns(has_requests: bool, has_others: bool) -> Vec<Column> {
    let mut columns = vec![("id", ColumnType::Text)];
    if has_requests {
        columns.extend([("custom_id", ColumnType::Text), ("response", ColumnType::Json), ("error", ColumnType::Json)]);
    }
    if has_others {
        columns.extend([("text", ColumnType::Text), ("finish_reason", ColumnType::Text), ("usage", ColumnType::Json)]);
    }
    columns
}

impl Created {
    fn seconds(self) -> u64 {
        match self {
            Self::At(seconds) => seconds,
            Self::Now => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.unwrap_or_default().as_secs()
            }
        }
    }
}

impl Choice {
    /// OpenAI's word: `length` where tokens ran out, `stop` where the text ended by itself.
    fn finish_reason(&self) -> &'static str {
        match self.reason {
            Some(FinishReason::Length | FinishReason::ContextFull) => "length",
            _ => "stop",
        }
    }

    /// The tokens that are text: without the one that ended it, and without a stop string, which is cut off.
    pub(super) fn scored<'a>(&'a self, texts: &TokenBytes) -> &'a [TokenLogprobs] {
        let tokens = self.logprobs.iter().map(|score| score.token);
        let count = match self.reason {
            Some(FinishReason::StopString) => texts.within(tokens, self.text.len()),
            Some(FinishReason::Eos | FinishReason::StopToken) => self.logprobs.len().saturating_sub(1),
            _ => self.logprobs.len(),
        };
        &self.logprobs[..count]
    }
}

fn chat_choice(index: usize, choice: &Choice, texts: Option<&TokenBytes>) -> Value {
    json!({
        "index": index,
        "message": { "role": "assistant", "content": choice.text, "refusal": null },
        "logprobs": texts.map(|texts| texts.of_message(choice)),
        "finish_reason": choice.finish_reason(),
    })
}

fn text_choice(index: usize, choice: &Choice, answer: &Answer, texts: Option<&TokenBytes>) -> Value {
    let echoed = answer.row.settings.echo.then_some(answer.prompt_text);
    let prompt = answer.choices.first().filter(|_| echoed.is_some()).map(|first| &*first.prompt_logprobs);
    let prompt = prompt.map(|scores| Echo { tokens: answer.prompt, text: answer.prompt_text, scores });
    json!({
        "index": index,
        "text": format!("{}{}", echoed.unwrap_or_default(), choice.text),
        "logprobs": texts.map(|texts| texts.of_text(prompt, choice)),
        "finish_reason": choice.finish_reason(),
    })
}

/// Tokens of the prompt, and produced, the ones that ended the texts included.
fn usage(answer: &Answer) -> Value {
    let prompt = answer.prompt.len();
    let completion: usize = answer.choices.iter().map(|choice| choice.tokens.len()).sum();
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

#[cfg(test)]
mod tests;
