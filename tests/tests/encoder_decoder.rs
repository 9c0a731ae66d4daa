//! Exported models with an encoder: logits as their own libraries give them, and a row's the same in any company.
//!
//! The checkpoints are made by `tests/reference/encoder_decoder.py`.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;
use veridraft_engine::drafters::{Drafter, Lookup, Suffix};
use veridraft_engine::{CostModel, Engine, EngineConfig, Parts, Request, SamplingConfig};
use veridraft_export::{ExportConfig, MatMulOperators, Weights, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{Batch, CausalModel, CausalModelConfig, KvType, LanguageModel, ModelFolder, SourceId, TokenId};
use veridraft_tests::{Letters, add_rows, assert_same_bits, scattered_table};

/// The largest difference of logits, which are up to 6, in f32 on both sides.
const TOLERANCE: f32 = 1e-4;
const CASES: [&str; 6] = ["t5", "t5_plain", "bart", "bart_scaled", "marian", "nn_transformer"];
const VOCABULARY: usize = 64;
const TOKENIZER: &str =
    r#"{ "version": "1.0", "model": { "type": "WordLevel", "vocab": { "a": 0 }, "unk_token": "a" } }"#;

fn reference(case: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/encoder_decoder").join(case).join(file)
}

fn ids(case: &str, file: &str) -> Result<Vec<TokenId>> {
    Ok(serde_json::from_slice(&fs::read(reference(case, file))?)?)
}

fn expected_logits(case: &str) -> Result<Vec<f32>> {
    let bytes = fs::read(reference(case, "logits.f32"))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The checkpoint as a Hugging Face folder.
fn checkpoint(case: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for name in ["config.json", "model.safetensors"] {
        fs::copy(reference(case, name), folder.path().join(name)).with_context(|| case.to_owned())?;
    }
    fs::write(folder.path().join("tokenizer.json"), TOKENIZER)?;
    Ok(folder)
}

/// Exports `source` and opens the model; the folder must outlive it.
fn open(source: &Path, weights: Weights, operators: MatMulOperators, threads: usize) -> Result<(TempDir, CausalModel)> {
    let folder = tempfile::tempdir()?;
    let progress = Cell::new((0, 0));
    let config = ExportConfig { weights, operators, ..ExportConfig::default() };
    export(source, folder.path(), &config, &|now| progress.set((now.tensors_done, now.tensors_total)))?;
    let (done, total) = progress.get();
    assert_eq!(done, total, "tensors written and in the model");
    let model = opened(folder.path(), threads, KvType::F32)?;
    Ok((folder, model))
}

fn opened(folder: &Path, threads: usize, kv: KvType) -> Result<CausalModel> {
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let settings = CausalModelConfig { threads, kv, kv_memory: Some(1 << 20), ..CausalModelConfig::default() };
    Ok(CausalModel::open(&runtime, &folder.join("onnx/model.onnx"), settings)?)
}

/// The logits of all tokens, in chunks.
fn logits(model: &mut CausalModel, source: SourceId, tokens: &[TokenId], chunk: usize) -> Result<Vec<f32>> {
    let table = scattered_table(0, 1, tokens.len());
    let mut logits = Vec::new();
    for start in (0..tokens.len()).step_by(chunk) {
        let mut batch = Batch { sources: vec![source], ..Batch::default() };
        add_rows(&mut batch, tokens, start, (start + chunk).min(tokens.len()), &table);
        logits.extend(model.forward(&batch)?.values);
    }
    Ok(logits)
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

#[test]
fn logits_are_those_of_the_models_own_libraries() -> Result<()> {
    for case in CASES {
        let folder = checkpoint(case)?;
        for operators in MatMulOperators::ALL {
            let (_folder, mut model) =
                open(folder.path(), Weights::F32, operators, 2).with_context(|| case.to_owned())?;
            let source = model.encode(&ids(case, "source_ids.json")?)?;
            let tokens = ids(case, "token_ids.json")?;
            let found = logits(&mut model, source, &tokens, tokens.len())?;
            let difference = largest_difference(&found, &expected_logits(case)?);
            println!("{case:16} {:10} {difference:.2e}", operators.name());
            assert!(difference <= TOLERANCE, "{case}, {}: {difference}", operators.name());
        }
    }
    Ok(())
}

#[test]
fn a_row_has_the_bits_of_a_single_step_in_any_chunk_and_company() -> Result<()> {
    for case in CASES {
        let (folder, source) = (checkpoint(case)?, ids(case, "source_ids.json")?);
        let tokens = ids(case, "token_ids.json")?;
        for weights in [Weights::F32, Weights::Q4] {
            let (_folder, mut model) = open(folder.path(), weights, MatMulOperators::Veridraft, 2)?;
            let [long, short] = [&source[..], &source[..9]].map(|source| model.encode(source));
            let (long, short) = (long?, short?);
            let expected = [long, short].map(|source| logits(&mut model, source, &tokens, 1));
            let expected = expected.into_iter().collect::<Result<Vec<_>>>()?;
            assert_ne!(expected[0], expected[1], "{case}: a source changes the text");
            for chunk in [2, 5, 16, 40] {
                let found = logits(&mut model, long, &tokens, chunk)?;
                assert_same_bits(&found, &expected[0], &format!("{case}, chunks of {chunk}"));
            }
            // Both at once, one a step behind the other's prompt.
            let tables = [0, 1].map(|number| scattered_table(number, 2, tokens.len()));
            let mut batch = Batch { sources: vec![short, long], ..Batch::default() };
            add_rows(&mut batch, &tokens, 0, 7, &tables[0]);
            add_rows(&mut batch, &tokens, 0, 30, &tables[1]);
            let found = model.forward(&batch)?.values;
            let together = [&expected[1][..7 * VOCABULARY], &expected[0][..30 * VOCABULARY]].concat();
            assert_same_bits(&found, &together, &format!("{case}, in company"));
        }
    }
    Ok(())
}

/// The answers of an engine to requests about several sources, all at once.
fn answers(path: &Path, drafters: Vec<Box<dyn Drafter>>, requests: &[Request]) -> Result<Vec<Vec<TokenId>>> {
    let parts = Parts {
        model: Box::new(opened(path, 2, KvType::F32)?),
        decoder: Arc::new(Letters),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(|| Duration::ZERO),
    };
    let mut engine = Engine::new(parts, EngineConfig::default());
    let ids = requests.iter().map(|request| engine.add(request.clone())).collect::<Result<Vec<_>, _>>()?;
    while engine.has_work() {
        assert_eq!(engine.step()?.failures, [""; 0]);
        engine.check().map_err(anyhow::Error::msg)?;
    }
    Ok(ids.into_iter().map(|id| engine.remove(id).expect("it was added").token_ids).collect())
}

#[test]
fn drafts_and_company_change_no_text() -> Result<()> {
    for case in ["t5", "marian"] {
        let checkpoint = checkpoint(case)?;
        let (folder, _model) = open(checkpoint.path(), Weights::Q8, MatMulOperators::Veridraft, 1)?;
        let source = ids(case, "source_ids.json")?;
        let request = |index: usize| Request {
            source: Some(source[index..].to_vec()),
            draft_max: 6,
            sampling: SamplingConfig { temperature: 0.9, seed: index as u64, ..SamplingConfig::default() },
            ..Request::new(vec![2], 20)
        };
        let requests: Vec<_> = [0, 3, 3, 20].map(request).into();
        let mut expected = Vec::new();
        for request in &requests {
            expected.extend(answers(folder.path(), Vec::new(), std::slice::from_ref(request))?);
        }
        let drafters: Vec<Box<dyn Drafter>> = vec![Box::new(Suffix::default()), Box::new(Lookup::default())];
        assert_eq!(answers(folder.path(), drafters, &requests)?, expected, "{case}");
    }
    Ok(())
}

#[test]
fn a_dropped_source_and_a_missing_one_are_refused() -> Result<()> {
    let checkpoint = checkpoint("bart")?;
    let (folder, mut model) = open(checkpoint.path(), Weights::F32, MatMulOperators::Veridraft, 1)?;
    let tokens = ids("bart", "token_ids.json")?;
    let source = model.encode(&[5, 6])?;
    model.drop_source(source);
    let error = logits(&mut model, source, &tokens, 40).expect_err("it is gone").to_string();
    assert!(error.contains("source 0 is not encoded"), "{error}");
    let mut batch = Batch::default();
    add_rows(&mut batch, &tokens, 0, 1, &scattered_table(0, 1, 1));
    let error = model.forward(&batch).expect_err("nothing to read").to_string();
    assert_eq!(error, "batch: 0 sources, expected 1");
    let folder = ModelFolder::open(folder.path())?;
    assert!(folder.has_encoder());
    assert_eq!(folder.decoder_start()?, Some(2));
    let files = folder.graph_files();
    assert_eq!(files.len(), 4, "a graph and its weights for each of the two");
    fs::remove_file(&files[2])?;
    let error = ModelFolder::open(&folder.path).expect_err("no encoder").to_string();
    assert!(error.contains("cannot read `") && error.contains("encoder.onnx`"), "{error}");
    Ok(())
}

/// The references would tell if a setting were not heeded: with another value the logits are not theirs.
#[test]
fn every_setting_moves_the_logits() -> Result<()> {
    for (case, setting, value) in [
        ("t5", "/relative_attention_max_distance", json!(40)),
        ("t5", "/feed_forward_proj", json!("gated-relu")),
        ("t5", "/tie_word_embeddings", json!(true)),
        ("t5", "/layer_norm_epsilon", json!(1e-2)),
        ("bart", "/activation_function", json!("relu")),
        ("bart_scaled", "/scale_embedding", json!(false)),
        ("marian", "/activation_function", json!("gelu")),
        ("nn_transformer", "/scale_embedding", json!(false)),
    ] {
        let folder = checkpoint(case)?;
        let path = folder.path().join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        *config.pointer_mut(setting).with_context(|| format!("{case} has {setting}"))? = value;
        fs::write(&path, config.to_string())?;
        let (_folder, mut model) = open(folder.path(), Weights::F32, MatMulOperators::Veridraft, 2)?;
        let source = model.encode(&ids(case, "source_ids.json")?)?;
        let found = logits(&mut model, source, &ids(case, "token_ids.json")?, 40)?;
        let difference = largest_difference(&found, &expected_logits(case)?);
        assert!(difference > 2.0 * TOLERANCE, "{case}: {setting} moves the logits by {difference}");
    }
    Ok(())
}
