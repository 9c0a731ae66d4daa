//! `veridraft bench speculate`: what drafting wins on the user's prompts, and what it could win.
//!
//! Plain decoding and every set-up answer each prompt side by side, a few passes in turn, in an order that rotates, so
//! that a machine that slows down slows all of them. Decoding alone counts: the time from the first token of an answer
//! on. The texts must be equal, or the command fails.

mod measure;
mod statistics;
mod hindsight;
mod report;
mod table;
mod plot;
mod html;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use self::measure::{contexts, measure, timed_passes};
use self::report::{SpeculateReport, Subject};
use super::cost::Costs;
use crate::output::line;
use crate::prompts;
use crate::set_up::{SetUpArguments, SetUps};

#[derive(Debug, Args)]
pub(super) struct SpeculateArguments {
    /// Write a report with plots, one HTML file that needs no other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write exactly one JSON object to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    set_ups: SetUpArguments,
}

/// Runs the command.
pub(super) fn run(arguments: SpeculateArguments) -> Result<()> {
    let prompts = prompts::read(&arguments.set_ups.data, arguments.set_ups.limit)?;
    let mut set_ups = SetUps::open(arguments.set_ups)?;
    set_ups.check(&prompts)?;
    let run = measure(&mut set_ups, &prompts)?;
    let subject = subject(&set_ups);
    let costs = Costs::measure(set_ups.open_target()?, set_ups.draft_max(), contexts(&run.prompts))?;
    let costs = costs.corrected(&timed_passes(&run.prompts));
    let report = SpeculateReport::new(subject, &set_ups.drafts(), &run, &costs);
    if let Some(path) = &arguments.html {
        let page = html::page(&report, &run, &|tokens| set_ups.folder().tokenizer.decode_with_special(tokens));
        std::fs::write(path, page).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    if arguments.json { line(serde_json::to_string(&report)?) } else { line(report) }
}

fn subject(set_ups: &SetUps) -> Subject {
    let open = &set_ups.cases[0].open;
    Subject {
        model: open.name.clone(),
        weights: open.weights.clone(),
        path: open.simd.to_string(),
        seed: open.seed(),
        max_tokens: set_ups.max_tokens(),
        draft_max: set_ups.draft_max(),
    }
}
