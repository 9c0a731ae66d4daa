//! Folders of a model with an encoder, as optimum writes them, give what `transformers` gives.
//!
//! The folder and its reference lie beside the repository; without them every test prints `skipped`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;
use veridraft_engine::drafters::{Drafter, Lookup, Suffix};
use veridraft_engine::{CostModel, Engine, EngineConfig, Parts, Request};
use veridraft_export::{ExportConfig, MatMulOperators, Weights, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModelConfig, ModelFolder, TokenId, UnsizedAnyModel};
use veridraft_tests::shared_data;

#[derive(Deserialize)]
struct Reference {
    source: String,
    source_ids: Vec<TokenId>,
    /// The start token first.
    greedy_ids: Vec<TokenId>,
    text: String,
}

/// The folder's files, of which `without` are left out; `None` where the folder is absent.
fn folder(without: &[&str]) -> Result<Option<tempfile::TempDir>> {
    let Some(path) = shared_data("foreign/tiny-t5-optimum") else { return Ok(None) };
    let copy = tempfile::tempdir()?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !without.iter().any(|name| entry.file_name() == *name) {
            fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
        }
    }
    Ok(Some(copy))
}

fn references() -> Result<Vec<Reference>> {
    let path = shared_data("foreign/tiny-t5-reference.json").expect("it lies beside the folder");
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// An engine over the folder, with room for several sequences.
fn engine(path: &Path, drafters: Vec<Box<dyn Drafter>>) -> Result<(ModelFolder, Engine)> {
    let folder = ModelFolder::open(path)?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let opened = UnsizedAnyModel::open(&runtime, &folder, CausalModelConfig::default())?.with_memory(Some(16 << 20))?;
    assert_eq!(opened.notes, Vec::<String>::new());
    let start = Instant::now();
    let parts = Parts {
        model: opened.model,
        decoder: Arc::new(folder.tokenizer.clone()),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(move || start.elapsed().max(Duration::from_nanos(1))),
    };
    Ok((folder, Engine::new(parts, EngineConfig::default())))
}

/// Checks every reference with these drafters, all at once; returns passes and tokens.
fn check(path: &Path, drafters: Vec<Box<dyn Drafter>>) -> Result<(usize, usize)> {
    let (folder, mut engine) = engine(path, drafters)?;
    assert!(engine.calibrate()?);
    let start = folder.decoder_start()?.expect("the configuration names it");
    let mut ids = Vec::new();
    for reference in references()? {
        let source = folder.tokenizer.encode_raw(&reference.source)?;
        assert_eq!(source, reference.source_ids);
        let mut request = Request { source: Some(source), draft_min: 3, draft_max: 6, ..Request::new(vec![start], 48) };
        request.stop.eos_ids = folder.generation.eos_token_ids.clone();
        ids.push((engine.add(request)?, reference));
    }
    while engine.has_work() {
        assert_eq!(engine.step()?.failures, [""; 0]);
        engine.check().map_err(anyhow::Error::msg)?;
    }
    let (mut passes, mut tokens) = (0, 0);
    for (id, reference) in ids {
        let finished = engine.remove(id).expect("it was added");
        assert_eq!(finished.token_ids, reference.greedy_ids[1..]);
        assert_eq!(folder.tokenizer.decode(&finished.token_ids), reference.text);
        passes += finished.report.forwards;
        tokens += finished.token_ids.len();
    }
    Ok((passes, tokens))
}

#[test]
fn merged_and_separate_decoders_give_the_references_with_and_without_drafts() -> Result<()> {
    for without in [&[][..], &["decoder_model_merged.onnx"]] {
        let Some(copy) = folder(without)? else { return Ok(()) };
        let (passes, tokens) = check(copy.path(), Vec::new())?;
        assert_eq!(passes, tokens);
        let (passes, _) = check(copy.path(), vec![Box::new(Lookup::default())])?;
        assert!(2 * passes < tokens, "{passes} passes for {tokens} tokens");
        let (passes, _) = check(copy.path(), vec![Box::new(Suffix::default()), Box::new(Lookup::default())])?;
        assert!(passes < tokens, "{passes} passes for {tokens} tokens");
    }
    Ok(())
}

/// An export of the checkpoint that optimum's folder was made of.
#[test]
fn our_own_export_of_the_checkpoint_gives_the_references_too() -> Result<()> {
    let Some(source) = shared_data("foreign/tiny-t5-hf") else { return Ok(()) };
    for operators in MatMulOperators::ALL {
        let folder = tempfile::tempdir()?;
        let config = ExportConfig { weights: Weights::F32, operators, ..ExportConfig::default() };
        export(&source, folder.path(), &config, &|_| ())?;
        check(folder.path(), Vec::new())?;
        let (passes, tokens) = check(folder.path(), vec![Box::new(Lookup::default())])?;
        assert!(2 * passes < tokens, "{passes} passes for {tokens} tokens");
    }
    Ok(())
}

#[test]
fn a_folder_that_lacks_a_part_is_refused_with_its_name() -> Result<()> {
    let check = |without: &[&str], expected: &str| -> Result<()> {
        let Some(copy) = folder(without)? else { return Ok(()) };
        let runtime = Runtime::load(&LibraryChoice::default())?;
        let opened = ModelFolder::open(copy.path())
            .and_then(|folder| UnsizedAnyModel::open(&runtime, &folder, CausalModelConfig::default()));
        let error = opened.err().expect(expected).to_string();
        assert!(error.ends_with(expected), "{error}, expected {expected}");
        Ok(())
    };
    let merged = "decoder_model_merged.onnx";
    check(
        &[merged, "decoder_with_past_model.onnx"],
        "has no decoder beside it, expected `decoder_model_merged.onnx`, or `decoder_model.onnx` and \
         `decoder_with_past_model.onnx`",
    )?;
    check(&["encoder_model.onnx"], "expected a decoder by itself")
}
