//! What the inputs and outputs of an encoder and its decoder are for, found by their names.
//!
//! ```text
//! encoder    input_ids, attention_mask [batch, source]   last_hidden_state [batch, source, hidden]
//! decoder    input_ids [batch, rows]                     logits [batch, rows, vocabulary]
//!            encoder_attention_mask [batch, source], encoder_hidden_states [batch, source, hidden], if taken
//!            past_key_values.N.decoder.key, .value       present.N.decoder.key, .value: a row longer each
//!            past_key_values.N.encoder.key, .value       present.N.encoder.key, .value: of the source, if given
//!            use_cache_branch [1], of merged exports
//! ```
//!
//! Invariant: a graph with roles takes nothing else, and has keys and values of every layer.

use super::super::element::Float;
use super::super::roles::{
    Expected, IntegerInput, KvPort, KvShape, Port, USE_CACHE, check_axes, find, float, optional, rows_of,
};

/// What an encoder takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EncoderRoles {
    pub(super) input_ids: IntegerInput,
    pub(super) attention_mask: Option<IntegerInput>,
    pub(super) hidden: String,
}

/// What one graph of a decoder takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DecoderRoles {
    pub(super) input_ids: IntegerInput,
    pub(super) decoder_mask: Option<IntegerInput>,
    pub(super) source_mask: Option<IntegerInput>,
    pub(super) hidden: Option<String>,
    pub(super) use_cache: Option<String>,
    /// Key and value of each layer in turn, of the text.
    pub(super) own: Vec<KvPort>,
    /// The same of the source.
    pub(super) cross: Vec<KvPort>,
    /// Whether keys and values go in.
    pub(super) takes_past: bool,
    /// Whether those of the source come out.
    pub(super) gives_cross: bool,
    pub(super) logits: String,
    pub(super) logits_float: Float,
    pub(super) kv_float: Float,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) takes_one_row: bool,
}

impl EncoderRoles {
    pub(super) fn find(inputs: &[Port], outputs: &[Port]) -> Result<Self, String> {
        let hidden = find(outputs, "output", "last_hidden_state")?;
        check_axes("output", hidden, 3)?;
        let roles = Self {
            input_ids: rows_of(find(inputs, "input", "input_ids")?)?,
            attention_mask: optional(inputs, "attention_mask")?,
            hidden: hidden.name.clone(),
        };
        let known = ["input_ids", "attention_mask"];
        refuse_others(inputs, &known, "an encoder's tokens and mask")?;
        Ok(roles)
    }
}

impl DecoderRoles {
    pub(super) fn find(inputs: &[Port], outputs: &[Port], expected: &Expected) -> Result<Self, String> {
        let present =
            ["present", "present_key_values"].into_iter().find(|prefix| has(outputs, prefix, 0, "decoder.key"));
        let present = present.ok_or("no output `present.0.decoder.key`, expected keys and values of the text")?;
        let layers = (0..).take_while(|&layer| has(outputs, present, layer, "decoder.key")).count();
        if let Some(wanted) = expected.config.layers.filter(|&wanted| wanted != layers) {
            let file = expected.config_file;
            return Err(format!("keys come out for {layers} layers, but `{file}` has {wanted} layers"));
        }
        let own = kv_ports(layers, present, "decoder");
        let cross = kv_ports(layers, present, "encoder");
        let takes_past = inputs.iter().any(|port| port.name == own[0].past);
        let gives_cross = outputs.iter().any(|port| port.name == cross[0].present);
        let first = find(outputs, "output", &own[0].present)?;
        let (kv_float, shape) = (float("output", first)?, KvShape::of(first, expected)?);
        let all = || own.iter().chain(&cross);
        for port in all().filter(|_| takes_past) {
            shape.check("input", find(inputs, "input", &port.past)?, kv_float, expected)?;
        }
        for port in own.iter().chain(cross.iter().filter(|_| gives_cross)) {
            shape.check("output", find(outputs, "output", &port.present)?, kv_float, expected)?;
        }
        let logits = find(outputs, "output", "logits")?;
        check_axes("output", logits, 3)?;
        let input_ids = find(inputs, "input", "input_ids")?;
        let known = ["input_ids", "decoder_attention_mask", "encoder_attention_mask", HIDDEN, USE_CACHE];
        let known: Vec<_> = known.into_iter().chain(all().map(|port| port.past.as_str())).collect();
        refuse_others(inputs, &known, "a decoder's tokens, masks, hidden states, keys and values")?;
        let named = |name: &str| inputs.iter().find(|port| port.name == name).map(|port| port.name.clone());
        Ok(Self {
            takes_one_row: input_ids.shape.get(1) == Some(&Some(1)),
            input_ids: rows_of(input_ids)?,
            decoder_mask: optional(inputs, "decoder_attention_mask")?,
            source_mask: optional(inputs, "encoder_attention_mask")?,
            hidden: named(HIDDEN),
            use_cache: named(USE_CACHE),
            takes_past,
            gives_cross,
            logits: logits.name.clone(),
            logits_float: float("output", logits)?,
            kv_float,
            kv_heads: shape.heads,
            head_dim: shape.head_dim,
            own,
            cross,
        })
    }

    /// Refuses a graph that cannot begin a text.
    pub(super) fn check_begins(&self) -> Result<(), String> {
        match (&self.hidden, self.gives_cross) {
            (None, _) => Err(format!("no input `{HIDDEN}`, without which a text cannot begin")),
            (_, false) => Err(format!("no output `{}`, without which a text cannot go on", self.cross[0].present)),
            (Some(_), true) if self.takes_past != self.use_cache.is_some() => {
                Err(format!("keys and values go in, expected `{USE_CACHE}` with them or neither"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a graph that cannot go on where `begins` left off.
    pub(super) fn check_goes_on(&self, begins: &Self) -> Result<(), String> {
        if !self.takes_past {
            return Err(format!("no input `{}`, without which a text cannot go on", self.own[0].past));
        }
        let kv = |roles: &Self| (roles.own.len() / 2, roles.kv_heads, roles.head_dim);
        let (found, expected) = (kv(self), kv(begins));
        if found != expected || self.kv_float != begins.kv_float {
            return Err(format!(
                "layers, heads and head size are {found:?} of {}, but {expected:?} of {} in the graph that begins",
                self.kv_float, begins.kv_float
            ));
        }
        Ok(())
    }
}

const HIDDEN: &str = "encoder_hidden_states";

fn has(outputs: &[Port], prefix: &str, layer: usize, part: &str) -> bool {
    let name = format!("{prefix}.{layer}.{part}");
    outputs.iter().any(|port| port.name == name)
}

fn kv_ports(layers: usize, present: &str, side: &str) -> Vec<KvPort> {
    let port = |layer: usize, part: &str| KvPort {
        past: format!("past_key_values.{layer}.{side}.{part}"),
        present: format!("{present}.{layer}.{side}.{part}"),
    };
    (0..layers).flat_map(|layer| ["key", "value"].map(|part| port(layer, part))).collect()
}

fn refuse_others(inputs: &[Port], known: &[&str], expected: &str) -> Result<(), String> {
    match inputs.iter().find(|port| !known.contains(&port.name.as_str())) {
        Some(port) => Err(format!("input `{}` has no known part to play, expected {expected}", port.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::element::{Element, Integer};
    use super::*;
    use crate::{GraphNames, ModelConfig};

    const KV: [Option<usize>; 4] = [None, Some(4), None, Some(16)];

    fn integers(name: &str) -> Port {
        Port { name: name.to_owned(), element: Element::Integer(Integer::I64), shape: vec![None, None] }
    }

    fn floats(name: &str, shape: &[Option<usize>]) -> Port {
        Port { name: name.to_owned(), element: Element::Float(Float::F32), shape: shape.to_vec() }
    }

    fn kv(pattern: &str, sides: &[&str]) -> Vec<Port> {
        let of = |layer| move |side: &&str| ["key", "value"].map(|part| format!("{pattern}.{layer}.{side}.{part}"));
        let names = (0..2).flat_map(|layer| sides.iter().flat_map(of(layer)).collect::<Vec<_>>());
        names.map(|name| floats(&name, &KV)).collect()
    }

    /// Inputs and outputs of a graph that begins.
    fn begins() -> (Vec<Port>, Vec<Port>) {
        let inputs = vec![integers("input_ids"), integers("encoder_attention_mask"), floats(HIDDEN, &[None; 3])];
        (inputs, [vec![floats("logits", &[None, None, Some(50)])], kv("present", &["decoder", "encoder"])].concat())
    }

    /// Inputs and outputs of one that goes on.
    fn goes_on() -> (Vec<Port>, Vec<Port>) {
        let inputs = vec![integers("input_ids"), integers("encoder_attention_mask")];
        let past = kv("past_key_values", &["decoder", "encoder"]);
        ([inputs, past].concat(), [vec![floats("logits", &[None; 3])], kv("present", &["decoder"])].concat())
    }

    fn decoder((inputs, outputs): (Vec<Port>, Vec<Port>)) -> Result<DecoderRoles, String> {
        let config = ModelConfig { layers: Some(2), ..ModelConfig::default() };
        let expected = Expected { names: &GraphNames::default(), config: &config, config_file: "config.json" };
        DecoderRoles::find(&inputs, &outputs, &expected)
    }

    #[test]
    fn graphs_that_begin_and_go_on_are_told_apart() {
        let (begins, goes_on) = (decoder(begins()).unwrap(), decoder(goes_on()).unwrap());
        assert_eq!((begins.own.len(), begins.kv_heads, begins.head_dim), (4, 4, 16));
        assert_eq!(begins.check_begins(), Ok(()));
        assert_eq!(goes_on.check_goes_on(&begins), Ok(()));
        assert_eq!(
            goes_on.check_begins(),
            Err("no input `encoder_hidden_states`, without which a text cannot begin".to_owned())
        );
        assert_eq!(
            begins.check_goes_on(&goes_on),
            Err("no input `past_key_values.0.decoder.key`, without which a text cannot go on".to_owned())
        );
    }

    #[test]
    fn graphs_that_cannot_be_are_named_with_what_was_found() {
        let check = |change: &dyn Fn(&mut Vec<Port>, &mut Vec<Port>), expected: &str| {
            let (mut inputs, mut outputs) = goes_on();
            change(&mut inputs, &mut outputs);
            assert_eq!(decoder((inputs, outputs)).expect_err(expected), expected);
        };
        check(
            &|_, outputs| outputs.truncate(1),
            "no output `present.0.decoder.key`, expected keys and values of the text",
        );
        check(&|_, outputs| outputs.truncate(3), "keys come out for 1 layers, but `config.json` has 2 layers");
        check(
            &|inputs, _| inputs.retain(|port| port.name != "past_key_values.1.encoder.value"),
            "no input `past_key_values.1.encoder.value`",
        );
        check(
            &|inputs, _| inputs.push(integers("position_ids")),
            "input `position_ids` has no known part to play, expected a decoder's tokens, masks, hidden states, keys and \
             values",
        );
        let (mut inputs, outputs) = (vec![integers("input_ids")], vec![floats("last_hidden_state", &[None; 3])]);
        assert!(EncoderRoles::find(&inputs, &outputs).is_ok());
        let expected = "no output `last_hidden_state`";
        assert_eq!(EncoderRoles::find(&inputs, &[]).unwrap_err(), expected);
        inputs.push(integers("token_type_ids"));
        let expected = "input `token_type_ids` has no known part to play, expected an encoder's tokens and mask";
        assert_eq!(EncoderRoles::find(&inputs, &outputs).unwrap_err(), expected);
    }
}
