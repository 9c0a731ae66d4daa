//! A small LLaMA in safetensors, written by transformers, gives what transformers gives.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use veridraft_export::{ExportConfig, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{Batch, BlockId, CausalModel, CausalModelConfig, LanguageModel, ModelFolder, TokenId};
use veridraft_tests::shared_data;

/// Greedy choices may differ where the two best logits are closer than this.
const NEAR_TIE: f32 = 1e-3;

#[derive(Deserialize)]
struct References {
    transformers: Vec<Reference>,
    #[serde(flatten)]
    _others: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Reference {
    prompt: String,
    prompt_ids: Vec<TokenId>,
    last_logits_first_16: Vec<f32>,
    greedy_ids: Vec<TokenId>,
    margin: Vec<f32>,
}

#[test]
fn the_export_of_tiny_llama_agrees_with_transformers() -> Result<()> {
    let (Some(checkpoint), Some(references)) =
        (shared_data("foreign/tiny-llama-hf"), shared_data("foreign/tiny-llama-reference.json"))
    else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    export(&checkpoint, folder.path(), &ExportConfig::default(), &|_| {})?;
    let references: References = serde_json::from_slice(&fs::read(references)?)?;
    assert!(!references.transformers.is_empty());
    for reference in &references.transformers {
        check(folder.path(), reference).with_context(|| reference.prompt.clone())?;
    }
    Ok(())
}

fn check(folder: &Path, reference: &Reference) -> Result<()> {
    let folder = ModelFolder::open(folder)?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let mut model = CausalModel::open(&runtime, &folder.onnx_path, CausalModelConfig::default())?;
    assert_eq!(folder.tokenizer.encode_raw(&reference.prompt)?, reference.prompt_ids);
    let mut tokens = reference.prompt_ids.clone();
    let mut logits = forward(&mut model, &tokens, 0)?;
    for (found, expected) in logits.iter().zip(&reference.last_logits_first_16) {
        assert!((found - expected).abs() <= 1e-4, "logit {found}, expected {expected}");
    }
    for (expected, margin) in reference.greedy_ids.iter().zip(&reference.margin) {
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).expect("a vocabulary");
        if best as TokenId != *expected {
            assert!(*margin < NEAR_TIE, "token {best}, expected {expected} with margin {margin}");
            break;
        }
        tokens.push(*expected);
        logits = forward(&mut model, &tokens, tokens.len() - 1)?;
    }
    Ok(())
}

/// Computes the tokens from `start` on and returns the logits behind the last.
fn forward(model: &mut CausalModel, tokens: &[TokenId], start: usize) -> Result<Vec<f32>> {
    let positions: Vec<u32> = (start as u32..tokens.len() as u32).collect();
    let rows = positions.len() as u32;
    let batch = Batch {
        token_ids: tokens[start..].to_vec(),
        slot_mapping: positions.clone(),
        positions,
        block_tables: vec![(0..tokens.len().div_ceil(16) as u32).map(BlockId).collect()],
        query_starts: vec![0, rows],
        sources: Vec::new(),
        tree_mask: None,
        logit_rows: vec![rows - 1],
    };
    Ok(model.forward(&batch)?.values)
}
