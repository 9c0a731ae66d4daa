//! The `veridraft` command: arguments in, text and reports out. Everything else is in the libraries.

mod arguments;
mod catalogue;
mod commands;
mod constraint;
mod data_files;
mod draft_spec;
mod export_weights;
mod figures;
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
mod unfinished_file;
mod usage;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, Command};
use commands::verify::Differs;
use usage::UsageError;

/// Status of a run that failed, and of a `verify` that found a difference.
const FAILURE_STATUS: u8 = 1;
/// Status of a run that was asked for something that cannot be.
const USAGE_STATUS: u8 = 2;
/// Status of a `verify` that failed: 1 would say that texts differ.
const UNVERIFIED_STATUS: u8 = 3;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let is_verify = matches!(arguments.command, Command::Verify(_));
    match panics::caught(|| run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&with_causes(&error)));
            ExitCode::from(status(&error, is_verify))
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Generate(arguments) => commands::generate::run(&arguments),
        Command::Chat(arguments) => commands::chat::run(&arguments),
        Command::Batch(arguments) => commands::batch::run(&arguments),
        Command::Fill(arguments) => commands::fill::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Model(arguments) => commands::model::run(&arguments),
        Command::Runtime(arguments) => commands::runtime::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Perplexity(arguments) => commands::perplexity::run(&arguments),
        Command::Score(arguments) => commands::score::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(arguments),
    }
}

fn status(error: &anyhow::Error, is_verify: bool) -> u8 {
    if error.is::<UsageError>() {
        USAGE_STATUS
    } else if is_verify && !error.is::<Differs>() {
        UNVERIFIED_STATUS
    } else {
        FAILURE_STATUS
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of a command line, of which nothing has to be opened.
    fn status_of(line: &str) -> u8 {
        let arguments = Arguments::try_parse_from(line.split(' '));
        let command = arguments.unwrap_or_else(|error| panic!("{line}: {error}")).command;
        let is_verify = matches!(command, Command::Verify(_));
        run(command).map_or_else(|error| status(&error, is_verify), |()| 0)
    }

    #[test]
    fn what_could_not_be_verified_is_neither_equal_nor_different() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).expect("written");
            file.display().to_string()
        };
        let (empty, good) = (file("empty.jsonl", "\n"), file("good.jsonl", "{\"text\": \"a\"}\n"));
        let absent = folder.path().join("absent").display().to_string();
        assert_eq!(status_of(&format!("veridraft verify --data {empty}")), UNVERIFIED_STATUS);
        assert_eq!(status_of(&format!("veridraft verify --data {absent}")), UNVERIFIED_STATUS);
        assert_eq!(status_of(&format!("veridraft verify --data {good} --temperature -1")), USAGE_STATUS);
        assert_eq!(status_of(&format!("veridraft bench speculate --data {absent}")), FAILURE_STATUS);
    }

    #[test]
    fn a_difference_is_status_1_also_behind_a_context() {
        let differs = anyhow::Error::from(Differs::new("2 answers differ")).context("lookup");
        assert_eq!(status(&differs, true), FAILURE_STATUS);
        assert_eq!(status(&anyhow::anyhow!("no memory"), true), UNVERIFIED_STATUS);
        assert_eq!(status(&anyhow::anyhow!("no memory"), false), FAILURE_STATUS);
        assert_eq!(status(&UsageError::new("no such flag").into(), true), USAGE_STATUS);
    }

    #[test]
    fn a_command_line_that_cannot_be_is_refused_before_it_runs() {
        let check = |line: &str, expected: &str| {
            let error = Arguments::try_parse_from(line.split(' ')).expect_err(line);
            assert!(error.to_string().contains(expected), "{error}");
        };
        check("veridraft verify", "--data <FILE>");
        check("veridraft verify --data a --limit 0", "`0` is not a count");
        check("veridraft verify --data a --draft magic", "`magic` is unknown");
        check("veridraft verify --data a --verify typical", "invalid value 'typical'");
        check("veridraft bench speculate --data a -n none", "`none` is not a count");
    }
}
