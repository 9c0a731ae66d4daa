use super::element::{Element, Float, Integer};
use super::roles::{Expected, Port, Roles};
use crate::{GraphNames, ModelConfig};

const KV: [Option<usize>; 4] = [None, Some(2), None, Some(8)];

fn port(name: &str, element: Element, shape: &[Option<usize>]) -> Port {
    Port { name: name.to_owned(), element, shape: shape.to_vec() }
}

fn float(name: &str, shape: &[Option<usize>]) -> Port {
    port(name, Element::Float(Float::F32), shape)
}

fn integers(name: &str) -> Port {
    port(name, Element::Integer(Integer::I64), &[None, None])
}

/// What a decoder of two layers takes and gives.
fn decoder() -> (Vec<Port>, Vec<Port>) {
    let kv = |pattern: &str| -> Vec<Port> {
        let name = |layer: usize, part: &str| format!("{pattern}.{layer}.{part}");
        let both = |layer| ["key", "value"].map(|part| float(&name(layer, part), &KV));
        (0..2).flat_map(both).collect()
    };
    let inputs = [vec![integers("input_ids"), integers("attention_mask")], kv("past_key_values")].concat();
    (inputs, [vec![float("logits", &[None, None, Some(50)])], kv("present")].concat())
}

fn config() -> ModelConfig {
    ModelConfig { layers: Some(2), kv_heads: Some(2), head_dim: Some(8), ..ModelConfig::default() }
}

fn find((inputs, outputs): &(Vec<Port>, Vec<Port>), config: &ModelConfig) -> Result<Roles, String> {
    let expected = Expected { names: &GraphNames::default(), config, config_file: "config.json" };
    Roles::find(inputs, outputs, &expected)
}

/// The decoder after a change is refused in these words.
fn check(change: impl FnOnce(&mut Vec<Port>, &mut Vec<Port>, &mut ModelConfig), expected: &str) {
    let ((mut inputs, mut outputs), mut config) = (decoder(), config());
    change(&mut inputs, &mut outputs, &mut config);
    assert_eq!(find(&(inputs, outputs), &config).expect_err(expected), expected);
}

fn of<'a>(ports: &'a mut [Port], name: &str) -> &'a mut Port {
    ports.iter_mut().find(|port| port.name == name).unwrap()
}

#[test]
fn a_decoder_is_understood() {
    let roles = find(&decoder(), &config()).unwrap();
    assert_eq!((roles.kv.len(), roles.kv_heads, roles.head_dim), (4, 2, 8));
    assert_eq!((roles.kv[2].past.as_str(), roles.kv[2].present.as_str()), ("past_key_values.1.key", "present.1.key"));
    assert_eq!(roles.numbers_per_token(), 64);
    assert!(roles.attention_mask.is_some() && roles.position_ids.is_none() && roles.use_cache.is_none());
    assert!(!roles.takes_one_row);
}

#[test]
fn what_the_graph_leaves_open_the_configuration_says() {
    let mut open = decoder();
    for port in open.0.iter_mut().chain(&mut open.1).filter(|port| port.shape.len() == 4) {
        port.shape = vec![None; 4];
    }
    let roles = find(&open, &config()).unwrap();
    assert_eq!((roles.kv_heads, roles.head_dim), (2, 8));
    let silent = find(&open, &ModelConfig::default()).unwrap_err();
    assert_eq!(silent, "input `past_key_values.0.key` says nothing of its heads, and nor does `config.json`");
    let roles = find(&decoder(), &ModelConfig::default()).unwrap();
    assert_eq!((roles.kv_heads, roles.head_dim), (2, 8));
}

#[test]
fn other_spellings_and_types_are_understood() {
    let (mut inputs, mut outputs) = decoder();
    outputs.iter_mut().for_each(|port| port.name = port.name.replace("present.", "present_key_values."));
    inputs.push(port("use_cache_branch", Element::Other(ort::value::TensorElementType::Bool), &[Some(1)]));
    inputs.push(port("position_ids", Element::Integer(Integer::I32), &[None, None]));
    of(&mut inputs, "input_ids").shape[1] = Some(1);
    let roles = find(&(inputs, outputs), &config()).unwrap();
    assert_eq!(roles.kv[1].present, "present_key_values.0.value");
    assert_eq!(roles.use_cache.as_deref(), Some("use_cache_branch"));
    assert_eq!(roles.position_ids.map(|input| input.integer), Some(Integer::I32));
    assert!(roles.takes_one_row);
}

#[test]
fn missing_inputs_and_outputs_are_named() {
    let without = |name: &'static str| move |ports: &mut Vec<Port>| ports.retain(|port| port.name != name);
    check(|inputs, _, _| without("input_ids")(inputs), "no input `input_ids`");
    check(|inputs, _, _| without("past_key_values.1.value")(inputs), "no input `past_key_values.1.value`");
    check(|_, outputs, _| without("present.0.key")(outputs), "no output `present.0.key`");
    check(|_, outputs, _| without("logits")(outputs), "no output `logits`");
    check(
        |inputs, _, _| without("past_key_values.1.key")(inputs),
        "keys go in for 1 layers, but `config.json` has 2 layers",
    );
    check(
        |inputs, _, _| inputs.truncate(2),
        "no input `past_key_values.0.key`, without which a graph cannot go on from earlier tokens; it takes \
         `input_ids`, `attention_mask`",
    );
    check(
        |inputs, _, _| {
            inputs.truncate(2);
            inputs.push(float("encoder_hidden_states", &[None; 3]));
        },
        "it goes on from an encoder's output, expected a decoder by itself",
    );
}

#[test]
fn inputs_and_outputs_that_cannot_be_are_named_with_what_was_found() {
    check(
        |inputs, _, _| inputs.push(integers("token_type_ids")),
        "input `token_type_ids` has no known part to play, expected a decoder's tokens, mask, positions, keys and values",
    );
    check(
        |inputs, _, _| of(inputs, "past_key_values.0.key").shape[1] = Some(4),
        "input `past_key_values.0.key` has 4 heads, but `config.json` has 2",
    );
    check(
        |inputs, _, _| of(inputs, "past_key_values.1.value").shape[3] = Some(16),
        "input `past_key_values.1.value` has 16 numbers a head, but `config.json` has 8",
    );
    check(
        |_, outputs, config| {
            of(outputs, "present.1.key").shape[1] = Some(3);
            config.kv_heads = None;
        },
        "output `present.1.key` has 3 heads, but the first key has 2",
    );
    check(|_, _, config| config.layers = Some(30), "keys go in for 2 layers, but `config.json` has 30 layers");
    check(
        |inputs, _, _| of(inputs, "past_key_values.0.key").shape = vec![None; 3],
        "input `past_key_values.0.key` has 3 axes, expected 4",
    );
    check(
        |inputs, _, _| of(inputs, "attention_mask").shape = vec![None; 4],
        "input `attention_mask` has 4 axes, expected 2",
    );
    check(
        |inputs, _, _| of(inputs, "input_ids").element = Element::Float(Float::F32),
        "input `input_ids` is of float32, expected int64 or int32",
    );
    check(
        |inputs, _, _| of(inputs, "past_key_values.0.key").element = Element::Integer(Integer::I64),
        "input `past_key_values.0.key` is of int64, expected float32 or float16",
    );
    check(
        |_, outputs, _| of(outputs, "present.0.value").element = Element::Float(Float::F16),
        "output `present.0.value` is of float16, but the first key of float32",
    );
    check(
        |inputs, _, _| inputs.push(integers("num_logits_to_keep")),
        "input `num_logits_to_keep` is of int64 on 2 axes, expected one int64",
    );
    check(|_, outputs, _| of(outputs, "logits").shape = vec![None; 2], "output `logits` has 2 axes, expected 3");
}
