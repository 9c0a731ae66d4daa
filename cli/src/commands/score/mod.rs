//! `veridraft score`: how likely a model holds given continuations and texts, a JSON line each.
//!
//! Rows are taken as they come and answered in their order, in batches that end where the input pauses, so that a file
//! and a program behind a pipe are served alike: a program that evaluates models keeps one process and asks it again and
//! again. What is wrong with one row is its answer and costs no other row.

mod answer;
mod encode;
mod input;
mod row;

use std::io::IsTerminal;
use std::iter;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use veridraft_engine::evaluation::{Likelihood, likelihoods};
use veridraft_models::LanguageModel;

use self::answer::{Answer, Outcome, Score};
use self::encode::Encoder;
use self::input::{Row, Rows, Source};
use crate::arguments::{ModelArguments, parse_count};
use crate::open_model::BareModel;
use crate::output::piece;
use crate::progress::Spinner;
use crate::report::TokenTexts;
use crate::usage::UsageError;

/// Rows of a batch, at most: so many may wait behind one that takes long.
const BATCH_ROWS: usize = 1024;

/// `veridraft score`
#[derive(Debug, Args)]
pub(crate) struct ScoreArguments {
    #[arg(
        value_name = "FILE",
        help = "JSON lines, plain, .gz or .zst, or - for standard input: {\"context\", \"continuation\"}, \
                {\"context_tokens\", \"continuation_tokens\"} or {\"text\"}, each with an optional \"id\""
    )]
    file: PathBuf,
    /// Rows, at most
    #[arg(long, value_name = "N", value_parser = parse_count)]
    limit: Option<NonZeroUsize>,
    /// Show every scored token with its own log-probability
    #[arg(long)]
    tokens: bool,
    /// Tokens that the model is given at once, at most: contexts are cut from the left, texts into windows
    /// [default: the model's context length]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    max_length: Option<NonZeroUsize>,
    #[command(flatten)]
    model: ModelArguments,
}

/// Runs the command.
pub(crate) fn run(arguments: &ScoreArguments) -> Result<()> {
    let source = Source::open(&arguments.file)?;
    let mut target = BareModel::open(&arguments.model)?;
    let encoder = encoder(&target, arguments.max_length)?;
    let texts = arguments.tokens.then(|| TokenTexts::of(&target.folder.tokenizer));
    let (name, spinner) = (source.name().to_owned(), spinner(&arguments.file));
    let mut writer = Writer { source: name, texts, spinner, rows: 0, refused: 0, tokens: 0 };
    let rows = source.read(encoder, arguments.limit.map_or(usize::MAX, usize::from));
    let start = Instant::now();
    match score_all(&mut *target.model, &rows, &mut writer) {
        // A reader that has gone away wanted no more.
        Err(error) if error.is::<ReaderGone>() => return Ok(()),
        outcome => outcome?,
    }
    rows.end()?;
    let Writer { source, rows, refused, tokens, spinner, .. } = writer;
    drop(spinner);
    let (name, weights, seconds) = (target.name, target.weights, start.elapsed().as_secs_f64());
    eprintln!("{name} ({weights}): {} rows, {tokens} tokens scored in {seconds:.2} s", rows - refused);
    if refused > 0 {
        bail!("{refused} of {rows} rows of {source} are not scored, expected none");
    }
    Ok(())
}

/// Shows a person how far a file is. A program at the other end of a pipe may show its own progress, and answers on the
/// terminal are progress enough.
fn spinner(file: &Path) -> Option<Spinner> {
    let is_seen = file != Path::new("-") && std::io::stderr().is_terminal() && !std::io::stdout().is_terminal();
    is_seen.then(Spinner::start)
}

fn encoder(target: &BareModel, max_length: Option<NonZeroUsize>) -> Result<Encoder> {
    let context_length = target.model.limits().context_length;
    let max_length = max_length.map_or(context_length, usize::from);
    if max_length > context_length {
        let message = format!("`--max-length` is {max_length}, but the model's context holds {context_length} tokens");
        return Err(UsageError::new(message).into());
    }
    let cache = target.model.cache_spec();
    Ok(Encoder {
        tokenizer: target.folder.tokenizer.clone(),
        max_length,
        cache_tokens: cache.blocks * cache.block_tokens,
        vocabulary: target.model.vocabulary(),
    })
}

fn score_all(model: &mut dyn LanguageModel, rows: &Rows, writer: &mut Writer) -> Result<()> {
    while let Some(first) = rows.wait() {
        let batch = iter::once(first).chain(iter::from_fn(|| rows.next_at_hand())).take(BATCH_ROWS);
        let texts = batch.map(|mut row| {
            let windows = row.encoded.as_mut().map(|encoded| std::mem::take(&mut encoded.windows));
            let windows = windows.unwrap_or_default();
            (row, windows)
        });
        likelihoods(model, texts, |row, likelihood| writer.write(row, &likelihood))?;
    }
    Ok(())
}

/// Nobody reads what is written.
#[derive(Debug)]
struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("nobody reads the answers")
    }
}

impl std::error::Error for ReaderGone {}

/// Writes answers and counts them.
struct Writer {
    /// What messages call the input.
    source: String,
    /// Texts of tokens, where each is to be shown.
    texts: Option<TokenTexts>,
    spinner: Option<Spinner>,
    rows: usize,
    refused: usize,
    tokens: usize,
}

impl Writer {
    fn write(&mut self, row: Row, likelihood: &Likelihood) -> Result<()> {
        self.rows += 1;
        let outcome = match row.encoded {
            Ok(encoded) => {
                self.tokens += likelihood.tokens.len();
                Outcome::Score(Score::new(likelihood, encoded.cut, self.texts.as_ref()))
            }
            Err(error) => {
                self.refused += 1;
                eprintln!("error: {} line {}: {error}", self.source, row.line);
                Outcome::Refused { error }
            }
        };
        if let Some(spinner) = &self.spinner {
            spinner.say(&format!("{} rows, {} tokens", self.rows, self.tokens));
        }
        let answer = serde_json::to_string(&Answer { id: row.id, outcome })?;
        if piece(format_args!("{answer}\n"))? { Ok(()) } else { Err(ReaderGone.into()) }
    }
}
