//! The `veridraft` command: arguments in, text and reports out. Everything else is in the libraries.

mod arguments;
mod catalogue;
mod commands;
mod draft_spec;
mod interrupt;
mod model_store;
mod ngram_file;
mod open_model;
mod output;
mod panics;
mod progress;
mod prompt;
mod prompts;
mod report;
mod texts;
mod set_up;
mod usage;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, Command};
use usage::UsageError;

/// Status of a run that was asked for something that cannot be; anything else that fails is 1.
const USAGE_STATUS: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    match panics::caught(|| run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&with_causes(&error)));
            ExitCode::from(if error.is::<UsageError>() { USAGE_STATUS } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Generate(arguments) => commands::generate::run(&arguments),
        Command::Chat(arguments) => commands::chat::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Model(arguments) => commands::model::run(&arguments),
        Command::Runtime(arguments) => commands::runtime::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
    }
}

/// Prints help as it is, and what is wrong with the arguments as one line.
fn explain(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that has gone away wanted no more of it.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{error}");
            ExitCode::from(USAGE_STATUS)
        }
        _ => {
            let text = error.to_string();
            let first_paragraph = text.split("\n\n").next().unwrap_or(&text);
            eprintln!("{}", one_line(first_paragraph));
            ExitCode::from(USAGE_STATUS)
        }
    }
}

/// The error and its causes, without those that it quotes already.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            text if text.contains(&cause) => text.to_owned(),
            text => format!("{text}: {cause}"),
        }
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
