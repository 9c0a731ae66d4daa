//! `veridraft bench`: one file a measurement.

mod forward;
mod forward_report;
mod one_sequence;

use clap::{Args, Subcommand};

use forward::ForwardArguments;

/// `veridraft bench`
#[derive(Debug, Args)]
pub(crate) struct BenchCommand {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// Time one forward pass by its number of rows
    ///
    /// The rows are new tokens of one sequence, with logits for each. Passes of all row counts take turns, so that a
    /// machine that slows down slows all of them. Where the time of one row goes is measured apart, with a profile.
    Forward(ForwardArguments),
}

/// Runs the command.
pub(crate) fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command.measurement {
        Measurement::Forward(arguments) => forward::run(arguments),
    }
}
