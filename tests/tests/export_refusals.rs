//! A checkpoint whose tensors and configuration disagree is refused, never exported as another model.

use std::fs;

use anyhow::Result;
use veridraft_export::{ExportConfig, export};
use veridraft_tests::TinyLlama;

/// Exports the tiny checkpoint with `from` in its `config.json` replaced; the error without the path before it.
fn check(from: &str, to: &str, expected: &str) -> Result<()> {
    let tiny = TinyLlama::create()?;
    let path = tiny.checkpoint().join("config.json");
    let config = fs::read_to_string(&path)?;
    assert!(config.contains(from), "{config}");
    fs::write(&path, config.replace(from, to))?;
    let destination = tempfile::tempdir()?;
    let error = export(&tiny.checkpoint(), destination.path(), &ExportConfig::default(), &|_| {}).map(drop);
    let message = error.expect_err("the checkpoint is wrong").to_string();
    assert!(message.ends_with(expected), "{message}");
    assert!(!message.contains('\n'), "{message}");
    Ok(())
}

#[test]
fn a_layer_too_few_is_not_left_out_in_silence() -> Result<()> {
    let expected = "tensor `model.layers.1.input_layernorm.weight` has no place in a `llama` of 1 layers as the \
                    configuration describes it";
    check("\"num_hidden_layers\":2", "\"num_hidden_layers\":1", expected)
}

#[test]
fn a_layer_too_many_is_missing() -> Result<()> {
    let expected = "tensor `model.layers.2.input_layernorm.weight` is missing, expected [64]";
    check("\"num_hidden_layers\":2", "\"num_hidden_layers\":3", expected)
}

#[test]
fn a_wrong_shape_is_named() -> Result<()> {
    let expected = "tensor `model.layers.0.mlp.gate_proj.weight` is [96, 64], expected [97, 64]";
    check("\"intermediate_size\":96", "\"intermediate_size\":97", expected)
}
