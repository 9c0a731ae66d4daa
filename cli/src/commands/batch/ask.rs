//! A row to requests of the engine: its prompt's tokens, and its settings over those of the run.

use std::time::SystemTime;

use sha2::{Digest, Sha256};
use veridraft_engine::constraint::{Constraint, Grammar, Vocabulary};
use veridraft_engine::{Error, Request};
use veridraft_models::{Message, ModelFolder, TokenId};

use super::refusal::{Code, Refusal};
use super::row::{Asked, Form, Row, Settings, Shape};
use crate::open_model::OpenModel;

/// What rows are asked with beside the model.
pub(super) struct Asker {
    /// The message before those that have no system message.
    system: Option<String>,
    /// What chat templates that write the date see: a run that is resumed tomorrow must not write another one.
    time: SystemTime,
    /// What `body.model` of requests must be, if anything.
    names: Option<Vec<String>>,
    schemas: Schemas,
}

/// Constraints for schemas. Rows of one input mostly have the same, so the last one is kept.
#[derive(Default)]
struct Schemas {
    vocabulary: Option<Vocabulary>,
    last: Option<(String, Box<dyn Constraint>)>,
}

impl Asker {
    pub(super) fn new(system: Option<String>, time: SystemTime, names: Option<Vec<String>>) -> Self {
        Self { system, time, names, schemas: Schemas::default() }
    }

    /// One request a sample, all for the same prompt; `key` names the row for its seed.
    pub(super) fn requests(&mut self, open: &OpenModel, row: &Row, key: &str) -> Result<Vec<Request>, Refusal> {
        if row.shape != Shape::Plain {
            self.check_model(row.settings.model.as_deref())?;
        }
        if open.folder.has_encoder() && row.settings.echo {
            return Err(Refusal::new(
                Code::Unsupported,
                "`body.echo` is true, expected false, for an encoder reads the prompt",
            ));
        }
        let mut request = open.request(self.tokens(&row.asked, &open.folder)?);
        apply(&row.settings, &mut request);
        request.sampling.seed = row.settings.seed.unwrap_or_else(|| seed(open.seed(), key));
        request.sampling.check().map_err(|error| {
            Refusal::invalid(format!("`body.{}` is {}, expected {}", error.field, error.found, error.expected))
        })?;
        match &row.settings.form {
            None => {}
            Some(Form::Text) => request.constraint = None,
            Some(Form::JsonSchema(schema)) => {
                request.constraint = Some(self.schemas.constraint(schema, &open.folder, &request.stop.eos_ids)?);
            }
        }
        let samples = row.settings.samples.unwrap_or(1) as u32;
        let echo = row.settings.echo;
        Ok((0..samples).map(|index| sample(&request, index, echo)).collect())
    }

    fn check_model(&self, found: Option<&str>) -> Result<(), Refusal> {
        let Some(names) = &self.names else { return Ok(()) };
        if found.is_some_and(|found| names.iter().any(|name| name == found)) {
            return Ok(());
        }
        let found = found.map_or_else(|| "missing".to_owned(), |found| format!("`{}`", found.escape_debug()));
        let message = format!("`body.model` is {found}, expected `{}`", names.join("` or `"));
        Err(Refusal::new(Code::ModelNotFound, message))
    }

    fn tokens(&self, asked: &Asked, folder: &ModelFolder) -> Result<Vec<TokenId>, Refusal> {
        let refuse = |error: veridraft_models::Error| Refusal::invalid(error.to_string());
        match asked {
            Asked::Messages(messages) => self.answering(messages, folder),
            Asked::TextOrMessage(text) if folder.chat_template.is_some() && !folder.has_encoder() => {
                self.answering(&[Message::new("user", text.as_str())], folder)
            }
            Asked::Text(text) | Asked::TextOrMessage(text) => folder.tokenizer.encode_raw(text).map_err(refuse),
            Asked::Tokens(tokens) => Ok(tokens.clone()),
        }
    }

    fn answering(&self, messages: &[Message], folder: &ModelFolder) -> Result<Vec<TokenId>, Refusal> {
        let refuse = |reason| {
            let message = format!("`{}` has {reason} to answer messages", folder.path.display());
            Refusal::new(Code::NoChatTemplate, message)
        };
        if folder.has_encoder() {
            return Err(refuse("an encoder, which reads one text, expected a chat model"));
        }
        let template = folder.chat_template.as_ref().ok_or_else(|| refuse("no chat template, expected one"))?;
        // OpenAI's newer name for it.
        let has_system = messages.iter().any(|message| ["system", "developer"].contains(&message.role.as_str()));
        let system = self.system.as_ref().filter(|_| !has_system).map(|text| Message::new("system", text.as_str()));
        let messages: Vec<_> = system.into_iter().chain(messages.iter().cloned()).collect();
        let refuse = |error: veridraft_models::Error| Refusal::invalid(error.to_string());
        let rendered = template.render(&messages, true, self.time).map_err(refuse)?;
        folder.tokenizer.encode_chat(&rendered).map_err(refuse)
    }
}

impl Schemas {
    fn constraint(
        &mut self,
        schema: &str,
        folder: &ModelFolder,
        eos_ids: &[TokenId],
    ) -> Result<Box<dyn Constraint>, Refusal> {
        if let Some((_, constraint)) = self.last.as_ref().filter(|(text, _)| text == schema) {
            return Ok(constraint.clone());
        }
        if self.vocabulary.is_none() {
            let refuse = |error: Error| Refusal::new(Code::Unsupported, error.to_string());
            self.vocabulary = Some(Vocabulary::of(&folder.tokenizer, eos_ids).map_err(refuse)?);
        }
        let vocabulary = self.vocabulary.as_ref().expect("it was just made");
        let refuse = |error: Error| Refusal::invalid(format!("`body.response_format`: {error}"));
        let constraint = Box::new(Grammar::JsonSchema(schema).compile(vocabulary).map_err(refuse)?);
        self.last = Some((schema.to_owned(), constraint.clone()));
        Ok(constraint)
    }
}

/// Why the engine refuses a request, if it is the request's fault.
pub(super) fn refusal(error: &Error) -> Option<Refusal> {
    let code = match error {
        Error::PromptTooLong { .. } | Error::CacheTooSmall { .. } => Code::TooLong,
        Error::SourceLength { found, .. } if *found > 0 => Code::TooLong,
        Error::EmptyPrompt
        | Error::SourceLength { .. }
        | Error::UnknownToken { .. }
        | Error::UnknownSourceToken { .. }
        | Error::NothingWanted
        | Error::Setting(_) => Code::InvalidRequest,
        _ => return None,
    };
    Some(Refusal::new(code, error.to_string()))
}

fn apply(settings: &Settings, request: &mut Request) {
    fn set<T>(field: &mut T, given: Option<T>) {
        if let Some(given) = given {
            *field = given;
        }
    }
    let sampling = &mut request.sampling;
    set(&mut sampling.temperature, settings.temperature);
    set(&mut sampling.top_k, settings.top_k);
    set(&mut sampling.top_p, settings.top_p);
    set(&mut sampling.min_p, settings.min_p);
    set(&mut sampling.repetition_penalty, settings.repetition_penalty);
    set(&mut sampling.presence_penalty, settings.presence_penalty);
    set(&mut sampling.frequency_penalty, settings.frequency_penalty);
    set(&mut request.max_tokens, settings.max_tokens);
    set(&mut request.stop.strings, settings.stop.clone());
    request.logprobs.output = settings.logprobs;
}

/// The first sample alone scores an echoed prompt, which is the same for all.
fn sample(request: &Request, index: u32, echo: bool) -> Request {
    let mut request = request.clone();
    request.sampling.sample_index = index;
    let for_prompt = request.logprobs.output.filter(|_| echo && index == 0);
    request.logprobs.prompt = for_prompt;
    request
}

/// A seed of its own for each row, which no other row and no order changes.
fn seed(run: u64, key: &str) -> u64 {
    let digest = Sha256::new_with_prefix(run.to_le_bytes()).chain_update(key).finalize();
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_row_and_run_and_stay() {
        assert_eq!(seed(0, "a"), seed(0, "a"));
        let seeds = [seed(0, "a"), seed(0, "b"), seed(1, "a")];
        assert!(seeds[0] != seeds[1] && seeds[0] != seeds[2] && seeds[1] != seeds[2]);
    }

    #[test]
    fn a_row_overrides_the_run_where_it_says_something() {
        let mut request = Request::new(vec![1], 9);
        request.sampling.top_k = 5;
        request.stop.strings = vec!["x".to_owned()];
        apply(&Settings { temperature: Some(0.5), ..Settings::default() }, &mut request);
        assert_eq!((request.max_tokens, request.sampling.top_k, request.sampling.temperature), (9, 5, 0.5));
        assert_eq!(request.stop.strings, ["x"]);
        let settings =
            Settings { max_tokens: Some(3), stop: Some(Vec::new()), logprobs: Some(2), ..Settings::default() };
        apply(&settings, &mut request);
        assert_eq!((request.max_tokens, request.logprobs.output), (3, Some(2)));
        assert!(request.stop.strings.is_empty());
    }

    #[test]
    fn an_engine_that_fails_is_not_the_fault_of_a_row() {
        assert!(refusal(&Error::EmptyPrompt).is_some());
        assert!(refusal(&Error::PromptTooLong { found: 9, context_length: 8 }).is_some());
        assert_eq!(refusal(&Error::Vocabulary("no bytes".to_owned())), None);
    }
}
