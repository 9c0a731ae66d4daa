//! A profiled model says where each pass went, by kind of node, and computes the same numbers as any other.

use anyhow::{Context, Result};
use veridraft_models::{CausalModelConfig, LanguageModel};
use veridraft_tests::{TinyLlama, one_token};

#[test]
fn a_profile_has_every_pass_and_its_operators() -> Result<()> {
    let tiny = TinyLlama::create()?;
    let config = CausalModelConfig { threads: 2, profile: true, ..CausalModelConfig::default() };
    let mut model = tiny.open_with(16, config)?;
    let logits = (0..3).map(|_| Ok(model.forward(&one_token(7))?)).collect::<Result<Vec<_>>>()?;
    let profile = model.end_profile()?.context("it was asked for")?;
    assert_eq!((profile.passes.len(), model.threads()), (3, 2));
    for pass in &profile.passes {
        assert!(pass.contains_key("MatMul") && pass.contains_key("PagedAttention"), "{pass:?}");
    }
    assert_eq!(model.end_profile()?, None, "a profile ends once");
    assert_eq!(model.forward(&one_token(7))?, logits[0], "the model runs on without it");
    Ok(())
}

#[test]
fn a_model_has_a_profile_only_if_it_was_asked_for() -> Result<()> {
    let mut model = TinyLlama::create()?.open(2, 16)?;
    let logits = model.forward(&one_token(7))?;
    assert_eq!(model.end_profile()?, None);
    let config = CausalModelConfig { profile: true, ..CausalModelConfig::default() };
    assert_eq!(TinyLlama::create()?.open_with(16, config)?.forward(&one_token(7))?, logits);
    Ok(())
}
