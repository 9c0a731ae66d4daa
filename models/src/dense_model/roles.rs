//! What each input and output of a foreign graph is for, found by its name and checked against its type, its shape and
//! the folder's configuration.
//!
//! ```text
//! input_ids        [batch, rows]                       attention_mask  [batch, tokens]: 1 for each
//! position_ids     [batch, rows], if taken             use_cache_branch  [1], of merged exports
//! past_key_values.N.key, .value  [batch, kv_heads, earlier tokens, head_dim]
//! num_logits_to_keep  one number, if taken
//! logits           [batch, rows, vocabulary]           present.N.key, .value: earlier tokens and rows
//! ```
//!
//! Invariant: a graph with [`Roles`] takes nothing else, and has keys and values of every layer.

use super::element::{Element, Float, Integer};
use super::kv_cache::KvLayout;
use crate::{GraphNames, ModelConfig};

/// An input or output as the graph declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) element: Element,
    /// Axes; `None` for those that the caller chooses.
    pub(super) shape: Vec<Option<usize>>,
}

/// An input of integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IntegerInput {
    pub(super) name: String,
    pub(super) integer: Integer,
}

/// Names of keys, or of values, of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KvPort {
    pub(super) past: String,
    pub(super) present: String,
}

/// What a graph takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) input_ids: IntegerInput,
    pub(super) attention_mask: Option<IntegerInput>,
    pub(super) position_ids: Option<IntegerInput>,
    /// Whether to go on from earlier tokens, in graphs with a branch for either.
    pub(super) use_cache: Option<String>,
    /// How many rows, from the last on, are to be scored, in graphs that let the caller say; of these axes.
    pub(super) kept_rows: Option<(String, Vec<usize>)>,
    pub(super) logits: String,
    pub(super) logits_float: Float,
    /// Key and value of each layer in turn.
    pub(super) kv: Vec<KvPort>,
    pub(super) kv_float: Float,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// The graph takes one row at a time, by its declaration.
    pub(super) takes_one_row: bool,
}

/// What a graph is checked against.
pub(super) struct Expected<'a> {
    pub(super) names: &'a GraphNames,
    pub(super) config: &'a ModelConfig,
    /// The file that `config` was read from.
    pub(super) config_file: &'a str,
}

impl Roles {
    /// Finds the roles; an error names the input or output that cannot be.
    pub(super) fn find(inputs: &[Port], outputs: &[Port], expected: &Expected) -> Result<Self, String> {
        let names = expected.names;
        let layers = count_layers(inputs, names)?;
        check_layers(layers, expected)?;
        let kv_names: Vec<KvPort> = (0..layers).flat_map(|layer| kv_ports(outputs, names, layer)).collect();
        let past = |port: &KvPort| find(inputs, "input", &port.past);
        let first = past(&kv_names[0])?;
        let kv_float = float("input", first)?;
        let shape = KvShape::of(first, expected)?;
        for port in &kv_names {
            shape.check("input", past(port)?, kv_float, expected)?;
            shape.check("output", find(outputs, "output", &port.present)?, kv_float, expected)?;
        }
        let input_ids = find(inputs, "input", &names.input_ids)?;
        let logits = find(outputs, "output", &names.logits)?;
        check_axes("output", logits, 3)?;
        let roles = Self {
            takes_one_row: input_ids.shape.get(1) == Some(&Some(1)),
            input_ids: rows_of(input_ids)?,
            attention_mask: optional(inputs, &names.attention_mask)?,
            position_ids: optional(inputs, &names.position_ids)?,
            use_cache: inputs.iter().find(|port| port.name == USE_CACHE).map(|port| port.name.clone()),
            kept_rows: kept_rows(inputs)?,
            logits: logits.name.clone(),
            logits_float: float("output", logits)?,
            kv: kv_names,
            kv_float,
            kv_heads: shape.heads,
            head_dim: shape.head_dim,
        };
        roles.refuse_others(inputs)?;
        Ok(roles)
    }

    /// Numbers of all layers' keys and values for one token.
    pub(super) fn numbers_per_token(&self) -> usize {
        self.kv.len() * self.kv_heads * self.head_dim
    }

    /// Keys and values of all layers.
    pub(super) fn kv_layout(&self) -> KvLayout {
        KvLayout { tensors: self.kv.len(), heads: self.kv_heads, head_dim: self.head_dim, float: self.kv_float }
    }

    fn refuse_others(&self, inputs: &[Port]) -> Result<(), String> {
        let integers = [Some(&self.input_ids), self.attention_mask.as_ref(), self.position_ids.as_ref()];
        let mut known: Vec<&str> = integers.into_iter().flatten().map(|input| input.name.as_str()).collect();
        known.extend(self.use_cache.as_deref());
        known.extend(self.kept_rows.as_ref().map(|(name, _)| name.as_str()));
        known.extend(self.kv.iter().map(|port| port.past.as_str()));
        match inputs.iter().find(|port| !known.contains(&port.name.as_str())) {
            Some(port) => Err(format!("input `{}` has no known part to play, {EXPECTED_INPUTS}", port.name)),
            None => Ok(()),
        }
    }
}

pub(super) const USE_CACHE: &str = "use_cache_branch";
const KEPT_ROWS: &str = "num_logits_to_keep";
const EXPECTED_INPUTS: &str = "expected a decoder's tokens, mask, positions, keys and values";

/// Layers 0, 1, 2 ... that have a key going in.
fn count_layers(inputs: &[Port], names: &GraphNames) -> Result<usize, String> {
    let has = |layer: usize| {
        let name = GraphNames::of_layer(&names.past_key, layer);
        inputs.iter().any(|port| port.name == name)
    };
    match (0..).take_while(|&layer| has(layer)).count() {
        0 if inputs.iter().any(|port| port.name.starts_with("encoder_")) => {
            Err("it goes on from an encoder's output, expected a decoder by itself".to_owned())
        }
        0 => {
            let wanted = GraphNames::of_layer(&names.past_key, 0);
            let given: Vec<_> = inputs.iter().map(|port| format!("`{}`", port.name)).collect();
            Err(format!(
                "no input `{wanted}`, without which a graph cannot go on from earlier tokens; it takes {}",
                given.join(", ")
            ))
        }
        layers => Ok(layers),
    }
}

fn check_layers(found: usize, expected: &Expected) -> Result<(), String> {
    match expected.config.layers {
        Some(wanted) if wanted != found => {
            Err(format!("keys go in for {found} layers, but `{}` has {wanted} layers", expected.config_file))
        }
        _ => Ok(()),
    }
}

/// Key and value of a layer. Some exporters call what comes out `present_key_values` in full.
fn kv_ports(outputs: &[Port], names: &GraphNames, layer: usize) -> [KvPort; 2] {
    let of_layer = |pattern: &str| GraphNames::of_layer(pattern, layer);
    [(&names.past_key, &names.present_key), (&names.past_value, &names.present_value)].map(|(past, present)| {
        let usual = of_layer(present);
        let in_full = of_layer(&present.replacen("present.", "present_key_values.", 1));
        let is_there = |name: &str| outputs.iter().any(|port| port.name == name);
        let present = if !is_there(&usual) && is_there(&in_full) { in_full } else { usual };
        KvPort { past: of_layer(past), present }
    })
}

pub(super) fn find<'a>(ports: &'a [Port], what: &str, name: &str) -> Result<&'a Port, String> {
    ports.iter().find(|port| port.name == name).ok_or_else(|| format!("no {what} `{name}`"))
}

/// An input of `[batch, something]` integers.
pub(super) fn rows_of(port: &Port) -> Result<IntegerInput, String> {
    check_axes("input", port, 2)?;
    let integer = port
        .element
        .integer()
        .ok_or_else(|| format!("input `{}` is of {}, expected int64 or int32", port.name, port.element))?;
    Ok(IntegerInput { name: port.name.clone(), integer })
}

pub(super) fn optional(inputs: &[Port], name: &str) -> Result<Option<IntegerInput>, String> {
    inputs.iter().find(|port| port.name == name).map(rows_of).transpose()
}

/// The input for how many rows are scored: one number, with or without an axis.
fn kept_rows(inputs: &[Port]) -> Result<Option<(String, Vec<usize>)>, String> {
    let Some(port) = inputs.iter().find(|port| port.name == KEPT_ROWS) else { return Ok(None) };
    match (port.element.integer(), port.shape.len()) {
        (Some(Integer::I64), axes @ 0..=1) => Ok(Some((port.name.clone(), vec![1; axes]))),
        (_, axes) => Err(format!("input `{KEPT_ROWS}` is of {} on {axes} axes, expected one int64", port.element)),
    }
}

pub(super) fn float(what: &str, port: &Port) -> Result<Float, String> {
    let wrong = || format!("{what} `{}` is of {}, expected float32 or float16", port.name, port.element);
    port.element.float().ok_or_else(wrong)
}

pub(super) fn check_axes(what: &str, port: &Port, wanted: usize) -> Result<(), String> {
    let found = port.shape.len();
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what} `{}` has {found} axes, expected {wanted}", port.name))
}

/// What the axes of keys and values have in common.
pub(super) struct KvShape {
    pub(super) heads: usize,
    pub(super) head_dim: usize,
}

impl KvShape {
    /// By the graph's own numbers, where it has some, else by the configuration's.
    pub(super) fn of(port: &Port, expected: &Expected) -> Result<Self, String> {
        check_axes("input", port, 4)?;
        let known = |axis: usize, configured: Option<usize>, what: &str| {
            let length = port.shape[axis].or(configured).filter(|&length| length > 0);
            length.ok_or_else(|| {
                format!("input `{}` says nothing of its {what}, and nor does `{}`", port.name, expected.config_file)
            })
        };
        let config = expected.config;
        Ok(Self { heads: known(1, config.kv_heads, "heads")?, head_dim: known(3, config.head_dim, "head size")? })
    }

    pub(super) fn check(&self, what: &str, port: &Port, kv_float: Float, expected: &Expected) -> Result<(), String> {
        check_axes(what, port, 4)?;
        let (name, file, config) = (&port.name, expected.config_file, expected.config);
        let found = float(what, port)?;
        if found != kv_float {
            return Err(format!("{what} `{name}` is of {found}, but the first key of {kv_float}"));
        }
        let axes = [(1, self.heads, config.kv_heads, "heads"), (3, self.head_dim, config.head_dim, "numbers a head")];
        for (axis, wanted, configured, unit) in axes {
            let found = port.shape[axis].unwrap_or(wanted);
            if let Some(configured) = configured.filter(|&configured| configured != found) {
                return Err(format!("{what} `{name}` has {found} {unit}, but `{file}` has {configured}"));
            }
            if found != wanted {
                return Err(format!("{what} `{name}` has {found} {unit}, but the first key has {wanted}"));
            }
        }
        Ok(())
    }
}
