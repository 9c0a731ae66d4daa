//! A small BERT, exported by another program and by us, gives the figures of the library that it was trained with.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use veridraft_engine::evaluation::{Masking, Softmax, pseudo_log_likelihoods};
use veridraft_export::{ExportConfig, MatMulOperators, Weights, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{
    MaskedBatch, MaskedLanguageModel, MaskedModel, MaskedModelConfig, MaskedPlace, ModelFolder, Task, TokenId,
};
use veridraft_tests::shared_data;

const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Reference {
    fill: Vec<Fill>,
    pseudo_log_likelihood: Vec<PseudoLogLikelihood>,
}

#[derive(Deserialize)]
struct Fill {
    text: String,
    ids: Vec<TokenId>,
    mask_position: usize,
    top5_ids: Vec<TokenId>,
    top5_probability: Vec<f64>,
}

#[derive(Deserialize)]
struct PseudoLogLikelihood {
    text: String,
    pseudo_log_likelihood: f64,
    tokens: usize,
}

/// What of the reference a model folder is held to.
type Check = fn(&Path, &Reference) -> Result<()>;

/// Runs a check on the other program's folder and on our exports of the checkpoint.
fn for_each_folder(check: Check) -> Result<()> {
    let (Some(optimum), Some(checkpoint), Some(reference)) = (
        shared_data("foreign/tiny-bert-optimum"),
        shared_data("foreign/tiny-bert-hf"),
        shared_data("foreign/tiny-bert-reference.json"),
    ) else {
        return Ok(());
    };
    let reference: Reference = serde_json::from_slice(&std::fs::read(reference)?)?;
    check(&optimum, &reference).context("optimum")?;
    for operators in MatMulOperators::ALL {
        let folder = tempfile::tempdir()?;
        let config = ExportConfig { weights: Weights::F32, operators, ..ExportConfig::default() };
        export(&checkpoint, folder.path(), &config, &|_| {})?;
        check(folder.path(), &reference).context(operators.name())?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<(ModelFolder, MaskedModel, TokenId)> {
    let folder = ModelFolder::open_for(Task::Masked, path)?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let model = MaskedModel::open(&runtime, &folder, MaskedModelConfig::default())?;
    let mask = folder.tokenizer.mask().context("a mask")?;
    Ok((folder, model, mask))
}

#[test]
fn the_best_fillers_are_those_of_the_reference() -> Result<()> {
    for_each_folder(|path, reference| {
        let (folder, mut model, mask) = open(path)?;
        let vocabulary = model.limits().vocabulary;
        for fill in &reference.fill {
            let ids = folder.tokenizer.encode_raw(&fill.text)?;
            assert_eq!(ids, fill.ids, "{}", fill.text);
            assert_eq!(ids.iter().position(|&id| id == mask), Some(fill.mask_position));
            let wanted = vec![MaskedPlace { sequence: 0, position: fill.mask_position }];
            let logits = model.forward(&MaskedBatch { sequences: vec![ids], wanted })?;
            let softmax = Softmax::of(logits.row(0));
            let mut best: Vec<_> =
                (0..vocabulary as TokenId).map(|token| (softmax.logprob(token).exp(), token)).collect();
            best.sort_by(|a, b| b.0.total_cmp(&a.0));
            let expected = fill.top5_ids.iter().zip(&fill.top5_probability);
            for ((found, token), (expected_token, expected)) in best.iter().zip(expected) {
                assert_eq!(token, expected_token, "{}", fill.text);
                assert!((found - expected).abs() <= TOLERANCE, "{}: {found}, expected {expected}", fill.text);
            }
        }
        Ok(())
    })
}

#[test]
fn pseudo_log_likelihoods_are_those_of_the_reference() -> Result<()> {
    for_each_folder(|path, reference| {
        let (folder, mut model, mask) = open(path)?;
        let expected = &reference.pseudo_log_likelihood;
        let texts: Vec<_> =
            expected.iter().map(|text| folder.tokenizer.encode_words(&text.text)).collect::<Result<_, _>>()?;
        let scores = pseudo_log_likelihoods(&mut model, &texts, Masking::Token, mask, |_| {})?;
        for (index, expected) in expected.iter().enumerate() {
            let of_text = scores.iter().filter(|score| score.text == index);
            let found: f64 = of_text.clone().map(|score| score.reading.logprob).sum();
            println!("{}: {found:.5}, expected {:.5}", expected.text, expected.pseudo_log_likelihood);
            assert_eq!(of_text.count(), expected.tokens, "{}", expected.text);
            assert!((found - expected.pseudo_log_likelihood).abs() <= TOLERANCE, "{}: {found}", expected.text);
        }
        Ok(())
    })
}
