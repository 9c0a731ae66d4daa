//! `veridraft bench`: one file a measurement.

mod cost;
mod draft;
mod forward;
mod forward_report;
mod one_sequence;
mod speculate;
mod throughput;

use clap::{Args, Subcommand};

use draft::DraftArguments;
use forward::ForwardArguments;
use speculate::SpeculateArguments;
use throughput::ThroughputArguments;

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
    /// Compare plain decoding with drafters on your prompts
    ///
    /// Every prompt is answered plainly and by each `--draft`, in turn; the texts must be equal. Reports the speed-up
    /// with its interval, what acceptance and the cost of passes allow at best, and where the time went.
    Speculate(SpeculateArguments),
    /// Predict what drafters would give, from texts that there are already
    ///
    /// Target and draft models read the texts, nothing is generated: how often they agree, tokens a step and, with what
    /// passes cost here, the speed-up at each fixed draft length. Best is text that the target wrote itself, with these
    /// sampling settings: on it the prediction of tokens a step is exact. On other text it is as good as that text is like
    /// the target's: of prompts and of what people wrote otherwise than the target would, models predict less alike, and
    /// text that repeats more or less than the target does misleads about drafters that copy. Of drafters joined by +, `auto` among them, the first that has a guess drafts, those without a
    /// model first; what costs choose between them without a fixed length is not predicted.
    Draft(DraftArguments),
    /// Measure many requests at once: tokens a second, latencies, use of the KV cache
    ///
    /// Every prompt is answered with each `--draft`, plain decoding first, at each `--concurrency`; the texts must be
    /// equal.
    Throughput(ThroughputArguments),
}

/// Runs the command.
pub(crate) fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command.measurement {
        Measurement::Forward(arguments) => forward::run(arguments),
        Measurement::Draft(arguments) => draft::run(arguments),
        Measurement::Speculate(arguments) => speculate::run(arguments),
        Measurement::Throughput(arguments) => throughput::run(arguments),
    }
}
