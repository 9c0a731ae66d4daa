//! The default model against reference outputs, and speculation against plain decoding on real text.
//!
//! Ignored by default: run `veridraft model pull smollm2-135m --weights FORMAT` for every format, then
//! `cargo test -p veridraft-tests --test real_model -- --ignored --test-threads=1`.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use veridraft_engine::drafters::{Lookup, Suffix};
use veridraft_engine::{CostModel, Engine, EngineConfig, Finished, Parts, Request, SamplingConfig, StopConditions};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{
    Batch, BlockId, CausalModel, CausalModelConfig, LanguageModel, Message, ModelFolder, TokenId, cache,
};
use veridraft_tests::shared_data;

#[derive(Deserialize)]
struct Greedy {
    text: String,
    prompt_ids: Vec<TokenId>,
    greedy_ids: Vec<TokenId>,
    margin: Vec<f32>,
}

#[derive(Deserialize)]
struct Perplexity {
    token_ids_first_256: Vec<TokenId>,
    logprob_of_next_first_255: Vec<f64>,
}

/// A format of weights, and how much of the real text it is tried on.
struct Trial {
    weights: &'static str,
    articles: usize,
    new_tokens: usize,
}

/// What people run is tried most; the others multiply by the same kernels.
const TRIALS: [Trial; 4] = [
    Trial { weights: "auto", articles: 40, new_tokens: 64 },
    Trial { weights: "q4", articles: 8, new_tokens: 24 },
    Trial { weights: "q8", articles: 8, new_tokens: 24 },
    Trial { weights: "f32", articles: 8, new_tokens: 24 },
];

#[derive(Deserialize)]
struct Question {
    turns: Vec<String>,
}

fn folder(weights: &str) -> Result<ModelFolder> {
    let path: PathBuf = cache::cache_directory()?.join("models/smollm2-135m").join(weights);
    let command = format!("veridraft model pull smollm2-135m --weights {weights}");
    ensure!(path.exists(), "`{}` is missing; run `{command}`", path.display());
    Ok(ModelFolder::open(path)?)
}

fn model(folder: &ModelFolder) -> Result<CausalModel> {
    let runtime = Runtime::load(&LibraryChoice::default())?;
    Ok(CausalModel::open(&runtime, &folder.onnx_path, CausalModelConfig::default())?)
}

fn engine(folder: &ModelFolder) -> Result<Engine> {
    let start = Instant::now();
    let parts = Parts {
        model: Box::new(model(folder)?),
        decoder: Arc::new(folder.tokenizer.clone()),
        drafters: vec![Box::new(Suffix::default()), Box::new(Lookup::default())],
        costs: CostModel::default(),
        clock: Box::new(move || start.elapsed()),
    };
    Ok(Engine::new(parts, EngineConfig::default()))
}

fn request(folder: &ModelFolder, prompt: &[TokenId], max_tokens: usize) -> Request {
    Request {
        stop: StopConditions { eos_ids: folder.generation.eos_token_ids.clone(), ..StopConditions::default() },
        ..Request::new(prompt.to_vec(), max_tokens)
    }
}

fn json_lines<T: DeserializeOwned>(path: PathBuf) -> Result<Vec<T>> {
    fs::read_to_string(path)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Runs a request on what earlier ones left in the cache.
fn run(engine: &mut Engine, request: Request) -> Result<Finished> {
    let id = engine.add(request)?;
    while engine.has_work() {
        engine.step()?;
    }
    Ok(engine.remove(id).expect("it was added"))
}

#[test]
#[ignore = "needs the default model"]
fn greedy_tokens_agree_with_the_reference() -> Result<()> {
    let Some(path) = shared_data("reference/smollm2-135m/chat/greedy.jsonl") else { return Ok(()) };
    let folder = folder("f32")?;
    let mut engine = engine(&folder)?;
    let references: Vec<Greedy> = json_lines(path)?;
    assert_eq!(references.len(), 16);
    let mut compared = 0;
    for reference in &references {
        assert_eq!(folder.tokenizer.encode_raw(&reference.text)?, reference.prompt_ids);
        let stop = StopConditions::default();
        let request = Request { stop, ..request(&folder, &reference.prompt_ids, reference.greedy_ids.len()) };
        let found = run(&mut engine, request)?.token_ids;
        let near_tie = reference.margin.iter().position(|&margin| margin < 0.01).unwrap_or(found.len());
        assert_eq!(found[..near_tie], reference.greedy_ids[..near_tie], "{}", reference.text);
        compared += near_tie;
    }
    assert!(compared >= 16, "near ties leave {compared} tokens to compare");
    println!("{compared} greedy tokens of {} prompts are equal", references.len());
    Ok(())
}

#[test]
#[ignore = "needs the default model"]
fn log_probabilities_agree_with_the_reference() -> Result<()> {
    let Some(path) = shared_data("reference/smollm2-135m/chat/perplexity.json") else { return Ok(()) };
    let reference: Perplexity = serde_json::from_slice(&fs::read(path)?)?;
    let tokens = reference.token_ids_first_256;
    let rows = tokens.len() as u32;
    let batch = Batch {
        token_ids: tokens.clone(),
        positions: (0..rows).collect(),
        slot_mapping: (0..rows).collect(),
        block_tables: vec![(0..rows / 16).map(BlockId).collect()],
        query_starts: vec![0, rows],
        sources: Vec::new(),
        tree_mask: None,
        logit_rows: (0..rows).collect(),
    };
    let logits = model(&folder("f32")?)?.forward(&batch)?;
    let mut worst = 0.0_f64;
    for (index, expected) in reference.logprob_of_next_first_255.iter().enumerate() {
        let found = log_probability(logits.row(index), tokens[index + 1]);
        worst = worst.max((found - expected).abs());
    }
    println!("largest difference of a log-probability: {worst:.2e}");
    assert!(worst < 2e-3, "{worst}");
    Ok(())
}

#[test]
#[ignore = "needs the default model"]
fn drafts_give_the_text_of_plain_decoding_with_weights_of_every_format() -> Result<()> {
    for trial in TRIALS {
        let folder = folder(trial.weights)?;
        let prompts = prompts(&folder, trial.articles)?;
        let mut engine = engine(&folder)?;
        let mut accepted = 0;
        for prompt in &prompts {
            accepted += compare(&folder, &mut engine, prompt, &trial)?;
        }
        println!("{}: {} prompts, {accepted} drafted tokens accepted", trial.weights, prompts.len());
        assert!(accepted > 0, "nothing is drafted, so nothing was tested");
    }
    Ok(())
}

/// A repetitive one, the reference's conversations, and articles to be summarised.
fn prompts(folder: &ModelFolder, articles: usize) -> Result<Vec<Vec<TokenId>>> {
    let mut prompts = vec![folder.tokenizer.encode_raw("One, two, three, one, two, three, one,")?];
    if let Some(path) = shared_data("reference/smollm2-135m/chat/greedy.jsonl") {
        prompts.extend(json_lines::<Greedy>(path)?.into_iter().map(|reference| reference.prompt_ids));
    }
    if let Some(path) = shared_data("data/spec_bench/summarization.jsonl") {
        let template = folder.chat_template.as_ref().expect("the default model chats");
        for question in json_lines::<Question>(path)?.iter().take(articles) {
            let text = template.render(&[Message::new("user", &question.turns[0])], true, std::time::UNIX_EPOCH)?;
            prompts.push(folder.tokenizer.encode_chat(&text)?);
        }
    }
    Ok(prompts)
}

/// Decodes plainly and with drafts, greedily and sampled; gives the number of drafted tokens that were accepted.
fn compare(folder: &ModelFolder, engine: &mut Engine, prompt: &[TokenId], trial: &Trial) -> Result<usize> {
    let mut accepted = 0;
    for temperature in [0.0, 0.8] {
        let sampling = SamplingConfig { temperature, seed: 7, ..SamplingConfig::default() };
        let plain = Request { sampling, ..request(folder, prompt, trial.new_tokens) };
        // Drafted first: behind the plain run the suffix memory would know the answer, and no guess would be wrong.
        let found = run(engine, Request { draft_max: 8, ..plain.clone() })?;
        let expected = run(engine, plain)?.token_ids;
        let Trial { weights, .. } = trial;
        assert_eq!(
            found.token_ids,
            expected,
            "{weights}, temperature {temperature}: {}",
            folder.tokenizer.decode(prompt)
        );
        accepted += found.report.sources.values().map(|source| source.accepted).sum::<usize>();
    }
    Ok(accepted)
}

/// Tokens of a window.
const WINDOW: usize = 512;

/// Windows for the checkpoint's own codes and for the other formats: as many as tell their change from chance.
const WINDOWS: [(&str, usize, f64); 3] = [("auto", 32, 0.005), ("q8", 8, 0.01), ("q4", 8, 0.1)];

/// The sums of negative log-probabilities of windows that share nothing, the first token of each without a prediction.
fn losses(model: &mut CausalModel, tokens: &[TokenId], windows: usize) -> Result<Vec<f64>> {
    let rows = WINDOW as u32;
    let loss = |window: &[TokenId]| {
        let batch = Batch {
            token_ids: window.to_vec(),
            positions: (0..rows).collect(),
            slot_mapping: (0..rows).collect(),
            block_tables: vec![(0..rows / 16).map(BlockId).collect()],
            query_starts: vec![0, rows],
            sources: Vec::new(),
            tree_mask: None,
            logit_rows: (0..rows - 1).collect(),
        };
        let logits = model.forward(&batch)?;
        let next = window[1..].iter().enumerate();
        Ok(next.map(|(index, next)| -log_probability(logits.row(index), *next)).sum())
    };
    tokens.chunks_exact(WINDOW).take(windows).map(loss).collect()
}

fn perplexity(losses: &[f64]) -> f64 {
    (losses.iter().sum::<f64>() / (losses.len() * (WINDOW - 1)) as f64).exp()
}

fn log_probability(logits: &[f32], token: TokenId) -> f64 {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from((logit - largest).exp())).sum();
    f64::from(logits[token as usize] - largest) - sum.ln()
}

#[test]
#[ignore = "needs the default model"]
fn perplexity_of_the_checkpoints_own_codes_is_near_that_of_f32() -> Result<()> {
    let Some(path) = shared_data("data/wikitext2/wiki.valid.raw.gz") else { return Ok(()) };
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path)?).read_to_string(&mut text)?;
    let folder_f32 = folder("f32")?;
    let tokens = folder_f32.tokenizer.encode_raw(&text)?;
    let most = WINDOWS.iter().map(|(_, windows, _)| *windows).max().expect("there are formats");
    let reference = losses(&mut model(&folder_f32)?, &tokens, most)?;
    for (weights, windows, bound) in WINDOWS {
        let found = perplexity(&losses(&mut model(&folder(weights)?)?, &tokens, windows)?);
        let expected = perplexity(&reference[..windows]);
        let (change, tokens) = (found / expected - 1.0, windows * WINDOW);
        println!("perplexity of {tokens} tokens: f32 {expected:.3}, {weights} {found:.3} ({:+.2} %)", 100.0 * change);
        assert!(change.abs() < bound, "{weights}: {found}, expected within {bound} of {expected}");
    }
    Ok(())
}
