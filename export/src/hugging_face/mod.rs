//! From a GGUF file to a Hugging Face folder: the form that `transformers`, and the tools that build on it, read.
//!
//! Codes become floats, which is the one thing that all of those tools take; whoever wants codes again quantises the
//! folder. Invariant: the folder has every tensor that its `config.json` asks for and no other. `transformers` itself
//! would only warn of a missing one, and run on random numbers in its place.

mod arrange;
mod layout;
mod safetensors_file;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::{Error, ExportProgress, FloatFormat, Result};
use safetensors_file::SafetensorsFile;

/// Fills the empty folder `destination` with the model of `source`, a GGUF file.
///
/// Writes `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json` and `model.safetensors`.
/// On an error the folder holds an unknown part of that: write beside the place where a model is looked for, and rename.
pub fn export_hugging_face(
    source: &Path,
    destination: &Path,
    floats: FloatFormat,
    progress: &dyn Fn(ExportProgress),
) -> Result<()> {
    if source.is_dir() {
        return Err(Error::checkpoint(source)("is a folder, expected a GGUF file".to_owned()));
    }
    let checkpoint = Checkpoint::open(source)?;
    let tensors = layout::tensors(&checkpoint.config, &*checkpoint.tensors)?;
    for (name, text) in checkpoint.companion_files()? {
        let text = if name == "config.json" { with_dtype(&text, floats) } else { text };
        let path = destination.join(name);
        std::fs::write(&path, text).map_err(Error::io("write", &path))?;
    }
    let path = destination.join("model.safetensors");
    let mut file = SafetensorsFile::create(&path, floats, &tensors)?;
    for (index, tensor) in tensors.iter().enumerate() {
        arrange::read(tensor, &*checkpoint.tensors, &mut |values| file.append(&tensor.name, values))?;
        progress(ExportProgress { tensors_done: index + 1, tensors_total: tensors.len() });
    }
    file.finish()
}

/// `config.json` with the type of the weights, which `transformers` loads them in.
fn with_dtype(config: &str, floats: FloatFormat) -> String {
    let mut config: serde_json::Value = serde_json::from_str(config).expect("it was written from such a value");
    config["torch_dtype"] = json!(floats.torch_name());
    format!("{config:#}\n")
}
