//! A graph of ONNX Runtime's own products gives what the graph of Veridraft's gives.

use anyhow::Result;
use veridraft_export::{ExportConfig, MatMulOperators, Weights};
use veridraft_models::{Batch, BlockId, LanguageModel};
use veridraft_tests::TinyLlama;

/// Logits of a few tokens, and whether the model claims to be row-exact.
fn logits(weights: Weights, operators: MatMulOperators) -> Result<(Vec<f32>, bool)> {
    let tiny = TinyLlama::create_with(&ExportConfig { weights, operators, ..ExportConfig::default() })?;
    let mut model = tiny.open(2, 16)?;
    let batch = Batch {
        token_ids: vec![5, 80, 200, 17],
        positions: vec![0, 1, 2, 3],
        slot_mapping: vec![0, 1, 2, 3],
        block_tables: vec![vec![BlockId(0)]],
        query_starts: vec![0, 4],
        sources: Vec::new(),
        tree_mask: None,
        logit_rows: vec![0, 1, 2, 3],
    };
    Ok((model.forward(&batch)?.values, model.limits().row_exact))
}

/// Root mean square of the difference, by that of the expected logits.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| x * x).sum::<f32>();
    let differences = squares(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    (differences / squares(&mut expected.iter().copied())).sqrt()
}

#[test]
fn floats_agree_closely() -> Result<()> {
    let (expected, is_exact) = logits(Weights::F32, MatMulOperators::Veridraft)?;
    let (found, is_standard_exact) = logits(Weights::F32, MatMulOperators::Standard)?;
    assert!(is_exact && is_standard_exact);
    assert!(difference(&found, &expected) < 1e-5, "{}", difference(&found, &expected));
    Ok(())
}

/// Rounding weights and inputs moves the logits of this random model as far with one set of operators as with the other.
fn check_rounding(weights: Weights, most: f32) -> Result<()> {
    let (floats, _) = logits(Weights::F32, MatMulOperators::Veridraft)?;
    let (ours, is_exact) = logits(weights, MatMulOperators::Veridraft)?;
    let (theirs, is_standard_exact) = logits(weights, MatMulOperators::Standard)?;
    assert!(is_exact && !is_standard_exact, "ONNX Runtime's quantised products promise nothing");
    let [ours, theirs] = [ours, theirs].map(|logits| difference(&logits, &floats));
    println!("{weights}: veridraft {ours}, standard {theirs}");
    assert!(ours < most && theirs < most, "{weights}: veridraft {ours}, standard {theirs}, expected below {most}");
    Ok(())
}

#[test]
fn eight_bits_are_near_the_floats() -> Result<()> {
    check_rounding(Weights::Q8, 0.05)
}

#[test]
fn four_bits_are_not_far_from_the_floats() -> Result<()> {
    check_rounding(Weights::Q4, 0.5)
}
