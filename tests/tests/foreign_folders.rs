//! Folders that other programs made, run through the engine, give what the program they come from gives.
//!
//! The folders and their references lie beside the repository; without them every test prints `skipped`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use veridraft_engine::drafters::{Drafter, Lookup, Suffix};
use veridraft_engine::{CostModel, Engine, EngineConfig, Parts, Request};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{
    Batch, BlockId, CausalModelConfig, FolderKind, LanguageModel, ModelFolder, TokenId, UnsizedAnyModel,
};
use veridraft_tests::shared_data;

/// Greedy choices may differ where the two best logits are closer than this.
const NEAR_TIE: f32 = 1e-3;
/// The same behind products of activations in eight bits, which make a difference in the last place, between a row alone
/// and in company, one of a whole step.
const NEAR_TIE_OF_INT4: f32 = 0.3;

#[derive(Deserialize)]
struct References {
    transformers: Vec<Reference>,
    onnxruntime_genai_greedy_ids: BTreeMap<String, Vec<Vec<TokenId>>>,
}

#[derive(Deserialize)]
struct Reference {
    prompt: String,
    prompt_ids: Vec<TokenId>,
    last_logits_first_16: Vec<f32>,
    greedy_ids: Vec<TokenId>,
    margin: Vec<f32>,
}

fn references() -> Result<Option<References>> {
    let Some(path) = shared_data("foreign/tiny-llama-reference.json") else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&fs::read(path)?)?))
}

fn open(path: &Path) -> Result<(ModelFolder, Box<dyn LanguageModel>)> {
    let folder = ModelFolder::open(path)?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let unsized_model = UnsizedAnyModel::open(&runtime, &folder, CausalModelConfig::default())?;
    let opened = unsized_model.with_memory(None)?;
    assert_eq!(opened.notes, Vec::<String>::new());
    Ok((folder, opened.model))
}

/// The greedy answer of an engine with these drafters.
fn greedy(
    folder: &ModelFolder,
    model: Box<dyn LanguageModel>,
    drafters: Vec<Box<dyn Drafter>>,
    prompt: &[TokenId],
    count: usize,
) -> Result<(Vec<TokenId>, usize)> {
    let start = Instant::now();
    let parts = Parts {
        model,
        decoder: Arc::new(folder.tokenizer.clone()),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(move || start.elapsed().max(Duration::from_nanos(1))),
    };
    let mut engine = Engine::new(parts, EngineConfig::default());
    engine.calibrate()?;
    let id = engine.add(Request { draft_min: 4, draft_max: 8, ..Request::new(prompt.to_vec(), count) })?;
    while engine.has_work() {
        engine.step()?;
        engine.check().map_err(anyhow::Error::msg)?;
    }
    let finished = engine.remove(id).expect("it was added");
    Ok((finished.token_ids, finished.report.forwards))
}

fn last_logits(model: &mut dyn LanguageModel, prompt: &[TokenId]) -> Result<Vec<f32>> {
    let positions: Vec<u32> = (0..prompt.len() as u32).collect();
    let rows = positions.len() as u32;
    let batch = Batch {
        token_ids: prompt.to_vec(),
        slot_mapping: positions.clone(),
        positions,
        block_tables: vec![vec![BlockId(0)]],
        query_starts: vec![0, rows],
        sources: Vec::new(),
        tree_mask: None,
        logit_rows: vec![rows - 1],
    };
    Ok(model.forward(&batch)?.values)
}

fn drafters() -> [Vec<Box<dyn Drafter>>; 3] {
    [Vec::new(), vec![Box::new(Lookup::default())], vec![Box::new(Suffix::default()), Box::new(Lookup::default())]]
}

/// Equal tokens, up to the first near tie.
fn check_ids(found: &[TokenId], expected: &[TokenId], margins: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let parting = found.iter().zip(expected).position(|(found, expected)| found != expected);
    if let Some(at) = parting {
        assert!(margins[at] < NEAR_TIE, "token {at} is {}, expected {} by {}", found[at], expected[at], margins[at]);
    }
}

fn check_against_transformers(name: &str, kind: FolderKind) -> Result<()> {
    let (Some(path), Some(references)) = (shared_data(&format!("foreign/{name}")), references()?) else {
        return Ok(());
    };
    let mut most = 0.0_f32;
    for reference in &references.transformers {
        let (folder, mut model) = open(&path)?;
        assert_eq!(folder.kind, kind);
        assert_eq!(folder.tokenizer.encode_raw(&reference.prompt)?, reference.prompt_ids);
        let logits = last_logits(&mut *model, &reference.prompt_ids)?;
        for (found, expected) in logits.iter().zip(&reference.last_logits_first_16) {
            most = most.max((found - expected).abs());
        }
        for drafters in drafters() {
            let drafts = !drafters.is_empty();
            let (_, model) = open(&path)?;
            let count = reference.greedy_ids.len();
            let (ids, forwards) = greedy(&folder, model, drafters, &reference.prompt_ids, count)
                .with_context(|| reference.prompt.clone())?;
            check_ids(&ids, &reference.greedy_ids, &reference.margin);
            assert!(!drafts || forwards < count, "{forwards} passes for {count} tokens");
        }
    }
    println!("{name}: logits differ by {most:e} at most");
    assert!(most <= 1e-4, "{name}: logits differ by {most}");
    Ok(())
}

#[test]
fn an_optimum_folder_agrees_with_transformers() -> Result<()> {
    check_against_transformers("tiny-llama-optimum", FolderKind::HuggingFace)
}

#[test]
fn a_genai_folder_agrees_with_transformers() -> Result<()> {
    check_against_transformers("tiny-llama-genai-fp32", FolderKind::Genai)
}

#[test]
fn genai_folders_give_what_onnxruntime_genai_gives() -> Result<()> {
    for precision in ["fp32", "int4"] {
        let (Some(path), Some(references)) =
            (shared_data(&format!("foreign/tiny-llama-genai-{precision}")), references()?)
        else {
            return Ok(());
        };
        let expected = &references.onnxruntime_genai_greedy_ids[&format!("genai-{precision}")];
        for (reference, expected) in references.transformers.iter().zip(expected) {
            for drafters in drafters() {
                let near_tie = if precision == "int4" && !drafters.is_empty() { NEAR_TIE_OF_INT4 } else { NEAR_TIE };
                let (folder, model) = open(&path)?;
                let (ids, _) = greedy(&folder, model, drafters, &reference.prompt_ids, expected.len())?;
                let Some(at) = ids.iter().zip(expected).position(|(found, expected)| found != expected) else {
                    continue;
                };
                let (_, mut model) = open(&path)?;
                let mut scores = last_logits(&mut *model, &[&reference.prompt_ids[..], &expected[..at]].concat())?;
                scores.sort_by(|a, b| b.total_cmp(a));
                let margin = scores[0] - scores[1];
                assert!(margin < near_tie, "{precision}: token {at} of `{}` by {margin}", reference.prompt);
            }
        }
    }
    Ok(())
}
