//! `veridraft train ngram`: texts to a file of an n-gram model.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::HumanBytes;
use rayon::prelude::*;
use veridraft_engine::ngram::{HeldOut, MAX_ORDER, NgramConfig, train};
use veridraft_export::Weights;
use veridraft_models::{ModelFolder, TokenId};

use crate::model_store;
use crate::ngram_file::{self, TokenIds};
use crate::texts::{check_field, read_documents};
use crate::unfinished_file::UnfinishedFile;

/// `veridraft train ngram`
#[derive(Debug, Args)]
pub(crate) struct NgramArguments {
    /// Texts to learn from: plain files, or .jsonl; either may be packed (.gz, .zst)
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<PathBuf>,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Tokens of the longest n-grams: more foretell the training text better, and make a larger file
    #[arg(long, value_name = "N", default_value = "4", value_parser = parse_order)]
    order: usize,
    /// The model to draft for: a name, a model folder, a GGUF file or a Hugging Face folder [default: smollm2-135m]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// The field of .jsonl rows that holds the text [default: text]
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// A text kept apart, of which the perplexity is told
    #[arg(long, value_name = "FILE")]
    held_out: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(arguments: &NgramArguments) -> Result<()> {
    let start = Instant::now();
    check_field(arguments.field.as_deref(), arguments.texts.iter().chain(&arguments.held_out))?;
    let unfinished = UnfinishedFile::beside(&arguments.output)?;
    let texts = read_all(&arguments.texts, arguments)?;
    let held_out_texts = read_all(arguments.held_out.as_slice(), arguments)?;
    let folder = ModelFolder::open(model_store::resolve(arguments.model.as_deref(), Weights::Auto)?.path)?;
    let ids = TokenIds::of(&folder)?;
    let documents = encode(&texts, &folder)?;
    let tokens: usize = documents.iter().map(Vec::len).sum();
    if tokens == 0 {
        bail!("the texts have no tokens, expected some");
    }
    let config = NgramConfig { order: arguments.order, vocabulary: ids.vocabulary, tokenizer: ids.tokenizer };
    unfinished.finish(train(&documents, &config)?.bytes())?;
    // From here on the file speaks, as whoever drafts with it will find it.
    let model = ngram_file::open(&arguments.output, &ids)?;
    let held_out = encode(&held_out_texts, &folder)?;
    let verdict = arguments.held_out.as_ref().map(|path| describe(path, &model.held_out(&held_out)));
    eprintln!(
        "`{}`: {} document{}, {tokens} tokens, {} n-grams of order 1 to {}, {}, {:.1} s{}",
        arguments.output.display(),
        documents.len(),
        if documents.len() == 1 { "" } else { "s" },
        join(model.ngram_counts()),
        model.order(),
        HumanBytes(model.bytes().len() as u64),
        start.elapsed().as_secs_f64(),
        verdict.unwrap_or_default(),
    );
    Ok(())
}

fn read_all(paths: &[PathBuf], arguments: &NgramArguments) -> Result<Vec<String>> {
    let mut documents = Vec::new();
    for path in paths {
        documents.extend(read_documents(path, arguments.field.as_deref())?);
    }
    Ok(documents)
}

/// The tokens of each text, as those of a prompt without a chat template.
fn encode(texts: &[String], folder: &ModelFolder) -> Result<Vec<Vec<TokenId>>> {
    let encode = |text: &String| {
        let tokens = folder.tokenizer.encode_raw(text)?;
        folder.tokenizer.check_ids(&tokens, folder.config.vocab_size)?;
        Ok(tokens)
    };
    texts.par_iter().map(encode).collect()
}

fn describe(path: &Path, held_out: &HeldOut) -> String {
    let HeldOut { tokens, perplexity, likeliest } = held_out;
    let path = path.display();
    format!("; `{path}`: {tokens} tokens, perplexity {perplexity:.1}, {:.1} % are the likeliest", 100.0 * likeliest)
}

fn join(counts: &[u64]) -> String {
    counts.iter().map(u64::to_string).collect::<Vec<_>>().join(" + ")
}

fn parse_order(text: &str) -> Result<usize, String> {
    let order = text.parse().ok().filter(|order| (1..=MAX_ORDER).contains(order));
    order.ok_or_else(|| format!("`{text}` is not an order, expected 1 to {MAX_ORDER}"))
}
