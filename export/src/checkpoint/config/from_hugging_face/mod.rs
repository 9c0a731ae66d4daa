//! `config.json` of a Hugging Face folder.
//!
//! What a file leaves out has the default of the architecture's configuration class in the `transformers` library.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{DecoderConfig, RopeScaling, yarn_attention_factor};
use crate::{Error, Result};

/// Values of `model_type` that have a graph.
const KNOWN: &[&str] = &["llama", "mistral", "qwen2"];

/// Reads `config.json` in `folder`.
pub(in crate::checkpoint) fn from_folder(folder: &Path) -> Result<DecoderConfig> {
    let path = folder.join("config.json");
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    parse(path, &bytes)
}

pub(super) fn parse(path: PathBuf, bytes: &[u8]) -> Result<DecoderConfig> {
    let fail = Error::checkpoint(&path);
    let json: Value = serde_json::from_slice(bytes).map_err(|error| fail(format!("not JSON: {error}")))?;
    let file = Fields::of(&json, "the file").map_err(&fail)?;
    let found = file.text("model_type").map_err(&fail)?.unwrap_or("missing");
    if !KNOWN.contains(&found) {
        return Err(Error::UnknownArchitecture { path, found: found.to_owned(), known: KNOWN });
    }
    let config = read(&file, found).map_err(&fail)?;
    config.check().map_err(&fail)?;
    Ok(config)
}

fn read(file: &Fields, architecture: &str) -> Result<DecoderConfig, String> {
    refuse_other_models(file, architecture)?;
    let (hidden, heads) = (file.required("hidden_size")?, file.required("num_attention_heads")?);
    let layers = file.required("num_hidden_layers")?;
    let context_length = file.required("max_position_embeddings")?;
    let default_kv_heads = match architecture {
        // A file that is silent means the class's default; one that says `null` means as many as query heads.
        "mistral" if !file.0.contains_key("num_key_value_heads") => 8,
        "qwen2" if !file.0.contains_key("num_key_value_heads") => 32,
        _ => heads,
    };
    let head_dim = match file.count("head_dim")? {
        Some(head_dim) => head_dim,
        None if heads > 0 && hidden.is_multiple_of(heads) => hidden / heads,
        None => return Err(format!("`hidden_size` {hidden} is not a multiple of `num_attention_heads` {heads}")),
    };
    Ok(DecoderConfig {
        architecture: architecture.to_owned(),
        layers,
        hidden,
        intermediate: file.required("intermediate_size")?,
        heads,
        kv_heads: file.count("num_key_value_heads")?.unwrap_or(default_kv_heads),
        head_dim,
        vocabulary: file.required("vocab_size")?,
        context_length,
        rms_eps: file.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        rope_theta: rope_theta(file)?,
        rope_scaling: rope_scaling(file, context_length)?,
        attention_bias: architecture == "qwen2",
        tied_embeddings: file.flag("tie_word_embeddings")?,
        sliding_window: sliding_window(file, architecture, layers)?,
    })
}

/// Refuses what changes the arithmetic in a way that the graph does not have.
fn refuse_other_models(file: &Fields, architecture: &str) -> Result<(), String> {
    let activation = file.text("hidden_act")?.unwrap_or("silu");
    if activation != "silu" {
        return Err(format!("`hidden_act` is `{activation}`, expected `silu`"));
    }
    // In `llama` the flag stands for biases on q, k, v and o; `qwen2` has those of q, k and v whatever the file says.
    for flag in ["attention_bias", "mlp_bias"] {
        if architecture == "llama" && file.flag(flag)? {
            return Err(format!("`{flag}` is true, expected false"));
        }
    }
    if file.value("quantization_config").is_some() {
        return Err("the weights are quantised (`quantization_config`), expected F32, F16 or BF16".to_owned());
    }
    Ok(())
}

fn sliding_window(file: &Fields, architecture: &str, layers: usize) -> Result<Option<usize>, String> {
    let window = match architecture {
        "mistral" => file.count("sliding_window")?,
        "qwen2" if file.flag("use_sliding_window")? => file.count("sliding_window")?,
        _ => None,
    };
    if window.is_none() {
        return Ok(None);
    }
    let full_layers = match file.value("layer_types") {
        Some(Value::Array(types)) => types.iter().filter(|layer| *layer == "full_attention").count(),
        Some(_) => return Err("`layer_types` is not a list".to_owned()),
        None if architecture == "qwen2" => file.count("max_window_layers")?.unwrap_or(28).min(layers),
        None => 0,
    };
    match full_layers {
        0 => Ok(window),
        full if full == layers => Ok(None),
        full => Err(format!("{full} of {layers} layers attend without the sliding window, expected all or none")),
    }
}

/// The object with the rotary settings: `rope_parameters` since transformers 5, `rope_scaling` before.
fn rope_parameters<'a>(file: &Fields<'a>) -> Result<Option<Fields<'a>>, String> {
    let Some(name) = ["rope_parameters", "rope_scaling"].into_iter().find(|name| file.value(name).is_some()) else {
        return Ok(None);
    };
    let parameters = Fields::of(&file.0[name], &format!("`{name}`"))?;
    if parameters.0.values().any(Value::is_object) {
        return Err(format!("`{name}` differs by layer type, expected one setting for all layers"));
    }
    Ok(Some(parameters))
}

fn rope_theta(file: &Fields) -> Result<f64, String> {
    let parameters = rope_parameters(file)?;
    let inner = parameters.map(|parameters| parameters.number("rope_theta")).transpose()?.flatten();
    Ok(inner.or(file.number("rope_theta")?).unwrap_or(10_000.0))
}

fn rope_scaling(file: &Fields, context_length: usize) -> Result<RopeScaling, String> {
    let nothing = Map::new();
    let parameters = rope_parameters(file)?.unwrap_or(Fields(&nothing));
    for fields in [file, &parameters] {
        let rotated = fields.number("partial_rotary_factor")?.unwrap_or(1.0);
        if rotated != 1.0 {
            return Err(format!("`partial_rotary_factor` is {rotated}, expected 1"));
        }
    }
    let rope_type = match parameters.text("rope_type")? {
        Some(rope_type) => rope_type,
        None => parameters.text("type")?.unwrap_or("default"),
    };
    let original_context = || -> Result<f64, String> {
        let name = "original_max_position_embeddings";
        let original = file.number(name)?.or(parameters.number(name)?);
        Ok(original.unwrap_or(context_length as f64))
    };
    match rope_type {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: parameters.required_number("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: parameters.required_number("factor")?,
            low_freq_factor: parameters.required_number("low_freq_factor")?,
            high_freq_factor: parameters.required_number("high_freq_factor")?,
            original_context: original_context()?,
        }),
        "yarn" => yarn(&parameters, original_context()?, context_length),
        other => Err(format!("the rotary scaling is `{other}`, expected one of default, linear, llama3, yarn")),
    }
}

fn yarn(parameters: &Fields, original_context: f64, context_length: usize) -> Result<RopeScaling, String> {
    let factor = parameters.number("factor")?.unwrap_or(context_length as f64 / original_context);
    let attention_factor = match (parameters.number("attention_factor")?, parameters.number("mscale")?) {
        (Some(given), _) => given,
        (None, mscale) => {
            // `mscale` and `mscale_all_dim` scale the logarithm above and below the line; they count only together.
            let scaled = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
            let given = |scale: Option<f64>| scale.filter(|&scale| scale != 0.0);
            match (given(mscale), given(parameters.number("mscale_all_dim")?)) {
                (Some(above), Some(below)) => scaled(above) / scaled(below),
                _ => yarn_attention_factor(factor),
            }
        }
    };
    Ok(RopeScaling::Yarn {
        factor,
        attention_factor,
        beta_fast: parameters.number("beta_fast")?.unwrap_or(32.0),
        beta_slow: parameters.number("beta_slow")?.unwrap_or(1.0),
        original_context,
        truncate: parameters.value("truncate").is_none_or(|truncate| truncate != &Value::Bool(false)),
    })
}

/// A JSON object read field by field. `null` counts as absent, as it does for the library that writes these files.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(value: &'a Value, what: &str) -> Result<Self, String> {
        value.as_object().map(Self).ok_or_else(|| format!("{what} is not a JSON object"))
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        self.typed(name, "a string", Value::as_str)
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(self.typed(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn number(&self, name: &str) -> Result<Option<f64>, String> {
        self.typed(name, "a number", Value::as_f64)
    }

    fn count(&self, name: &str) -> Result<Option<usize>, String> {
        self.typed(name, "an integer of at least 0", |value| value.as_u64()?.try_into().ok())
    }

    fn required(&self, name: &str) -> Result<usize, String> {
        self.count(name)?.ok_or_else(|| format!("no `{name}`"))
    }

    fn required_number(&self, name: &str) -> Result<f64, String> {
        self.number(name)?.ok_or_else(|| format!("no `{name}` in the rotary settings"))
    }

    fn typed<T>(
        &self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let describe = || match value {
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            scalar => format!("`{scalar}`"),
        };
        convert(value).map(Some).ok_or_else(|| format!("`{name}` is {}, expected {expected}", describe()))
    }
}
