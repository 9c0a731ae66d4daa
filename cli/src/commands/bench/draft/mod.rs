//! `veridraft bench draft`: how drafters would do on given texts, by teacher forcing; nothing is generated.
//!
//! The texts are read once by the target, with every draft model beside it; drafters that guess from text are asked at
//! every position of it. What that predicts, and for which text exactly, is said in `engine/src/evaluation/fitness/`. Costs
//! are measured here: passes of the target by rows, and drafting in turn with passes, so that it finds caches as cold as it
//! would between them.

mod open;
mod texts;
mod timing;
mod predict;
mod report;
mod table;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use self::open::Opened;
use self::predict::{Measured, forward, predictions};
use self::report::{FitnessReport, Subject};
use self::texts::{Bounds, Texts};
use self::timing::Subject as Timing;
use super::cost::Costs;
use super::one_sequence::OneSequence;
use crate::arguments::{ModelArguments, SamplingArguments, parse_count};
use crate::draft_spec::DraftSpec;
use crate::open_model::{BareModel, check_sampling};
use crate::output::line;
use crate::progress::Spinner;
use crate::prompts;
use crate::usage::UsageError;

#[derive(Debug, Args)]
pub(super) struct DraftArguments {
    /// Texts as JSON lines, plain, .gz or .zst, with `turns`, `question`, `messages`, `prompt` or `text`; several times
    #[arg(long, value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// Rows of each file, at most
    #[arg(long, value_name = "N", value_parser = parse_count)]
    limit: Option<NonZeroUsize>,
    /// The field with the answer, which alone is scored; a row without one is scored itself [default: the first there is
    /// of canonical_solution, answer, completion, response, and a last message of the assistant]
    #[arg(long, value_name = "NAME")]
    answer_field: Option<String>,
    /// Who drafts, as for `generate`; several times
    #[arg(long, value_name = "SPEC", default_value = "auto")]
    draft: Vec<DraftSpec>,
    /// The longest draft to predict for
    #[arg(long, value_name = "N", default_value = "8", value_parser = parse_draft_length)]
    draft_max: NonZeroUsize,
    /// Scored tokens of an answer, or of a text without one, at most
    #[arg(short = 'n', long, value_name = "N", default_value = "256", value_parser = parse_count)]
    max_tokens: NonZeroUsize,
    /// System message, where the chat template takes one
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Write exactly one JSON object to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
}

/// Runs the command.
pub(super) fn run(arguments: DraftArguments) -> Result<()> {
    check(&arguments)?;
    let DraftArguments { data, limit, answer_field, draft, model, sampling, .. } = &arguments;
    let rows = prompts::read_answered(data, *limit, answer_field.as_deref())?;
    let draft_max = arguments.draft_max.get();
    let mut opened = Opened::open(model, draft, sampling)?;
    let bounds = Bounds { max_tokens: arguments.max_tokens.get(), room: opened.room() };
    let texts = Texts::encode(&rows, &opened.target.folder, arguments.system.as_deref(), bounds)?;
    texts.note();
    let spinner = Spinner::start();
    let found = opened.observe(&texts.windows, draft_max, &spinner)?;
    spinner.say("what passes and drafting take");
    let Opened { target: BareModel { name, weights, folder, model: target }, simd, sampling, drafts } = opened;
    let vocabulary = target.vocabulary();
    let (mut sequence, mut timed) = (OneSequence::new(target)?, Vec::new());
    for (draft, fitness) in drafts.into_iter().zip(&found) {
        let mut drafters = draft.into_drafters(&folder, vocabulary)?;
        let subject = Timing { texts: &texts.windows, fitness, sampling: &sampling, draft_max };
        timed.push(timing::time(&mut sequence, &mut drafters, &subject)?);
    }
    let costs = Costs::measure(sequence.model, draft_max, texts.contexts())?;
    drop(spinner);
    let measured = Measured { costs: &costs, context: texts.middle(), draft_max };
    let reports = draft.iter().zip(&found).zip(&timed);
    let drafts =
        reports.map(|((draft, found), timed)| predictions(draft.to_string(), found, timed, &measured)).collect();
    let subject = Subject::new([name, weights, simd], &sampling, &texts);
    let report = FitnessReport { subject, draft_max, forward: forward(&measured), drafts };
    if arguments.json { line(serde_json::to_string(&report)?) } else { line(report) }
}

fn check(arguments: &DraftArguments) -> Result<()> {
    check_sampling(&arguments.sampling)?;
    let DraftArguments { sampling, draft, .. } = arguments;
    let reason = if !sampling.stop.is_empty() || sampling.ignore_eos {
        "`--stop` and `--ignore-eos` say where generating ends, but `bench draft` generates nothing"
    } else if draft.iter().any(DraftSpec::is_none) {
        "`--draft none` drafts nothing, expected a drafter; plain decoding is what all are compared with"
    } else {
        return Ok(());
    };
    Err(UsageError::new(reason).into())
}

/// A length of which all drafts can be asked about.
fn parse_draft_length(text: &str) -> Result<NonZeroUsize, String> {
    const MOST: usize = 64;
    let length = text.parse().ok().filter(|length: &NonZeroUsize| length.get() <= MOST);
    length.ok_or_else(|| format!("`{text}` is not a draft length, expected 1 to {MOST}"))
}
