//! `genai_config.json`: what onnxruntime-genai's folders say of their model, in place of `config.json` and
//! `generation_config.json`, and under which names the graph takes what.

use std::path::{Component, Path, PathBuf};

use super::config::vocab_size;
use super::json_object::JsonObject;
use super::{Description, GenerationDefaults, GraphNames, ModelConfig};
use crate::{Error, Result};

/// The file's name.
pub(super) const FILE: &str = "genai_config.json";

/// Reads the file of a folder that has it.
pub(super) fn open(folder: &Path) -> Result<Description> {
    let path = folder.join(FILE);
    let json = JsonObject::open_if_exists(&path)?.ok_or_else(|| Error::model_file(folder, format!("no `{FILE}`")))?;
    let model = json.object("model")?.ok_or_else(|| json.missing("model"))?;
    let decoder = model.object("decoder")?.ok_or_else(|| model.missing("decoder"))?;
    for several in ["encoder", "vision", "speech"] {
        if model.value(several).is_some() {
            return Err(json.error(format!("`model.{several}` is given, expected a decoder alone")));
        }
    }
    if decoder.value("pipeline").is_some() {
        return Err(json.error("`model.decoder.pipeline` is given, expected one graph"));
    }
    Ok(Description {
        onnx_path: graph(folder, &decoder)?,
        encoder: None,
        names: names(&decoder)?,
        config: config(&model, &decoder)?,
        generation: generation(&json, &model)?,
    })
}

fn graph(folder: &Path, decoder: &JsonObject) -> Result<PathBuf> {
    let name = decoder.string("filename")?.ok_or_else(|| decoder.missing("filename"))?;
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        return Err(decoder.error(format!("`model.decoder.filename` is `{name}`, expected a file in the folder")));
    }
    let path = folder.join(name);
    if !path.is_file() {
        return Err(decoder.error(format!("`model.decoder.filename` is `{name}`, which is missing")));
    }
    Ok(path)
}

fn names(decoder: &JsonObject) -> Result<GraphNames> {
    let mut names = GraphNames::default();
    let take = |section: &str, fields: &mut [(&str, &mut String)]| -> Result<()> {
        let Some(section) = decoder.object(section)? else { return Ok(()) };
        for (field, name) in fields {
            if let Some(given) = section.string(field)? {
                **name = given.to_owned();
            }
        }
        Ok(())
    };
    take(
        "inputs",
        &mut [
            ("input_ids", &mut names.input_ids),
            ("attention_mask", &mut names.attention_mask),
            ("position_ids", &mut names.position_ids),
            ("past_key_names", &mut names.past_key),
            ("past_value_names", &mut names.past_value),
        ],
    )?;
    let outputs: &mut [(&str, &mut String)] = &mut [
        ("logits", &mut names.logits),
        ("present_key_names", &mut names.present_key),
        ("present_value_names", &mut names.present_value),
    ];
    take("outputs", outputs)?;
    Ok(names)
}

fn config(model: &JsonObject, decoder: &JsonObject) -> Result<ModelConfig> {
    Ok(ModelConfig {
        model_type: model.string("type")?.map(str::to_owned),
        vocab_size: vocab_size(model)?,
        max_position_embeddings: model.count("context_length")?,
        bos_token_id: model.token_ids("bos_token_id")?.first().copied(),
        eos_token_ids: model.token_ids("eos_token_id")?,
        decoder_start_token_id: None,
        layers: decoder.count("num_hidden_layers")?,
        kv_heads: decoder.count("num_key_value_heads")?,
        head_dim: decoder.count("head_size")?,
    })
}

fn generation(json: &JsonObject, model: &JsonObject) -> Result<GenerationDefaults> {
    let eos_token_ids = model.token_ids("eos_token_id")?;
    let Some(search) = json.object("search")? else {
        return Ok(GenerationDefaults { eos_token_ids, ..GenerationDefaults::default() });
    };
    Ok(GenerationDefaults {
        do_sample: search.boolean("do_sample")?,
        temperature: search.number("temperature")?,
        top_k: search.count("top_k")?,
        top_p: search.number("top_p")?,
        min_p: search.number("min_p")?,
        repetition_penalty: search.number("repetition_penalty")?,
        decoder_start_token_id: None,
        eos_token_ids,
    })
}
