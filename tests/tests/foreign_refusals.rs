//! Folders that cannot be are refused when they are opened, in one line that says what, where, found and expected.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};
use veridraft_tests::DenseFolder;

/// The message that a folder is refused with.
fn refusal(folder: &DenseFolder) -> String {
    let error = folder.open(1).err().expect("it cannot be opened").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// Replaces some bytes of the graph by as many others, everywhere.
fn replace(folder: &DenseFolder, found: &str, by: &str) -> Result<()> {
    assert_eq!(found.len(), by.len());
    let path = folder.path().join("model.onnx");
    let mut bytes = fs::read(&path)?;
    let places: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(found.as_bytes())).collect();
    assert!(!places.is_empty(), "`{found}` is in the graph");
    places.into_iter().for_each(|at| bytes[at..at + by.len()].copy_from_slice(by.as_bytes()));
    Ok(fs::write(path, bytes)?)
}

#[test]
fn a_configuration_that_disagrees_with_the_graph_is_named() -> Result<()> {
    let folder = DenseFolder::create("concatenated")?;
    let check = |field: &str, value: Value, expected: &str| -> Result<()> {
        let mut config = folder.config();
        config[field] = value;
        folder.write("config.json", &config)?;
        let error = refusal(&folder);
        assert!(error.ends_with(expected), "{error}");
        Ok(())
    };
    check(
        "num_key_value_heads",
        json!(8),
        "model.onnx`: input `past_key_values.0.key` has 2 heads, but `config.json` has 8",
    )?;
    check("hidden_size", json!(64), "input `past_key_values.0.key` has 8 numbers a head, but `config.json` has 32")?;
    check("num_hidden_layers", json!(30), "keys go in for 2 layers, but `config.json` has 30 layers")?;
    check("vocab_size", json!(50), "model.onnx`: output `logits` is [1, 1, 48], expected [1, 1, 50]")?;
    check(
        "max_position_embeddings",
        Value::Null,
        "the configuration names no context length, `max_position_embeddings`",
    )?;
    Ok(())
}

#[test]
fn names_that_nobody_knows_are_named() -> Result<()> {
    let check = |graph: &str, found: &str, by: &str, expected: &str| -> Result<()> {
        let folder = DenseFolder::create(graph)?;
        replace(&folder, found, by)?;
        let error = refusal(&folder);
        assert!(error.contains(expected), "{error}");
        Ok(())
    };
    check("concatenated", "position_ids", "position_idz", "input `position_idz` has no known part to play")?;
    check("concatenated", "present.1.value", "present.1.valve", "no output `present.1.value`")?;
    check("concatenated", "input_ids", "input_idz", "no input `input_ids`")?;
    check("in_place", "com.microsoft", "org.nosuchorg", "ONNX Runtime cannot open it: ")?;
    check("in_place", "com.microsoft", "org.nosuchorg", "org.nosuchorg")?;
    check("in_place", "GroupQueryAttention", "GroupQueryAttendant", "GroupQueryAttendant")?;
    Ok(())
}

#[test]
fn a_file_cut_short_anywhere_is_refused() -> Result<()> {
    let folder = DenseFolder::create("concatenated")?;
    let path = folder.path().join("model.onnx");
    let whole = fs::read(&path)?;
    for length in (1..whole.len()).step_by(997).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..length])?;
        let error = refusal(&folder);
        assert!(error.contains("cut short") || error.contains("ONNX Runtime cannot open it"), "{length}: {error}");
    }
    fs::write(&path, "<!DOCTYPE html><html>not found</html>")?;
    let error = refusal(&folder);
    assert!(error.contains("expected an ONNX file"), "{error}");
    Ok(())
}

#[test]
fn a_genai_folder_is_checked_field_by_field() -> Result<()> {
    let folder = DenseFolder::create("in_place")?;
    fs::remove_file(folder.path().join("config.json"))?;
    let sound = json!({
        "model": {
            "type": "llama", "vocab_size": 48, "context_length": 64, "bos_token_id": 0, "eos_token_id": [0, 7],
            "decoder": {
                "filename": "model.onnx", "head_size": 8, "num_hidden_layers": 2, "num_key_value_heads": 2,
                "inputs": { "input_ids": "input_ids", "past_key_names": "past_key_values.%d.key" },
                "outputs": { "logits": "logits", "present_value_names": "present.%d.value" },
            },
        },
        "search": { "do_sample": true, "temperature": 0.5, "top_k": 40 },
    });
    folder.write("genai_config.json", &sound)?;
    assert!(folder.open(1)?.notes.is_empty());
    let model = veridraft_models::ModelFolder::open(folder.path())?;
    assert_eq!((model.generation.temperature_in_use(), model.generation.top_k), (0.5, Some(40)));
    assert_eq!(model.generation.eos_token_ids, [0, 7]);
    let check = |pointer: &str, value: Value, expected: &str| -> Result<()> {
        let mut config = sound.clone();
        *config.pointer_mut(pointer).expect(pointer) = value;
        folder.write("genai_config.json", &config)?;
        let error = refusal(&folder);
        assert!(error.contains(expected), "{error}");
        Ok(())
    };
    check("/model", json!(3), "genai_config.json`: `model` is `3`, expected an object")?;
    check("/model/decoder", Value::Null, "genai_config.json`: no `model.decoder`")?;
    check("/model/vocab_size", Value::Null, "genai_config.json`: no `model.vocab_size`")?;
    check("/model/decoder/filename", json!("../model.onnx"), "is `../model.onnx`, expected a file in the folder")?;
    check(
        "/model/decoder/filename",
        json!("other.onnx"),
        "`model.decoder.filename` is `other.onnx`, which is missing",
    )?;
    check("/model/decoder/head_size", json!("8"), "`model.decoder.head_size` is a string, expected an integer")?;
    check("/model/decoder/head_size", json!(16), "has 8 numbers a head, but `genai_config.json` has 16")?;
    check("/model/decoder/inputs/input_ids", json!("ids"), "no input `ids`")?;
    check("/model/decoder/inputs/past_key_names", json!("past.%d"), "no input `past.0`")?;
    check("/search/temperature", json!("hot"), "`search.temperature` is a string, expected a number")?;
    Ok(())
}
