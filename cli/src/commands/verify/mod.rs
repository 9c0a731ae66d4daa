//! `veridraft verify`: proves on the user's prompts that drafting leaves the text alone.
//!
//! Coupled verification promises the very tokens of plain decoding, so answers are compared token by token. Rejection
//! sampling promises their distribution, so samples are compared by a statistical test; at temperature 0 a distribution
//! is one text, and tokens are compared again.

mod compare;
mod distribution;
mod logits;
mod report;

use std::num::NonZeroUsize;

use anyhow::Result;
use clap::{Args, ValueEnum};
use veridraft_engine::Verification;

use self::compare::compare;
use self::distribution::test;
use self::report::VerifyReport;
use crate::arguments::parse_count;
use crate::output::line;
use crate::prompts;
use crate::set_up::{SetUpArguments, SetUps};

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// When drafted tokens are accepted, and so what is proved
    #[arg(long, value_name = "RULE", default_value = "coupled")]
    verify: Rule,
    /// Samples of each prompt, plain and drafted, for the test of `--verify rejection`
    #[arg(long, value_name = "N", default_value = "64", value_parser = parse_count)]
    samples: NonZeroUsize,
    /// Write exactly one JSON object to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    set_ups: SetUpArguments,
}

/// The rules that promise something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rule {
    /// Same seed, same text: compared token by token
    Coupled,
    /// Same distribution: tested by samples
    Rejection,
}

/// The texts are not those of plain decoding: exit status 1.
#[derive(Debug)]
pub(crate) struct Differs(String);

impl Differs {
    /// One line: what differs.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for Differs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Differs {}

/// Runs the command; what differs is an error of the type [`Differs`], and all others are reasons why nothing is proved.
pub(crate) fn run(arguments: VerifyArguments) -> Result<()> {
    let prompts = prompts::read(&arguments.set_ups.data, arguments.set_ups.limit)?;
    let mut set_ups = SetUps::open(arguments.set_ups)?;
    set_ups.check(&prompts)?;
    let is_greedy = set_ups.cases[0].open.request(Vec::new()).sampling.is_greedy();
    let report = match arguments.verify {
        Rule::Rejection if !is_greedy => test(&mut set_ups, &prompts, arguments.samples.get())?,
        Rule::Rejection => compare(&mut set_ups, &prompts, Verification::Rejection)?,
        Rule::Coupled => compare(&mut set_ups, &prompts, Verification::Coupled)?,
    };
    if arguments.json {
        line(serde_json::to_string(&report)?)?
    } else {
        line(&report)?
    }
    outcome(&report).map_err(Into::into)
}

fn outcome(report: &VerifyReport) -> Result<(), Differs> {
    let unlike = report.distributions.iter().filter(|distribution| distribution.differs).count();
    let different = report.differences.len();
    if different > 0 {
        return Err(Differs::new(format!("{different} answers differ from plain decoding, expected none")));
    }
    if unlike > 0 {
        return Err(Differs::new(format!(
            "{unlike} set-ups differ from plain decoding in distribution, expected none"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::report::tests::{fixed_difference, fixed_distribution};
    use super::*;

    #[test]
    fn equal_texts_are_no_error_and_different_ones_are() {
        let equal = VerifyReport { prompts: 2, tokens: 10, ..VerifyReport::default() };
        assert!(outcome(&equal).is_ok());
        let likely = VerifyReport { distributions: vec![fixed_distribution(0.2)], ..equal.clone() };
        assert!(outcome(&likely).is_ok());
        let check = |report: VerifyReport, expected: &str| {
            assert_eq!(outcome(&report).expect_err("it differs").to_string(), expected);
        };
        let differing = VerifyReport { differences: vec![fixed_difference()], ..equal.clone() };
        check(differing, "1 answers differ from plain decoding, expected none");
        let unlikely = VerifyReport { distributions: vec![fixed_distribution(0.0005)], ..equal };
        check(unlikely, "1 set-ups differ from plain decoding in distribution, expected none");
    }
}
