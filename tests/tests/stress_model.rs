//! ruaccent-predictor, a real model with an encoder: what its own package answers, in less than half of the passes with a
//! draft that copies the source.
//!
//! `tests/reference/stress_model.py FOLDER` writes the checkpoint from the package; `VERIDRAFT_STRESS_MODEL` names the
//! folder. The answers beside that script are the package's.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use veridraft_engine::drafters::{Drafter, Lookup};
use veridraft_engine::{CostModel, Engine, EngineConfig, Parts, Request};
use veridraft_export::{ExportConfig, Weights, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModelConfig, ModelFolder, UnsizedAnyModel};

#[derive(Deserialize)]
struct Sentence {
    text: String,
    answer: String,
}

/// Checks every answer; returns passes, tokens and time.
fn check(path: &Path, drafters: Vec<Box<dyn Drafter>>) -> Result<(usize, usize, Duration)> {
    let sentences: Vec<Sentence> = serde_json::from_str(include_str!("../reference/stress_model.json"))?;
    let folder = ModelFolder::open(path)?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let opened = UnsizedAnyModel::open(&runtime, &folder, CausalModelConfig::default())?.with_memory(None)?;
    let clock = Instant::now();
    let parts = Parts {
        model: opened.model,
        decoder: Arc::new(folder.tokenizer.clone()),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(move || clock.elapsed()),
    };
    let mut engine = Engine::new(parts, EngineConfig::default());
    engine.calibrate()?;
    let start = folder.decoder_start()?.context("the configuration names it")?;
    let (mut passes, mut tokens, begin) = (0, 0, Instant::now());
    for Sentence { text, answer } in sentences {
        let source = Some(folder.tokenizer.encode_raw(&text)?);
        let mut request = Request { source, draft_max: 16, ..Request::new(vec![start], 250) };
        request.stop.eos_ids = folder.generation.eos_token_ids.clone();
        let id = engine.add(request)?;
        while engine.has_work() {
            engine.step()?;
        }
        let finished = engine.remove(id).expect("it was added");
        assert_eq!(folder.tokenizer.decode(&finished.token_ids), answer);
        passes += finished.report.forwards;
        tokens += finished.token_ids.len();
    }
    Ok((passes, tokens, begin.elapsed()))
}

#[test]
#[ignore = "needs a folder that `tests/reference/stress_model.py` writes, in `VERIDRAFT_STRESS_MODEL`"]
fn answers_are_the_packages_own_and_a_copied_source_halves_the_passes() -> Result<()> {
    let Some(checkpoint) = std::env::var_os("VERIDRAFT_STRESS_MODEL") else {
        println!("skipped: `VERIDRAFT_STRESS_MODEL` names no folder");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let config = ExportConfig { weights: Weights::F32, ..ExportConfig::default() };
    export(Path::new(&checkpoint), folder.path(), &config, &|_| ())?;
    let (passes, tokens, plain) = check(folder.path(), Vec::new())?;
    assert_eq!(passes, tokens);
    let (passes, tokens, drafted) = check(folder.path(), vec![Box::new(Lookup::default())])?;
    println!("{tokens} tokens in {passes} passes, {plain:?} without drafts and {drafted:?} with them");
    assert!(2 * passes < tokens, "{passes} passes for {tokens} tokens");
    Ok(())
}
