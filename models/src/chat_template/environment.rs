//! The template engine, set up as Hugging Face transformers sets up Jinja2.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error as TemplateError, ErrorKind, Value};
use minijinja_contrib::pycompat;

use super::{generation_tag, python_json};
use crate::Error;

/// The one template of the environment.
const TEMPLATE_NAME: &str = "chat_template";

/// Steps that a rendering may take beside those for the messages' text. A message takes 25 to 40 in the templates of the
/// tests, which stand for those in use.
const STEPS: u64 = 500_000;

/// Copies of the messages' text that come free. Joining a message's pieces copies it three to five times.
const COPIES: u64 = 16;

/// The engine counts so many bytes of text made as one step.
const BYTES_A_STEP: u64 = 64;

/// A template can nest a value half as deep as it may take steps, and dropping or comparing that recurses: hence a stack
/// for each rendering that suits its budget. Memory is taken only where it is touched.
const STACK_BYTES_A_STEP: usize = 512;

/// Compiles a template into an environment of its own.
pub(super) fn compile(source: &str) -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    // Both indent by depth without asking the budget, and no chat template uses them.
    environment.remove_filter("pprint");
    environment.remove_global("debug");
    environment.add_filter("tojson", python_json::tojson);
    environment.add_function("raise_exception", raise_exception);
    environment.add_template_owned(TEMPLATE_NAME, generation_tag::replace(source))?;
    Ok(environment)
}

/// What a rendering may cost.
pub(super) struct Budget {
    /// Counted by the engine; the same on every machine.
    pub(super) steps: u64,
    /// The last resort, for what the count of steps cannot see.
    pub(super) patience: Duration,
}

impl Budget {
    /// A budget that real templates stay far below, for messages of so many bytes.
    pub(super) fn for_text(bytes: usize) -> Self {
        let steps = STEPS + bytes as u64 * COPIES / BYTES_A_STEP;
        Self { steps, patience: Duration::from_secs(5) }
    }
}

/// Renders the template on a thread of its own.
///
/// The steps end loops, texts and recursion. What they cannot see is a list that holds another twice, and that one
/// another, and so on: forty steps build what takes 2^40 to compare or print. The thread that does so is left behind.
pub(super) fn render(
    environment: &Environment<'static>,
    context: BTreeMap<String, Value>,
    budget: &Budget,
) -> Result<String, Error> {
    let (sender, receiver) = mpsc::channel();
    let mut environment = environment.clone();
    environment.set_fuel(Some(budget.steps));
    let work = move || {
        let text = environment.get_template(TEMPLATE_NAME).and_then(|template| template.render(Value::from(context)));
        // Nobody listens any more once the patience has run out.
        let _ = sender.send(text.map_err(|error| in_words(&error)));
    };
    let stack_bytes = usize::try_from(budget.steps).unwrap_or(usize::MAX).saturating_mul(STACK_BYTES_A_STEP);
    let builder = std::thread::Builder::new().name("chat-template".to_owned()).stack_size(stack_bytes);
    builder.spawn(work).map_err(|error| Error::ChatTemplate(format!("cannot start a thread: {error}")))?;
    receiver.recv_timeout(budget.patience).unwrap_or_else(|error| {
        Err(Error::ChatTemplate(match error {
            RecvTimeoutError::Timeout => format!("takes longer than {:?}", budget.patience),
            RecvTimeoutError::Disconnected => "the template engine broke down".to_owned(),
        }))
    })
}

/// A template's own complaint about the messages.
fn raise_exception(message: &str) -> Result<Value, TemplateError> {
    Err(TemplateError::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// The engine's error as one line of ours.
pub(super) fn in_words(error: &TemplateError) -> Error {
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "does more work than a chat template may".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    Error::ChatTemplate(match error.line() {
        Some(line) => format!("{what} (line {line} of the template)"),
        None => what,
    })
}
