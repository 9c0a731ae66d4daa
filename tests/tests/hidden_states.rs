//! The residual stream between layers is given out on request, and nothing else changes.

use anyhow::Result;
use tempfile::TempDir;
use veridraft_export::{ExportConfig, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{Batch, CausalModel, CausalModelConfig, HiddenStates, LanguageModel};
use veridraft_tests::{Reference, add_rows, assert_same_bits, scattered_table};

fn open(reference: &Reference, hidden_states: &[usize]) -> Result<(TempDir, CausalModel)> {
    let (checkpoint, folder) = (reference.hugging_face_folder()?, tempfile::tempdir()?);
    let config = ExportConfig { hidden_states: hidden_states.to_vec(), ..ExportConfig::default() };
    export(checkpoint.path(), folder.path(), &config, &|_| {})?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let model = CausalModel::open(&runtime, &folder.path().join("onnx/model.onnx"), CausalModelConfig::default())?;
    Ok((folder, model))
}

fn batch(reference: &Reference) -> Result<Batch> {
    let (mut batch, tokens) = (Batch::default(), reference.token_ids()?);
    add_rows(&mut batch, &tokens, 0, tokens.len(), &scattered_table(0, 1, tokens.len()));
    Ok(batch)
}

#[test]
fn hidden_states_are_those_of_transformers() -> Result<()> {
    let mut checked = 0;
    for reference in Reference::ALL {
        let Some(expected) = reference.hidden_states()? else { continue };
        let batch = batch(&reference)?;
        let (_folder, mut model) = open(&reference, &[2, 0, 1])?;
        assert_eq!(model.metadata().hidden_states, [2, 0, 1]);
        let (_, states) = model.forward_with_hidden_states(&batch)?;
        let size = expected.len() / 3;
        assert_eq!(states.iter().map(|state| state.layers).collect::<Vec<_>>(), [2, 0, 1]);
        for HiddenStates { layers, width, values } in states {
            assert_eq!((width * batch.rows(), values.len()), (size, size));
            let pairs = values.iter().zip(&expected[layers * size..][..size]);
            let difference = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
            println!("{} {layers} {difference:.2e}", reference.case);
            assert!(difference < 1e-4, "{}, behind {layers} layers: {difference}", reference.case);
        }
        checked += 1;
    }
    assert_eq!(checked, 3);
    Ok(())
}

#[test]
fn logits_stay_to_the_bit() -> Result<()> {
    for reference in Reference::ALL {
        let batch = batch(&reference)?;
        let (_plain, mut plain) = open(&reference, &[])?;
        let (_with, mut with) = open(&reference, &[0, 1, 2])?;
        let expected = plain.forward(&batch)?;
        assert_same_bits(&with.forward(&batch)?.values, &expected.values, reference.case);
        let (logits, states) = with.forward_with_hidden_states(&batch)?;
        assert_same_bits(&logits.values, &expected.values, reference.case);
        assert_eq!(states.len(), 3);
        assert_eq!(plain.forward_with_hidden_states(&batch)?.1, []);
    }
    Ok(())
}

#[test]
fn layers_that_are_not_there_are_refused() -> Result<()> {
    let check = |asked: &[usize], expected: &str| {
        let error = open(&Reference::ALL[0], asked).map(drop).expect_err("it should be refused").to_string();
        assert!(error.ends_with(expected), "{error}");
    };
    check(&[0, 3], "hidden state 3 is asked for, expected 0 to 2, its layers");
    check(&[1, 2, 1], "hidden state 1 is asked for twice");
    Ok(())
}
