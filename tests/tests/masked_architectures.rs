//! Every architecture of masked models gives what transformers gives, in any company.
//!
//! The checkpoints and logits are made by `tests/reference/masked.py`.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use veridraft_engine::evaluation::{Masking, PseudoScore, Reading, Softmax, pseudo_log_likelihoods};
use veridraft_export::{ExportConfig, MatMulOperators, Weights, export};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{
    Logits, MaskedBatch, MaskedLanguageModel, MaskedModel, MaskedModelConfig, MaskedPlace, ModelFolder, Task, TokenId,
    WordEncoding,
};
use veridraft_tests::MaskedReference;

/// The largest difference of logits from those of transformers, in f32 on both sides.
const TOLERANCE: f32 = 1e-4;
/// The largest difference of a text's logits alone and among others.
const IN_COMPANY: f32 = 1e-5;

/// A model and what its folder says; deleted when dropped.
struct Open {
    model: MaskedModel,
    folder: ModelFolder,
    _place: TempDir,
}

impl Open {
    fn exported(checkpoint: &Path, weights: Weights, operators: MatMulOperators) -> Result<Self> {
        let place = tempfile::tempdir()?;
        let progress = Cell::new((0, 0));
        let config = ExportConfig { weights, operators, ..ExportConfig::default() };
        export(checkpoint, place.path(), &config, &|now| progress.set((now.tensors_done, now.tensors_total)))?;
        let (done, total) = progress.get();
        assert_eq!(done, total, "tensors written and in the model");
        let folder = ModelFolder::open_for(Task::Masked, place.path())?;
        let runtime = Runtime::load(&LibraryChoice::default())?;
        let model = MaskedModel::open(&runtime, &folder, MaskedModelConfig { threads: 2, ..Default::default() })?;
        assert_eq!(model.weights(), weights.name());
        Ok(Self { model, folder, _place: place })
    }

    fn of(reference: &MaskedReference, weights: Weights, operators: MatMulOperators) -> Result<Self> {
        let checkpoint = reference.hugging_face_folder()?;
        Self::exported(checkpoint.path(), weights, operators).with_context(|| reference.case.to_owned())
    }

    /// Scores of every token of texts that share a pass.
    fn logits(&mut self, texts: &[Vec<TokenId>]) -> Result<Logits> {
        let places = |(sequence, text): (usize, &Vec<TokenId>)| {
            (0..text.len()).map(move |position| MaskedPlace { sequence, position })
        };
        let wanted = texts.iter().enumerate().flat_map(places).collect();
        Ok(self.model.forward(&MaskedBatch { sequences: texts.to_vec(), wanted })?)
    }
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

/// Root mean square of the difference, by that of the expected logits.
fn relative_difference(found: &[f32], expected: &[f32]) -> f32 {
    let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| x * x).sum::<f32>();
    let differences = squares(&mut found.iter().zip(expected).map(|(found, expected)| found - expected));
    (differences / squares(&mut expected.iter().copied())).sqrt()
}

#[test]
fn logits_are_those_of_transformers() -> Result<()> {
    for reference in MaskedReference::ALL {
        for operators in MatMulOperators::ALL {
            let mut open = Open::of(&reference, Weights::F32, operators)?;
            let logits = open.logits(&reference.texts()?)?;
            assert_eq!(logits.vocabulary, MaskedReference::VOCABULARY);
            let found = largest_difference(&logits.values, &reference.logits()?);
            println!("{:12} {:10} {found:.2e}", reference.case, operators.name());
            assert!(found <= TOLERANCE, "{}, {}: {found}", reference.case, operators.name());
        }
    }
    Ok(())
}

/// Floats stay; rounding weights and inputs of such small random models moves their logits, but not to others.
#[test]
fn every_format_of_weights_is_near() -> Result<()> {
    for reference in MaskedReference::ALL {
        for (weights, most) in [(Weights::Auto, 1e-5), (Weights::Q8, 0.1), (Weights::Q4, 0.6)] {
            for operators in MatMulOperators::ALL {
                let mut open = Open::of(&reference, weights, operators)?;
                let found = relative_difference(&open.logits(&reference.texts()?)?.values, &reference.logits()?);
                println!("{:12} {weights:4} {:10} {found:.2e}", reference.case, operators.name());
                assert!(found <= most, "{}, {weights}, {}: {found}", reference.case, operators.name());
            }
        }
    }
    Ok(())
}

#[test]
fn padding_changes_no_text() -> Result<()> {
    for reference in MaskedReference::ALL {
        let mut open = Open::of(&reference, Weights::F32, MatMulOperators::Veridraft)?;
        let longest = open.model.limits().context_length;
        let text = |length: usize, first: u32| (0..length as u32).map(|index| 2 + (first + index * 11) % 62).collect();
        let texts: Vec<Vec<TokenId>> = [3, longest, 1, 8, 2, 17].map(|length| text(length, length as u32)).to_vec();
        let mut alone = Vec::new();
        for text in &texts {
            alone.extend(open.logits(std::slice::from_ref(text))?.values);
        }
        let found = largest_difference(&open.logits(&texts)?.values, &alone);
        println!("{:12} {found:.2e}", reference.case);
        assert!(found <= IN_COMPANY, "{}: {found}", reference.case);
    }
    Ok(())
}

#[test]
fn other_names_of_tensors_are_known() -> Result<()> {
    let check = |case: usize, replacements: &[(&str, &str)]| -> Result<()> {
        let reference = &MaskedReference::ALL[case];
        let folder = reference.hugging_face_folder()?;
        rename(folder.path(), replacements)?;
        let mut open = Open::exported(folder.path(), Weights::F32, MatMulOperators::Veridraft)?;
        let found = largest_difference(&open.logits(&reference.texts()?)?.values, &reference.logits()?);
        assert!(found <= TOLERANCE, "{found}");
        Ok(())
    };
    check(0, &[("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")])?;
    check(0, &[("cls.predictions.bias", "cls.predictions.decoder.bias")])?;
    check(3, &[("roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight")])
}

#[test]
fn tensors_that_do_not_fit_are_named() -> Result<()> {
    let check = |from: &str, to: &str, expected: &str| -> Result<()> {
        let folder = MaskedReference::ALL[0].hugging_face_folder()?;
        rename(folder.path(), &[(from, to)])?;
        let error = export(folder.path(), tempfile::tempdir()?.path(), &ExportConfig::default(), &|_| {});
        let error = error.expect_err(expected).to_string();
        assert!(error.ends_with(expected), "{error}, expected {expected}");
        Ok(())
    };
    check("cls.predictions.bias", "cls.predictions.boss", "tensor `cls.predictions.bias` is missing, expected [64]")?;
    check(
        "\"cls.predictions.transform.dense.weight\"",
        "\"bert.encoder.layer.2.output.dense.weight\"",
        "tensor `cls.predictions.transform.dense.weight` is missing, expected [32, 32]",
    )
}

#[test]
fn hidden_states_are_refused() -> Result<()> {
    let folder = MaskedReference::ALL[0].hugging_face_folder()?;
    let config = ExportConfig { hidden_states: vec![1], ..ExportConfig::default() };
    let error =
        export(folder.path(), tempfile::tempdir()?.path(), &config, &|_| {}).expect_err("they are for decoders");
    assert!(error.to_string().ends_with("hidden states 1 are asked for, expected none of a masked language model"));
    Ok(())
}

#[test]
fn a_model_of_another_kind_is_refused_with_what_runs_it() -> Result<()> {
    let open = Open::of(&MaskedReference::ALL[0], Weights::F32, MatMulOperators::Veridraft)?;
    let error = ModelFolder::open(&open.folder.path).expect_err("masked").to_string();
    assert!(error.contains("holds a masked language model, expected a causal language model"), "{error}");
    let tiny = veridraft_tests::TinyLlama::create()?;
    let error = ModelFolder::open_for(Task::Masked, tiny.model()).expect_err("causal").to_string();
    assert!(error.contains("holds a causal language model, expected a masked language model"), "{error}");
    Ok(())
}

#[test]
fn a_folder_that_contradicts_its_graph_is_refused() -> Result<()> {
    let open = Open::of(&MaskedReference::ALL[2], Weights::F32, MatMulOperators::Veridraft)?;
    let config = open.folder.path.join("config.json");
    let text = fs::read_to_string(&config)?;
    let check = |from: &str, to: &str, expected: &str| -> Result<()> {
        assert!(text.contains(from), "{from}");
        fs::write(&config, text.replace(from, to))?;
        let folder = ModelFolder::open_for(Task::Masked, &open.folder.path)?;
        let runtime = Runtime::load(&LibraryChoice::default())?;
        let error = MaskedModel::open(&runtime, &folder, MaskedModelConfig::default()).err().context("it opens")?;
        assert!(error.to_string().ends_with(expected), "{error}, expected {expected}");
        Ok(())
    };
    check(
        "\"vocab_size\": 64",
        "\"vocab_size\": 65",
        "output `logits` scores 64 tokens, but `vocab_size` in `config.json` is 65",
    )?;
    check("\"pad_token_id\": 1", "\"pad_token_id\": 64", "`pad_token_id` is 64, expected less than `vocab_size`, 64")?;
    check("\"max_position_embeddings\": 26,", "", "no `max_position_embeddings`")?;
    check(
        "\"max_position_embeddings\": 26",
        "\"max_position_embeddings\": 2",
        "`max_position_embeddings` is 2, expected more than the 2 before the first token",
    )
}

#[test]
fn batches_that_cannot_be_are_refused() -> Result<()> {
    let mut open = Open::of(&MaskedReference::ALL[2], Weights::F32, MatMulOperators::Veridraft)?;
    let mut check = |sequences: &[Vec<TokenId>], place: [usize; 2], expected: &str| {
        let wanted = vec![MaskedPlace { sequence: place[0], position: place[1] }];
        let error = open.model.forward(&MaskedBatch { sequences: sequences.to_vec(), wanted }).expect_err(expected);
        assert_eq!(error.to_string(), format!("batch: {expected}"));
    };
    check(&[vec![2; 25]], [0, 0], "25 tokens of sequence 0, expected 1 to the model's context, 24");
    check(&[vec![2], vec![]], [0, 0], "0 tokens of sequence 1, expected 1 to the model's context, 24");
    check(&[vec![2, 64]], [0, 0], "token 64, expected less than the vocabulary, 64");
    check(&[vec![2]], [0, 1], "scores of MaskedPlace { sequence: 0, position: 1 }, expected a token of the batch");
    check(&[vec![2]], [1, 0], "scores of MaskedPlace { sequence: 1, position: 0 }, expected a token of the batch");
    assert!(open.model.forward(&MaskedBatch::default())?.values.is_empty());
    Ok(())
}

/// A pass for every token, and masks set one by one.
fn one_by_one(open: &mut Open, texts: &[WordEncoding], masking: Masking, mask: TokenId) -> Result<Vec<PseudoScore>> {
    let mut scores = Vec::new();
    for (text, WordEncoding { token_ids, words }) in texts.iter().enumerate() {
        for position in (0..token_ids.len()).filter(|&position| words[position].is_some()) {
            let hides = |other: usize| {
                other == position
                    || masking == Masking::WordLeftToRight && other > position && words[other] == words[position]
            };
            let copy = (0..token_ids.len()).map(|other| if hides(other) { mask } else { token_ids[other] }).collect();
            let logits = open.logits(&[copy])?;
            let reading = Reading::of(&Softmax::of(logits.row(position)), token_ids[position]);
            scores.push(PseudoScore { text, position, token: token_ids[position], reading });
        }
    }
    Ok(scores)
}

#[test]
fn pseudo_log_likelihoods_are_those_of_one_pass_a_token() -> Result<()> {
    let texts =
        ["the trait or fled.", "", "a", "what, my lord?", "[MASK] of masks", "\u{4e09}\u{0}x\u{200b} \u{1f600}"];
    for reference in MaskedReference::ALL {
        let mut open = Open::of(&reference, Weights::F32, MatMulOperators::Veridraft)?;
        let encoded: Vec<_> =
            texts.iter().map(|text| open.folder.tokenizer.encode_words(text)).collect::<Result<_, _>>()?;
        let mask = open.folder.tokenizer.mask().context("a mask")?;
        for masking in [Masking::Token, Masking::WordLeftToRight] {
            let found = pseudo_log_likelihoods(&mut open.model, &encoded, masking, mask, |_| {})?;
            let expected = one_by_one(&mut open, &encoded, masking, mask)?;
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(
                    (found.text, found.position, found.token),
                    (expected.text, expected.position, expected.token)
                );
                assert!(
                    (found.reading.logprob - expected.reading.logprob).abs() < 1e-5,
                    "{found:?}, expected {expected:?}"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    /// Whatever texts hold, each of their tokens is scored once.
    #[test]
    fn any_texts_have_scores(texts in vec(any::<String>(), 0..4)) {
        let mut open = Open::of(&MaskedReference::ALL[4], Weights::F32, MatMulOperators::Veridraft).expect("it opens");
        let encode = |text: &String| open.folder.tokenizer.encode_words(text);
        let encoded: Vec<_> = texts.iter().map(encode).collect::<Result<_, _>>().expect("tokens");
        for (text, encoding) in texts.iter().zip(&encoded) {
            prop_assert_eq!(&open.folder.tokenizer.encode_raw(text).expect("tokens"), &encoding.token_ids);
            prop_assert_eq!(encoding.words.len(), encoding.token_ids.len());
        }
        let mask = open.folder.tokenizer.mask().expect("a mask");
        let found = pseudo_log_likelihoods(&mut open.model, &encoded, Masking::WordLeftToRight, mask, |_| {});
        let found = found.expect("scores");
        prop_assert!(found.iter().all(|score| score.reading.logprob.is_finite() && score.reading.logprob <= 0.0));
        prop_assert_eq!(found.len(), encoded.iter().map(|it| it.words.iter().flatten().count()).sum::<usize>());
    }
}

/// Replaces text in the header of the folder's safetensors.
fn rename(folder: &Path, replacements: &[(&str, &str)]) -> Result<()> {
    let file = folder.join("model.safetensors");
    let bytes = fs::read(&file)?;
    let (length, rest) = bytes.split_first_chunk::<8>().context("a header")?;
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header = String::from_utf8(header.to_vec())?;
    for (from, to) in replacements {
        assert!(header.contains(from), "{from}");
        header = header.replace(from, to);
    }
    fs::write(&file, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat())?;
    Ok(())
}
