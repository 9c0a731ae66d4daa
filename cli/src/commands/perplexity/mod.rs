//! `veridraft perplexity`: how well a model foretells texts.
//!
//! Figures of several programs can be compared only by one recipe, so the recipe and its parameters stand in every
//! report. What a recipe is and how figures are summed is in `veridraft_engine::evaluation`; here files are read, models
//! are opened and reports are written.

mod choice;
mod masked;
mod measure;
mod report;
mod sets;
mod table;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use veridraft_export::Weights;
use veridraft_models::ModelFolder;

use self::choice::{check_choice, check_room, recipe};
use self::masked::of_masked;
use self::measure::{measure, measure_ngram};
use self::report::{PerplexityReport, RecipeReport, Subject};
use self::sets::{check_scored, encode, read};
use crate::arguments::{ModelArguments, parse_count};
use crate::draft_spec::model_and_weights;
use crate::model_store;
use crate::ngram_file::{self, TokenIds};
use crate::open_model::{BareModel, have_same_tokens, open_bare, session};
use crate::output::line;
use crate::texts::check_field;
use crate::usage::UsageError;

#[derive(Debug, Args)]
pub(crate) struct PerplexityArguments {
    /// Texts: plain files, or .jsonl with one in each row; either may be packed (.gz, .zst). Each file is a set of its own
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How texts are cut and what of them is scored
    #[arg(long, value_name = "RECIPE", default_value = "hf")]
    recipe: RecipeName,
    /// Tokens of a window [default: hf the model's context, at most 2048; llama.cpp 512; lm-eval the model's context]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    window: Option<NonZeroUsize>,
    /// Tokens from one window of hf to the next [default: half a window]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    stride: Option<NonZeroUsize>,
    /// Tokens of each file, at most
    #[arg(long, value_name = "N", value_parser = parse_count)]
    max_tokens: Option<NonZeroUsize>,
    /// Rows of each .jsonl file, at most
    #[arg(long, value_name = "N", value_parser = parse_count)]
    limit: Option<NonZeroUsize>,
    /// The field of .jsonl rows that holds the text [default: text]
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// Show the N tokens that were least expected
    #[arg(long, value_name = "N", value_parser = parse_count)]
    top: Option<NonZeroUsize>,
    /// Run a second model, MODEL or MODEL:WEIGHTS, beside the first and tell how alike they are
    #[arg(long, value_name = "OTHER")]
    compare: Option<String>,
    /// The model whose tokenizer an n-gram file given by -m was trained with [default: smollm2-135m]
    #[arg(long, value_name = "MODEL")]
    tokenizer: Option<String>,
    /// Write exactly one JSON object to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArguments,
}

/// The recipes by the names of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RecipeName {
    /// Hugging Face: overlapping windows, each scores what is new in it
    Hf,
    /// llama-perplexity: chunks that share nothing, second half scored
    #[value(name = "llama.cpp")]
    LlamaCpp,
    /// lm-evaluation-harness: each row or plain file as a whole, with figures by words and bytes
    LmEval,
    /// Masked models: each token by itself behind a mask (Salazar et al. 2020)
    Pll,
    /// The same, with the rest of its word masked as well (Kauf and Ivanova 2023)
    PllWord,
}

/// Runs the command.
pub(crate) fn run(arguments: &PerplexityArguments) -> Result<()> {
    check_field(arguments.field.as_deref(), arguments.files.iter())?;
    let ngram = arguments.model.model.as_deref().map(Path::new).filter(|path| ngram_file::is_ngram(path));
    check_choice(arguments, ngram.is_some())?;
    let report = match (ngram, arguments.recipe.masking()) {
        (_, Some(masking)) => of_masked(arguments, masking)?,
        (Some(path), None) => of_ngram(arguments, path)?,
        (None, None) => of_model(arguments)?,
    };
    if arguments.json { line(serde_json::to_string(&report)?) } else { line(report) }
}

fn of_model(arguments: &PerplexityArguments) -> Result<PerplexityReport> {
    let sources = read(arguments)?;
    let mut wanted = vec![(arguments.model.model.as_deref(), arguments.model.weights)];
    wanted.extend(arguments.compare.as_deref().map(model_and_weights).map(|(name, weights)| (Some(name), weights)));
    let mut models = open_bare(&wanted, &arguments.model)?;
    check_vocabularies(&models)?;
    let BareModel { name, weights, folder, model } = &models[0];
    let recipe = recipe(arguments, &folder.tokenizer, model.limits().context_length)?;
    let sets = encode(sources, arguments, folder, model.vocabulary())?;
    check_scored(&sets, arguments.recipe.name(), recipe.least_tokens())?;
    for BareModel { name, model, .. } in &models {
        check_room(&recipe, &sets, name, &**model)?;
    }
    let subject = Subject {
        model: name.clone(),
        weights: weights.clone(),
        path: Some(session(&arguments.model)?.simd.to_string()),
        order: None,
    };
    let described = RecipeReport::new(arguments, Some(&recipe));
    let mut measured = measure(&mut models, &recipe, &sets, arguments.top.map_or(0, usize::from))?;
    let comparison = measured.comparison(&models);
    let report = PerplexityReport::new(subject, described, &sets, &measured.sets);
    let worst = arguments.top.map(|_| measured.worst_tokens(&sets, &models[0].folder.tokenizer));
    Ok(PerplexityReport { worst, comparison, ..report })
}

fn of_ngram(arguments: &PerplexityArguments, path: &Path) -> Result<PerplexityReport> {
    let sources = read(arguments)?;
    let folder = ModelFolder::open(model_store::resolve(arguments.tokenizer.as_deref(), Weights::Auto)?.path)?;
    let ids = TokenIds::of(&folder)?;
    let model = ngram_file::open_any(path)?;
    ngram_file::check_ids(path, &model, &ids)
        .context("`--tokenizer` names another model than the n-gram file was trained for")?;
    let sets = encode(sources, arguments, &folder, model.vocabulary())?;
    check_scored(&sets, arguments.recipe.name(), 1)?;
    let subject = Subject {
        model: path.display().to_string(),
        weights: "ngram".to_owned(),
        path: None,
        order: Some(model.order()),
    };
    let described = RecipeReport::new(arguments, None);
    let measured = measure_ngram(&model, &sets, arguments.top.map_or(0, usize::from))?;
    let report = PerplexityReport::new(subject, described, &sets, &measured.sets);
    let worst = arguments.top.map(|_| measured.worst_tokens(&sets, &folder.tokenizer));
    Ok(PerplexityReport { worst, ..report })
}

/// Two models can be compared where a token id means the same to both.
fn check_vocabularies(models: &[BareModel]) -> Result<()> {
    let [one, other] = models else { return Ok(()) };
    let (found, expected) = (other.model.vocabulary(), one.model.vocabulary());
    if found != expected {
        let message =
            format!("`--compare {}` has a vocabulary of {found}, but `{}` one of {expected}", other.name, one.name);
        bail!(UsageError::new(message));
    }
    if !have_same_tokens(&one.folder, &other.folder)? {
        let message =
            format!("`--compare {}` has another tokenizer than `{}`, expected the same", other.name, one.name);
        bail!(UsageError::new(message));
    }
    Ok(())
}
