//! The rotary settings: `rope_parameters` since transformers 5, `rope_scaling` and single fields before.

use serde_json::{Map, Value};

use super::super::{RopeScaling, yarn_attention_factor};
use super::fields::Fields;

/// The settings of some layers.
pub(super) struct Rope<'a> {
    file: &'a Fields<'a>,
    parameters: Map<String, Value>,
    context_length: usize,
    /// What `original_max_position_embeddings` is where it is not said; `None` for the context length.
    pub(super) original_context: Option<usize>,
}

impl<'a> Rope<'a> {
    /// The one setting for all layers.
    pub(super) fn of(file: &'a Fields<'a>, context_length: usize) -> Result<Self, String> {
        let mut parameters = Map::new();
        if let Some((name, found)) = object(file)? {
            if found.values().any(Value::is_object) {
                return Err(format!("`{name}` differs by layer type, expected one setting for all layers"));
            }
            parameters.clone_from(found);
        }
        Ok(Self { file, parameters, context_length, original_context: None })
    }

    /// The setting of layers of a type such as `full_attention`, if the file has settings by type.
    pub(super) fn of_layers(
        file: &'a Fields<'a>,
        context_length: usize,
        layer_type: &str,
    ) -> Result<Option<Self>, String> {
        let by_type = object(file)?.filter(|(_, found)| found.values().any(Value::is_object));
        let Some((name, by_type)) = by_type else { return Ok(None) };
        let parameters = match by_type.get(layer_type).filter(|found| !found.is_null()) {
            Some(found) => Fields::of(found, &format!("`{name}.{layer_type}`"))?.0.clone(),
            None => Map::new(),
        };
        Ok(Some(Self { file, parameters, context_length, original_context: None }))
    }

    /// The base; outside of the settings the file calls it `name`.
    pub(super) fn theta(&self, name: &str, default: f64) -> Result<f64, String> {
        let inner = Fields(&self.parameters).number("rope_theta")?;
        Ok(inner.or(self.file.number(name)?).unwrap_or(default))
    }

    /// Numbers of a head that are rotated; outside of the settings the file gives their share as `name`.
    pub(super) fn rotary_dim(&self, name: &str, default: f64, head_dim: usize) -> Result<usize, String> {
        let inner = Fields(&self.parameters).number("partial_rotary_factor")?;
        let share = inner.or(self.file.number(name)?).unwrap_or(default);
        let rotary_dim = (head_dim as f64 * share) as usize;
        if rotary_dim > 0 && share <= 1.0 {
            return Ok(rotary_dim);
        }
        Err(format!("`{name}` is {share}, expected a part of {head_dim} numbers"))
    }

    /// Refuses a model whose heads are not rotated as a whole.
    pub(super) fn check_is_whole(&self) -> Result<(), String> {
        for fields in [self.file, &Fields(&self.parameters)] {
            let rotated = fields.number("partial_rotary_factor")?.unwrap_or(1.0);
            if rotated != 1.0 {
                return Err(format!("`partial_rotary_factor` is {rotated}, expected 1"));
            }
        }
        Ok(())
    }

    /// The name of the scaling.
    pub(super) fn kind(&self) -> Result<&str, String> {
        let parameters = Fields(&self.parameters);
        let name = if parameters.value("rope_type").is_some() { "rope_type" } else { "type" };
        let kind = self.parameters.get(name).filter(|kind| !kind.is_null());
        match kind.map(|kind| kind.as_str().ok_or(kind)) {
            None => Ok("default"),
            Some(Ok(kind)) => Ok(kind),
            Some(Err(found)) => Err(format!("`{name}` is `{found}`, expected a string")),
        }
    }

    pub(super) fn scaling(&self) -> Result<RopeScaling, String> {
        self.scaling_of_kind(self.kind()?)
    }

    /// The scaling, if it is called `kind`.
    pub(super) fn scaling_of_kind(&self, kind: &str) -> Result<RopeScaling, String> {
        let parameters = Fields(&self.parameters);
        match kind {
            "default" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor: parameters.required_number("factor")? }),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor: parameters.required_number("factor")?,
                low_freq_factor: parameters.required_number("low_freq_factor")?,
                high_freq_factor: parameters.required_number("high_freq_factor")?,
                original_context: self.original_context()?,
            }),
            "yarn" => self.yarn(),
            "longrope" => self.longrope(),
            other => {
                Err(format!("the rotary scaling is `{other}`, expected one of default, linear, llama3, yarn, longrope"))
            }
        }
    }

    /// Tokens that frequencies of short texts serve; `None` where one set of frequencies serves all texts.
    pub(super) fn short_context(&self, scaling: &RopeScaling) -> Result<Option<usize>, String> {
        let RopeScaling::Factors { factors, .. } = scaling else { return Ok(None) };
        match self.factors("long_factor")? {
            long if long == *factors => Ok(None),
            _ => Ok(Some(self.original_context()? as usize)),
        }
    }

    fn original_context(&self) -> Result<f64, String> {
        let name = "original_max_position_embeddings";
        let original = self.file.number(name)?.or(Fields(&self.parameters).number(name)?);
        Ok(original.unwrap_or(self.original_context.unwrap_or(self.context_length) as f64))
    }

    fn yarn(&self) -> Result<RopeScaling, String> {
        let (parameters, original_context) = (Fields(&self.parameters), self.original_context()?);
        let factor = parameters.number("factor")?.unwrap_or(self.context_length as f64 / original_context);
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

    /// The frequencies of texts up to the original context: longer ones have others from their first token on, which no
    /// cache of keys could follow.
    fn longrope(&self) -> Result<RopeScaling, String> {
        let parameters = Fields(&self.parameters);
        for name in ["short_mscale", "long_mscale"] {
            if let Some(found) = parameters.value(name) {
                return Err(format!("`{name}` is `{found}`, expected none"));
            }
        }
        let original = self.original_context()?;
        let factor = parameters.number("factor")?.unwrap_or(self.context_length as f64 / original);
        let usual = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
        let attention_factor = parameters.number("attention_factor")?.unwrap_or(usual);
        Ok(RopeScaling::Factors { factors: self.factors("short_factor")?, attention_factor })
    }

    fn factors(&self, name: &str) -> Result<Vec<f32>, String> {
        let wrong = || format!("`{name}` in the rotary settings is not a list of numbers");
        let list = self.parameters.get(name).and_then(Value::as_array).ok_or_else(wrong)?;
        list.iter().map(|factor| factor.as_f64().map(|factor| factor as f32).ok_or_else(wrong)).collect()
    }
}

/// A JSON object and the name of the field that holds it.
type NamedObject<'a> = (&'static str, &'a Map<String, Value>);

/// The object with the settings.
fn object<'a>(file: &Fields<'a>) -> Result<Option<NamedObject<'a>>, String> {
    let Some(name) = ["rope_parameters", "rope_scaling"].into_iter().find(|name| file.value(name).is_some()) else {
        return Ok(None);
    };
    Ok(Some((name, Fields::of(&file.0[name], &format!("`{name}`"))?.0)))
}
