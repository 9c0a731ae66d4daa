//! The Hugging Face folder of a GGUF file of every architecture has what `transformers` itself wrote for the same model.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use veridraft_export::{ExportConfig, FloatFormat, Weights, export, export_hugging_face};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, CausalModelConfig};
use veridraft_tests::{Reference, run_chunked};

/// The largest difference of logits, which are up to 18, in f32 on both sides.
const TOLERANCE: f32 = 1e-4;

#[derive(PartialEq)]
struct Tensor {
    element: Value,
    shape: Value,
    bytes: Vec<u8>,
}

/// The tensors of a safetensors file by name.
fn tensors(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = fs::read(path)?;
    let (length, rest) = bytes.split_first_chunk::<8>().context("a header")?;
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: BTreeMap<String, Value> = serde_json::from_slice(header)?;
    let entries = header.into_iter().filter(|(name, _)| name != "__metadata__");
    let read = |(name, entry): (String, Value)| {
        let place: [usize; 2] = serde_json::from_value(entry["data_offsets"].clone())?;
        let bytes = data[place[0]..place[1]].to_vec();
        Ok((name, Tensor { element: entry["dtype"].clone(), shape: entry["shape"].clone(), bytes }))
    };
    entries.map(read).collect()
}

#[test]
fn its_tensors_are_those_that_transformers_wrote() -> Result<()> {
    for reference in Reference::ALL {
        let Some(gguf) = reference.gguf() else { continue };
        let case = reference.case;
        let (expected, found) = (reference.hugging_face_folder()?, tempfile::tempdir()?);
        export_hugging_face(&gguf, found.path(), FloatFormat::F16, &|_| {}).context(case)?;
        let [expected, found] = [expected, found].map(|folder| tensors(&folder.path().join("model.safetensors")));
        let (mut expected, found) = (expected?, found?);
        // Older releases know the one name alone, the present one both.
        if let Some(head) = (case == "gpt_neox").then(|| expected.remove("lm_head.weight")).flatten() {
            expected.insert("embed_out.weight".to_owned(), head);
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{case}");
        for (name, tensor) in &found {
            assert_eq!(tensor.shape, expected[name].shape, "{case}, {name}");
            // Of a Gemma norm, the file has 1 and the weight together, which rounds the weight; and its q has the scale of
            // scores in it.
            let is_rounded =
                case.starts_with("gemma") && ["norm.weight", "q_proj.weight"].iter().any(|end| name.ends_with(end));
            assert!(is_rounded || *tensor == expected[name], "{case}, {name}");
        }
    }
    Ok(())
}

#[test]
fn its_logits_are_those_of_transformers() -> Result<()> {
    let runtime = Runtime::load(&LibraryChoice::default())?;
    for reference in Reference::ALL {
        let Some(gguf) = reference.gguf() else { continue };
        let (folder, model) = (tempfile::tempdir()?, tempfile::tempdir()?);
        export_hugging_face(&gguf, folder.path(), FloatFormat::F32, &|_| {})?;
        let config = ExportConfig { weights: Weights::F32, ..ExportConfig::default() };
        export(folder.path(), model.path(), &config, &|_| {}).context(reference.case)?;
        let settings = CausalModelConfig { threads: 1, ..CausalModelConfig::default() };
        let mut model = CausalModel::open(&runtime, &model.path().join("onnx/model.onnx"), settings)?;
        let tokens = reference.token_ids()?;
        let (found, _) = run_chunked(&mut model, &tokens, tokens.len())?;
        let differences = found.iter().zip(reference.logits()?).map(|(found, expected)| (found - expected).abs());
        let largest = differences.fold(0.0, f32::max);
        println!("{:16} {largest:.2e}", reference.case);
        assert!(largest <= TOLERANCE, "{}: {largest}", reference.case);
    }
    Ok(())
}
