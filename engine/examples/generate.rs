//! Continues a prompt three times at once, drafting from the texts themselves, and says what the drafts were worth.
//!
//! ```text
//! veridraft export SRC FOLDER
//! cargo run --release -p veridraft-engine --example generate -- FOLDER "Once upon a time"
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use veridraft_engine::drafters::{Lookup, Suffix};
use veridraft_engine::{CostModel, Engine, EngineConfig, Parts, Request, SamplingConfig, StopConditions};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, CausalModelConfig, ModelFolder};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "expected two arguments: a model folder and a prompt";
    let (path, prompt) = (arguments.next().context(usage)?, arguments.next().context(usage)?);

    // The folder has the tokenizer and the settings, the runtime runs the graph beside them.
    let folder = ModelFolder::open(path)?;
    let runtime = Runtime::load(&LibraryChoice::Find)?;
    let model = CausalModel::open(&runtime, &folder.onnx_path, CausalModelConfig::default())?;
    let start = Instant::now();
    let parts = Parts {
        model: Box::new(model),
        decoder: Arc::new(folder.tokenizer.clone()),
        // Both cost microseconds: a lookup in each text itself, and one in all texts so far.
        drafters: vec![Box::new(Suffix::default()), Box::new(Lookup::default())],
        costs: CostModel::default(),
        // The engine reads no clock of its own, so that tests can stop it.
        clock: Box::new(move || start.elapsed()),
    };
    let mut engine = Engine::new(parts, EngineConfig::default());
    // Measures passes on this machine, from which follows how much drafting pays.
    engine.calibrate()?;

    // Temperature 0 takes the likeliest token each time. The two others differ by their seeds; the same seed gives the
    // same text again, whoever drafts and whatever else runs.
    let tokens = folder.tokenizer.encode_raw(&prompt)?;
    let mut texts = BTreeMap::new();
    for (temperature, seed) in [(0.0, 0), (0.8, 1), (0.8, 2)] {
        let id = engine.add(Request {
            draft_max: 8,
            sampling: SamplingConfig { temperature, seed, ..SamplingConfig::default() },
            stop: StopConditions { eos_ids: folder.generation.eos_token_ids.clone(), ..StopConditions::default() },
            ..Request::new(tokens.clone(), 64)
        })?;
        texts.insert(id, String::new());
    }

    // One step is one forward pass for all sequences. Text comes in pieces that are certain: whole characters, and
    // nothing that a stop string could still take back.
    while engine.has_work() {
        for step in engine.step()?.sequences {
            println!("{:>2} + {:?}", step.sequence.0, step.text);
            *texts.entry(step.sequence).or_default() += &step.text;
        }
    }

    for (id, text) in texts {
        let finished = engine.remove(id).context("a sequence stays until it is removed")?;
        let report = finished.report;
        println!("\n{prompt}{text}\n[{:?}]", finished.reason);
        println!("{} tokens in {} passes, {:.1} a second", report.emitted, report.forwards, report.tokens_per_second());
        for (name, source) in report.sources.iter().filter(|(_, source)| source.proposed > 0) {
            println!("  {name}: {} of {} drafted tokens accepted", source.accepted, source.proposed);
        }
    }
    Ok(())
}
