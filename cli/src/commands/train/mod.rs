//! `veridraft train`: one file a kind of model.

mod ngram;

use clap::{Args, Subcommand};

use ngram::NgramArguments;

/// `veridraft train`
#[derive(Debug, Args)]
pub(crate) struct TrainCommand {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Train an n-gram model on texts, in seconds
    ///
    /// The text may be in any language; it is cut into tokens by the tokenizer of the model to draft for, and the file
    /// serves that tokenizer alone. A plain file is one document, and so is a row of a .jsonl file; .gz and .zst are
    /// unpacked.
    Ngram(NgramArguments),
}

/// Runs the command.
pub(crate) fn run(command: &TrainCommand) -> anyhow::Result<()> {
    match &command.kind {
        Kind::Ngram(arguments) => ngram::run(arguments),
    }
}
