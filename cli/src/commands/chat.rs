//! `veridraft chat`: several turns; what two turns have in common stays in the cache.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result};
use veridraft_models::Message;

use super::generation::{Observers, generate};
use crate::arguments::ChatArguments;
use crate::interrupt::Interrupt;
use crate::open_model::OpenModel;
use crate::output::piece;
use crate::prompt::{encode_messages, no_conversation};
use crate::report::{Trace, summary};

const HELP: &str = "/reset forgets the conversation, /exit or end of input leaves; Ctrl-C ends an answer";

pub(crate) fn run(arguments: &ChatArguments) -> Result<()> {
    let model = OpenModel::open(&arguments.generation)?;
    if model.folder.has_encoder() {
        return Err(no_conversation(&model.folder).into());
    }
    let mut trace = arguments.generation.trace.as_deref().map(Trace::create).transpose()?;
    let system = arguments.generation.system.as_ref().map(|system| Message::new("system", system));
    let interrupt = Interrupt::install()?;
    let mut chat = Chat { model, messages: system.iter().cloned().collect() };
    eprintln!("{}: {HELP}", chat.model.name);
    while let Some(line) = read_line()? {
        match line.trim() {
            "" => {}
            "/exit" => break,
            "/reset" => chat.messages = system.iter().cloned().collect(),
            "/help" => eprintln!("{HELP}"),
            message => chat.answer(message, &interrupt, trace.as_mut()),
        }
    }
    Ok(())
}

/// A conversation. What of it was computed for earlier turns is in the engine's prefix cache.
struct Chat {
    model: OpenModel,
    messages: Vec<Message>,
}

impl Chat {
    /// Takes the user's message and shows the answer. A message that cannot be answered is forgotten.
    fn answer(&mut self, message: &str, interrupt: &Interrupt, trace: Option<&mut Trace>) {
        self.messages.push(Message::new("user", message));
        match self.try_answer(interrupt, trace) {
            Ok(text) => self.messages.push(Message::new("assistant", text)),
            Err(error) => {
                self.messages.pop();
                eprintln!("error: {error:#}; /reset forgets the conversation");
            }
        }
    }

    fn try_answer(&mut self, interrupt: &Interrupt, trace: Option<&mut Trace>) -> Result<String> {
        let prompt = encode_messages(&self.messages, &self.model.folder)?;
        let prompt_tokens = prompt.len();
        let request = self.model.request(prompt);
        let engine = &mut self.model.engine;
        let id = engine.add(request)?;
        let observers = Observers { interrupt, trace, show: &mut |text| piece(text) };
        let generated = generate(engine, &[id], observers);
        // After a failed step the sequence must not go on beside the next turn's. What it computed stays cached.
        engine.remove(id);
        let mut generated = generated?;
        piece("\n")?;
        eprintln!("{}", summary(prompt_tokens, &generated, self.model.seed()));
        Ok(generated.answers.remove(0).text)
    }
}

/// The next line, bytes that are no text replaced; `None` at the end of input.
fn read_line() -> Result<Option<String>> {
    if std::io::stdin().is_terminal() {
        eprint!("> ");
        std::io::stderr().flush().ok();
    }
    let mut line = Vec::new();
    let length = std::io::stdin().lock().read_until(b'\n', &mut line).context("cannot read standard input")?;
    Ok((length > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}
