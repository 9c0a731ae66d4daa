//! Every architecture gives what transformers gives, and row-exactly.
//!
//! The checkpoints and logits are made by `tests/reference/architectures.py`; the text there is longer than every window.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;
use veridraft_export::{ExportConfig, MatMulOperators, Weights, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, CausalModelConfig, TokenId};
use veridraft_tests::{Reference, TreeOfRows, assert_same_bits, run_chunked};

/// The largest difference of logits, which are up to 18, in f32 on both sides.
const TOLERANCE: f32 = 1e-4;

/// Exports `source` and opens the model; the folder must outlive it.
fn open(source: &Path, config: &ExportConfig, threads: usize) -> Result<(TempDir, CausalModel)> {
    let folder = tempfile::tempdir()?;
    let progress = Cell::new((0, 0));
    export(source, folder.path(), config, &|now| progress.set((now.tensors_done, now.tensors_total)))?;
    let (done, total) = progress.get();
    assert_eq!(done, total, "tensors written and in the model");
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let settings = CausalModelConfig { threads, ..CausalModelConfig::default() };
    let model = CausalModel::open(&runtime, &folder.path().join("onnx/model.onnx"), settings)?;
    Ok((folder, model))
}

fn exported(weights: Weights, operators: MatMulOperators) -> ExportConfig {
    ExportConfig { weights, operators, ..ExportConfig::default() }
}

/// The logits of the reference's text, and what transformers gives.
fn logits(reference: &Reference, model: &mut CausalModel) -> Result<[Vec<f32>; 2]> {
    let (tokens, expected) = (reference.token_ids()?, reference.logits()?);
    let (found, _) = run_chunked(model, &tokens, tokens.len())?;
    assert_eq!((found.len(), expected.len()), (tokens.len() * Reference::VOCABULARY, found.len()));
    Ok([found, expected])
}

fn largest_difference([found, expected]: &[Vec<f32>; 2]) -> f32 {
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

/// Root mean square of the difference, by that of the expected logits.
fn relative_difference([found, expected]: &[Vec<f32>; 2]) -> f32 {
    let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| x * x).sum::<f32>();
    let differences = squares(&mut found.iter().zip(expected).map(|(found, expected)| found - expected));
    (differences / squares(&mut expected.iter().copied())).sqrt()
}

#[test]
fn logits_are_those_of_transformers() -> Result<()> {
    for reference in Reference::ALL {
        let (case, folder) = (reference.case, reference.hugging_face_folder()?);
        let mut sources = vec![folder.path().to_owned()];
        sources.extend(reference.gguf());
        for source in sources {
            for operators in MatMulOperators::ALL {
                let (_folder, mut model) = open(&source, &exported(Weights::F32, operators), 2)
                    .with_context(|| format!("{case}, {}", source.display()))?;
                let kind = if source.is_dir() { "safetensors" } else { "gguf" };
                let found = largest_difference(&logits(&reference, &mut model)?);
                println!("{case:16} {kind:12} {:10} {found:.2e}", operators.name());
                assert!(found <= TOLERANCE, "{case}, {kind}, {}: {found}", operators.name());
            }
        }
    }
    Ok(())
}

/// A folder that has a model for images too, as far as it concerns text.
#[test]
fn the_text_model_of_a_gemma_that_sees_is_found() -> Result<()> {
    let reference = Reference::ALL.into_iter().find(|reference| reference.case == "gemma3").context("it is there")?;
    for prefix in ["language_model.model.", "model.language_model."] {
        let folder = reference.hugging_face_folder()?;
        let [config, weights] = ["config.json", "model.safetensors"].map(|name| folder.path().join(name));
        let text: serde_json::Value = serde_json::from_slice(&fs::read(&config)?)?;
        fs::write(&config, json!({ "model_type": "gemma3", "text_config": text }).to_string())?;
        let bytes = fs::read(&weights)?;
        let (length, rest) = bytes.split_first_chunk::<8>().context("a header")?;
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header = String::from_utf8(header.to_vec())?.replace("\"model.", &format!("\"{prefix}"));
        fs::write(&weights, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat())?;
        let (_folder, mut model) = open(folder.path(), &exported(Weights::F32, MatMulOperators::Veridraft), 2)?;
        let found = largest_difference(&logits(&reference, &mut model)?);
        assert!(found <= TOLERANCE, "{prefix}: {found}");
    }
    Ok(())
}

/// Floats stay; rounding weights and inputs of such small random models moves their logits, but not to others.
#[test]
fn every_format_of_weights_is_near() -> Result<()> {
    for reference in Reference::ALL {
        let (case, folder) = (reference.case, reference.hugging_face_folder()?);
        for (weights, most) in [(Weights::Auto, 1e-5), (Weights::Q8, 0.1), (Weights::Q4, 0.9)] {
            for operators in MatMulOperators::ALL {
                let (_folder, mut model) = open(folder.path(), &exported(weights, operators), 2)?;
                let found = relative_difference(&logits(&reference, &mut model)?);
                println!("{case:16} {weights:4} {:10} {found:.2e}", operators.name());
                assert!(found <= most, "{case}, {weights}, {}: {found}", operators.name());
            }
        }
    }
    Ok(())
}

fn text(count: u32) -> Vec<TokenId> {
    (0..count).map(|index| (index * 7919 + index * index * 31) % Reference::VOCABULARY as u32).collect()
}

#[test]
fn every_chunking_gives_the_bits_of_single_steps() -> Result<()> {
    let tokens = text(60);
    for reference in Reference::ALL {
        let (case, folder) = (reference.case, reference.hugging_face_folder()?);
        for config in [
            exported(Weights::F32, MatMulOperators::Veridraft),
            exported(Weights::Q4, MatMulOperators::Veridraft),
            exported(Weights::F32, MatMulOperators::Standard),
        ] {
            let (_single, mut model) = open(folder.path(), &config, 1)?;
            let (logits, pages) = run_chunked(&mut model, &tokens, 1)?;
            let (_pair, mut model) = open(folder.path(), &config, 2)?;
            for chunk in [2, 3, 5, 8, 16, 17, 33, 60] {
                let (found_logits, found_pages) = run_chunked(&mut model, &tokens, chunk)?;
                assert_same_bits(&found_logits, &logits, &format!("{case}, logits, chunks of {chunk}"));
                assert_same_bits(&found_pages, &pages, &format!("{case}, pages, chunks of {chunk}"));
            }
        }
    }
    Ok(())
}

/// The context is longer than every window, so that rows of a path see different parts of it.
#[test]
fn a_path_through_a_tree_equals_the_same_path_as_a_chain() -> Result<()> {
    let parents = [None, Some(0), Some(0), Some(1), Some(2), Some(4), Some(1), None];
    let draft: Vec<TokenId> = (0..parents.len() as u32).map(|index| 5 + index * 7).collect();
    for reference in Reference::ALL {
        let (case, folder) = (reference.case, reference.hugging_face_folder()?);
        println!("{case}");
        let (_folder, mut model) = open(folder.path(), &exported(Weights::Q4, MatMulOperators::Veridraft), 2)?;
        TreeOfRows { context: &text(21), draft: &draft, parents: &parents }.check(&mut model)?;
    }
    Ok(())
}

/// The references would tell if a setting were not heeded: with another value the logits are not theirs.
#[test]
fn every_setting_moves_the_logits() -> Result<()> {
    for (case, setting, value) in [
        ("llama3", "/rope_parameters/factor", json!(4.0)),
        ("llama3", "/rope_parameters/low_freq_factor", json!(2.0)),
        ("mistral", "/sliding_window", json!(13)),
        ("qwen2_windows", "/layer_types", json!(["sliding_attention", "full_attention"])),
        ("qwen3", "/rms_norm_eps", json!(1e-4)),
        ("gemma2", "/attn_logit_softcapping", json!(2.5)),
        ("gemma2", "/final_logit_softcapping", json!(5.5)),
        ("gemma2", "/sliding_window", json!(11)),
        ("gemma3", "/query_pre_attn_scalar", json!(32)),
        ("gemma3", "/rope_parameters/sliding_attention/rope_theta", json!(20000.0)),
        ("gemma3", "/rope_parameters/full_attention/factor", json!(4.0)),
        ("phi3", "/rope_parameters/short_factor/3", json!(1.0)),
        ("phi3", "/original_max_position_embeddings", json!(100)),
        ("gpt2", "/activation_function", json!("gelu")),
        ("gpt_neox", "/hidden_act", json!("gelu_new")),
        ("gpt_neox", "/use_parallel_residual", json!(false)),
        ("gpt_neox", "/rope_parameters/partial_rotary_factor", json!(0.5)),
        ("olmo", "/clip_qkv", json!(1.1)),
        ("olmo2", "/rope_parameters/rope_theta", json!(20000.0)),
    ] {
        let reference = Reference::ALL.into_iter().find(|reference| reference.case == case).context(case)?;
        let folder = reference.hugging_face_folder()?;
        let path = folder.path().join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        *config.pointer_mut(setting).with_context(|| format!("{case} has {setting}"))? = value;
        fs::write(&path, config.to_string())?;
        let (_folder, mut model) = open(folder.path(), &exported(Weights::F32, MatMulOperators::Veridraft), 2)?;
        let found = largest_difference(&logits(&reference, &mut model)?);
        println!("{case:16} {setting:50} {found:.2e}");
        assert!(found > 2.0 * TOLERANCE, "{case}: {setting} moves the logits by {found}");
    }
    Ok(())
}
