//! All prompts answered once, so many requests at a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use veridraft_engine::{EngineConfig, SequenceId};
use veridraft_models::TokenId;

use crate::open_model::OpenModel;

/// What one load took and gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    /// From the first request to the last answer.
    pub(super) time: Duration,
    /// New tokens of each prompt.
    pub(super) answers: Vec<Vec<TokenId>>,
    /// From a request to its last token.
    pub(super) latencies: Vec<Duration>,
    /// From a request to its first token.
    pub(super) first_tokens: Vec<Duration>,
    /// Tokens of all prompts, and of those what the prefix cache had.
    pub(super) prompt_tokens: usize,
    pub(super) cached_tokens: usize,
    /// Share of the cache's blocks in use at most.
    pub(super) occupancy: f64,
    pub(super) preemptions: usize,
    pub(super) forwards: usize,
    /// Time of all steps, of their forward passes, and of drafting in them.
    pub(super) steps: Duration,
    pub(super) forward: Duration,
    pub(super) drafting: Duration,
    /// Forward times of passes of one row a sequence, with as many sequences as may run at once.
    pub(super) full: Vec<Duration>,
}

/// A request under way.
struct Open {
    prompt: usize,
    start: Instant,
}

/// Answers every prompt, `concurrency` at a time, in order.
pub(super) fn run(open: &mut OpenModel, prompts: &[Vec<TokenId>], concurrency: usize) -> Result<Load> {
    let config = EngineConfig { max_sequences: concurrency, ..EngineConfig::default() };
    open.engine.configure(config);
    // Else a load would find the answers of the one before.
    open.engine.forget();
    let blocks = open.engine.free_blocks();
    let mut load = Load { answers: vec![Vec::new(); prompts.len()], ..Load::default() };
    let mut under_way: HashMap<SequenceId, Open> = HashMap::new();
    let mut waiting = prompts.iter().enumerate();
    let start = Instant::now();
    loop {
        for (prompt, tokens) in waiting.by_ref().take(concurrency - under_way.len()) {
            let id = open.engine.add(open.request(tokens.clone()))?;
            under_way.insert(id, Open { prompt, start: Instant::now() });
            load.prompt_tokens += tokens.len();
        }
        if under_way.is_empty() {
            load.time = start.elapsed();
            return Ok(load);
        }
        step(open, &mut under_way, &mut load, concurrency)?;
        let used = blocks - open.engine.free_blocks();
        load.occupancy = load.occupancy.max(used as f64 / blocks as f64);
    }
}

fn step(
    open: &mut OpenModel,
    under_way: &mut HashMap<SequenceId, Open>,
    load: &mut Load,
    concurrency: usize,
) -> Result<()> {
    let report = open.engine.step()?;
    report.all_failures().for_each(|failure| eprintln!("note: {failure}"));
    load.forwards += 1;
    load.steps += report.duration;
    load.forward += report.forward;
    load.drafting += report.drafting;
    if report.rows == concurrency && report.sequences.len() == concurrency {
        load.full.push(report.forward);
    }
    for part in report.sequences {
        let Open { prompt, start } = &under_way[&part.sequence];
        if load.answers[*prompt].is_empty() && !part.tokens.is_empty() {
            load.first_tokens.push(start.elapsed());
        }
        load.answers[*prompt].extend(part.tokens);
        if part.finish.is_some() {
            load.latencies.push(start.elapsed());
            let finished = open.engine.remove(part.sequence).expect("it ran in this step");
            load.cached_tokens += finished.report.cached;
            load.preemptions += finished.report.preemptions;
            under_way.remove(&part.sequence);
        }
    }
    Ok(())
}
