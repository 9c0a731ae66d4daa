//! Plain decoding against prompt lookup with the default model, on prompts from files.
//!
//! `cargo bench -p veridraft-benches --bench speculation -- [--tokens N] [--draft-max N] NAME=FILE[:COUNT] ...`
//!
//! A file is JSON lines, each with `turns` (Spec-Bench; the first turn is asked) or `text` (a rendered prompt). Every
//! prompt is generated plainly and with lookup, one after the other, from the same cached prompt, so that a drift of
//! the machine's speed falls on both; the texts must be equal. Prints a Markdown table.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use veridraft_engine::drafters::Lookup;
use veridraft_engine::{Engine, EngineConfig, Finished, Parts, Request, StopConditions};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, CausalModelConfig, Message, ModelFolder, TokenId, cache};

/// Rounds a prompt: each is one plain and one drafted generation; the faster of each counts.
const ROUNDS: usize = 2;

struct Settings {
    tokens: usize,
    draft_max: usize,
    sets: Vec<(String, String, usize)>,
}

/// One prompt's generations of one kind.
#[derive(Clone, Copy)]
struct Measured {
    time: Duration,
    tokens: usize,
    forwards: usize,
    emitted: usize,
}

fn main() -> Result<()> {
    let settings = settings(std::env::args().skip(1).filter(|argument| argument != "--bench"))?;
    if settings.sets.is_empty() {
        println!("no prompts given; usage: -- [--tokens N] [--draft-max N] NAME=FILE[:COUNT] ...");
        return Ok(());
    }
    let path = cache::cache_directory()?.join("models/smollm2-135m/auto");
    let folder = ModelFolder::open(&path).context("run `veridraft model pull smollm2-135m` first")?;
    let mut engine = open(&folder)?;
    println!("| prompts | plain, tokens/s | lookup, tokens/s | speed-up | τ |");
    println!("|---|---:|---:|---:|---:|");
    for (name, file, count) in &settings.sets {
        let prompts = prompts(&folder, file, *count)?;
        ensure!(!prompts.is_empty(), "`{file}` has no prompts");
        println!("{}", row(&mut engine, &folder, name, &prompts, &settings)?);
    }
    Ok(())
}

fn settings(mut arguments: impl Iterator<Item = String>) -> Result<Settings> {
    let mut settings = Settings { tokens: 128, draft_max: 8, sets: Vec::new() };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().context("a number is missing")?.parse().context("expected a number");
        match argument.as_str() {
            "--tokens" => settings.tokens = number()?,
            "--draft-max" => settings.draft_max = number()?,
            _ => {
                let Some((name, file)) = argument.split_once('=') else { bail!("`{argument}`, expected NAME=FILE") };
                let (file, count) = match file.rsplit_once(':') {
                    Some((file, count)) => (file, count.parse().context("expected a count behind `:`")?),
                    None => (file, usize::MAX),
                };
                settings.sets.push((name.to_owned(), file.to_owned(), count));
            }
        }
    }
    Ok(settings)
}

fn open(folder: &ModelFolder) -> Result<Engine> {
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let start = Instant::now();
    let parts = Parts {
        model: Box::new(CausalModel::open(&runtime, &folder.onnx_path, CausalModelConfig::default())?),
        decoder: Arc::new(folder.tokenizer.clone()),
        drafters: vec![Box::new(Lookup::default())],
        clock: Box::new(move || start.elapsed()),
    };
    Ok(Engine::new(parts, EngineConfig::default()))
}

fn prompts(folder: &ModelFolder, file: &str, count: usize) -> Result<Vec<Vec<TokenId>>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{file}`"))?;
    let prompt = |line: &str| -> Result<Vec<TokenId>> {
        let line: Value = serde_json::from_str(line)?;
        if let Some(text) = line["text"].as_str() {
            return Ok(folder.tokenizer.encode_chat(text)?);
        }
        let turn = line["turns"][0].as_str().context("expected `turns` or `text`")?;
        let template = folder.chat_template.as_ref().context("the model has no chat template")?;
        let text = template.render(&[Message::new("user", turn)], true, std::time::UNIX_EPOCH)?;
        Ok(folder.tokenizer.encode_chat(&text)?)
    };
    text.lines().take(count).map(prompt).collect()
}

fn row(
    engine: &mut Engine,
    folder: &ModelFolder,
    name: &str,
    prompts: &[Vec<TokenId>],
    settings: &Settings,
) -> Result<String> {
    let (mut plain, mut lookup) = (Vec::new(), Vec::new());
    for prompt in prompts {
        let request = Request {
            stop: StopConditions { eos_ids: folder.generation.eos_token_ids.clone(), ..StopConditions::default() },
            ..Request::new(prompt.clone(), settings.tokens)
        };
        let (one, other) = measure(engine, &request, settings.draft_max)?;
        plain.push(one);
        lookup.push(other);
    }
    let speed = |runs: &[Measured]| {
        let time: f64 = runs.iter().map(|run| run.time.as_secs_f64()).sum();
        runs.iter().map(|run| run.tokens).sum::<usize>() as f64 / time
    };
    let emitted: usize = lookup.iter().map(|run| run.emitted).sum();
    let forwards: usize = lookup.iter().map(|run| run.forwards).sum();
    let (plain, lookup) = (speed(&plain), speed(&lookup));
    let tau = emitted as f64 / forwards as f64;
    Ok(format!("| {} {name} | {plain:.1} | {lookup:.1} | {:.2} | {tau:.2} |", prompts.len(), lookup / plain))
}

/// The prompt once into the cache, then plain and drafted generations in turn.
fn measure(engine: &mut Engine, request: &Request, draft_max: usize) -> Result<(Measured, Measured)> {
    let mut id = engine.add(Request { max_tokens: 1, ..request.clone() })?;
    run(engine)?;
    let mut best: [Option<(Measured, Vec<TokenId>)>; 2] = [None, None];
    for _ in 0..ROUNDS {
        for (index, draft_max) in [0, draft_max].into_iter().enumerate() {
            id = engine.add_after(id, Request { draft_max, ..request.clone() })?;
            run(engine)?;
            let finished = engine.inspect(id).context("the sequence was added")?;
            let run = measured(&finished);
            if best[index].as_ref().is_none_or(|(fastest, _)| run.time < fastest.time) {
                best[index] = Some((run, finished.token_ids));
            }
        }
    }
    engine.remove(id);
    let [Some((plain, plain_tokens)), Some((lookup, lookup_tokens))] = best else { bail!("nothing was measured") };
    ensure!(plain_tokens == lookup_tokens, "lookup changed the text");
    Ok((plain, lookup))
}

fn run(engine: &mut Engine) -> Result<()> {
    while engine.has_work() {
        engine.step()?;
    }
    Ok(())
}

/// The first pass computes one row of the prompt, so it is a decoding step like the others.
fn measured(finished: &Finished) -> Measured {
    let report = &finished.report;
    Measured {
        time: report.prefill + report.decode,
        tokens: finished.token_ids.len(),
        forwards: report.forwards,
        emitted: report.emitted,
    }
}
