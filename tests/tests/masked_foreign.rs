//! A masked model that another program exported gives that program's figures.

use anyhow::{Context, Result};
use serde::Deserialize;
use veridraft_engine::evaluation::Softmax;
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{
    MaskedBatch, MaskedLanguageModel, MaskedModel, MaskedModelConfig, MaskedPlace, ModelFolder, Task, TokenId,
};
use veridraft_tests::shared_data;

const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Reference {
    fill: Vec<Fill>,
}

#[derive(Deserialize)]
struct Fill {
    text: String,
    ids: Vec<TokenId>,
    mask_position: usize,
    top5_ids: Vec<TokenId>,
    top5_probability: Vec<f64>,
}

#[test]
fn the_best_fillers_are_those_of_the_reference() -> Result<()> {
    let (Some(path), Some(reference)) =
        (shared_data("foreign/tiny-bert-optimum"), shared_data("foreign/tiny-bert-reference.json"))
    else {
        return Ok(());
    };
    let reference: Reference = serde_json::from_slice(&std::fs::read(reference)?)?;
    let folder = ModelFolder::open_for(Task::Masked, path)?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let mut model = MaskedModel::open(&runtime, &folder, MaskedModelConfig::default())?;
    let mask = folder.tokenizer.mask().context("a mask")?;
    for fill in &reference.fill {
        let ids = folder.tokenizer.encode_raw(&fill.text)?;
        assert_eq!(ids, fill.ids, "{}", fill.text);
        assert_eq!(ids.iter().position(|&id| id == mask), Some(fill.mask_position));
        let wanted = vec![MaskedPlace { sequence: 0, position: fill.mask_position }];
        let logits = model.forward(&MaskedBatch { sequences: vec![ids], wanted })?;
        let softmax = Softmax::of(logits.row(0));
        let mut best: Vec<_> = (0..600).map(|token: TokenId| (softmax.logprob(token).exp(), token)).collect();
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        for ((found, token), (expected_token, expected)) in
            best.iter().zip(fill.top5_ids.iter().zip(&fill.top5_probability))
        {
            assert_eq!(token, expected_token, "{}", fill.text);
            assert!((found - expected).abs() <= TOLERANCE, "{}: {found}, expected {expected}", fill.text);
        }
    }
    Ok(())
}
