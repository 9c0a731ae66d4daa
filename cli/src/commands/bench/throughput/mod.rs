//! `veridraft bench throughput`: how much the engine produces with many requests at once.
//!
//! Every setting, a `--draft` and a concurrency, answers the same prompts (of a conversation, the first turn): as many
//! requests as it may have at once are under way until all are answered. Settings take turns, round by round, and the
//! texts of all must be equal.

mod load;
mod report;

use std::num::NonZeroUsize;

use anyhow::{Result, bail};
use clap::Args;

use self::load::Load;
use self::report::ThroughputReport;
use crate::arguments::parse_count;
use crate::output::line;
use crate::progress::Spinner;
use crate::prompts;
use crate::set_up::{SetUp, SetUpArguments, SetUps};

#[derive(Debug, Args)]
pub(super) struct ThroughputArguments {
    /// Requests under way at once
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "1,4,16", value_parser = parse_count)]
    concurrency: Vec<NonZeroUsize>,
    /// How often every setting answers all prompts; the medians count
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_count)]
    rounds: NonZeroUsize,
    /// Write exactly one JSON object to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    set_ups: SetUpArguments,
}

/// One setting: a case of the set-ups, and requests at once.
#[derive(Clone, Copy, Debug)]
struct Setting {
    case: usize,
    concurrency: usize,
}

/// Runs the command.
pub(super) fn run(arguments: ThroughputArguments) -> Result<()> {
    let prompts = prompts::read(&arguments.set_ups.data, arguments.set_ups.limit)?;
    let mut set_ups = SetUps::open(arguments.set_ups)?;
    set_ups.check(&prompts)?;
    let mut tokens = Vec::new();
    for prompt in &prompts {
        tokens.extend(set_ups.conversation(prompt).ask(set_ups.folder())?);
    }
    // Plain decoding is always there; named as a draft it would be there twice.
    let cases = (0..set_ups.cases.len()).filter(|&case| case == 0 || set_ups.cases[case].draft != "none");
    let settings: Vec<_> = cases
        .flat_map(|case| arguments.concurrency.iter().map(move |n| Setting { case, concurrency: n.get() }))
        .collect();
    let mut loads: Vec<Vec<Load>> = vec![Vec::new(); settings.len()];
    let spinner = Spinner::start();
    for round in 0..arguments.rounds.get() {
        for turn in 0..settings.len() {
            // In an order that rotates, so that no setting always runs behind the same one.
            let index = (round + turn) % settings.len();
            let setting = settings[index];
            let SetUp { draft, open } = &mut set_ups.cases[setting.case];
            spinner.say(&format!("round {}, {draft}, {} at once", round + 1, setting.concurrency));
            loads[index].push(load::run(open, &tokens, setting.concurrency)?);
        }
    }
    drop(spinner);
    check_texts(&loads)?;
    let report = ThroughputReport::new(&set_ups, &settings, &loads);
    if arguments.json { line(serde_json::to_string(&report)?) } else { line(report) }
}

/// The texts of every setting and round are those of the first.
fn check_texts(loads: &[Vec<Load>]) -> Result<()> {
    let expected = &loads[0][0].answers;
    for load in loads.iter().flatten() {
        if let Some(prompt) = load.answers.iter().zip(expected).position(|(found, expected)| found != expected) {
            bail!("the answer to prompt {} depends on what ran beside it, expected the same text", prompt + 1);
        }
    }
    Ok(())
}
