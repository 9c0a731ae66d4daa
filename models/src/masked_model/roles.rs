//! What the inputs and outputs of a masked model's graph are for, by their names and shapes.
//!
//! ```text
//! input_ids        i64 or i32  [batch, sequence]
//! attention_mask   i64 or i32  [batch, sequence]              1: a token, 0: padding
//! token_type_ids   i64 or i32  [batch, sequence]              optional; all 0: one text
//! logit_rows       i64         [wanted]                       our exports alone: rows of the flattened batch
//! logits           f32         [batch, sequence, vocabulary]  or, with `logit_rows`, [wanted, vocabulary]
//! ```

use ort::value::{Outlet, TensorElementType, ValueType};

/// An input or output as the graph declares it; an axis of any length is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    name: String,
    element: TensorElementType,
    axes: Vec<Option<usize>>,
}

/// An input of whole numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) name: String,
    /// 32 bits each instead of 64.
    pub(super) is_narrow: bool,
}

/// The graph's inputs and its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) input_ids: Input,
    pub(super) attention_mask: Input,
    pub(super) token_type_ids: Option<Input>,
    /// The graph takes `logit_rows` and scores those rows alone.
    pub(super) scores_wanted_rows: bool,
    pub(super) logits: String,
}

const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const TOKEN_TYPE_IDS: &str = "token_type_ids";
const LOGIT_ROWS: &str = "logit_rows";
const LOGITS: &str = "logits";

impl Port {
    /// Of all of a session's inputs, or outputs.
    pub(super) fn all(outlets: &[Outlet]) -> Vec<Self> {
        outlets.iter().map(Self::of).collect()
    }

    fn of(outlet: &Outlet) -> Self {
        let (element, axes) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                (*ty, shape.iter().map(|&length| usize::try_from(length).ok()).collect())
            }
            // Maps and sequences: of no axes, so that they fit no role.
            _ => (TensorElementType::Undefined, Vec::new()),
        };
        Self { name: outlet.name().to_owned(), element, axes }
    }
}

impl Roles {
    /// Finds the roles of a graph with `vocabulary` scores a token; the error is a reason without the file's name.
    pub(super) fn find(inputs: &[Port], outputs: &[Port], vocabulary: usize) -> Result<Self, String> {
        let known = [INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS, LOGIT_ROWS];
        if let Some(port) = inputs.iter().find(|port| !known.contains(&port.name.as_str())) {
            let name = &port.name;
            return Err(format!(
                "input `{name}` is unknown, expected those of a masked language model: {}",
                list(&known)
            ));
        }
        let find = |name: &str| inputs.iter().find(|port| port.name == name);
        let required = |name: &str| {
            let found = || list(&inputs.iter().map(|port| port.name.as_str()).collect::<Vec<_>>());
            find(name).ok_or_else(|| format!("no input `{name}`, expected one among {}", found()))
        };
        let scores_wanted_rows = match find(LOGIT_ROWS) {
            Some(port) => {
                check_axes("input", port, 1, "[wanted]")?;
                check_element("input", port, &[TensorElementType::Int64])?;
                true
            }
            None => false,
        };
        Ok(Self {
            input_ids: token_input(required(INPUT_IDS)?)?,
            attention_mask: token_input(required(ATTENTION_MASK)?)?,
            token_type_ids: find(TOKEN_TYPE_IDS).map(token_input).transpose()?,
            scores_wanted_rows,
            logits: logits(outputs, scores_wanted_rows, vocabulary)?,
        })
    }
}

fn token_input(port: &Port) -> Result<Input, String> {
    check_axes("input", port, 2, "[batch, sequence]")?;
    check_element("input", port, &[TensorElementType::Int64, TensorElementType::Int32])?;
    if let Some(length) = port.axes.iter().flatten().next() {
        let name = &port.name;
        return Err(format!("input `{name}` has an axis of {length}, expected [batch, sequence] of any length"));
    }
    Ok(Input { name: port.name.clone(), is_narrow: port.element == TensorElementType::Int32 })
}

/// The output of that name, or else the only output.
fn logits(outputs: &[Port], of_wanted_rows: bool, vocabulary: usize) -> Result<String, String> {
    let named = outputs.iter().find(|port| port.name == LOGITS);
    let port = match (named, outputs) {
        (Some(port), _) | (None, [port]) => port,
        _ => {
            let found = outputs.iter().map(|port| port.name.as_str()).collect::<Vec<_>>();
            return Err(format!("no output `{LOGITS}`, expected one among {}", list(&found)));
        }
    };
    let (axes, shape) = if of_wanted_rows { (2, "[wanted, vocabulary]") } else { (3, "[batch, sequence, vocabulary]") };
    check_axes("output", port, axes, shape)?;
    check_element("output", port, &[TensorElementType::Float32])?;
    match port.axes.last().copied().flatten() {
        Some(found) if found != vocabulary => Err(format!(
            "output `{}` scores {found} tokens, but `vocab_size` in `config.json` is {vocabulary}",
            port.name
        )),
        _ => Ok(port.name.clone()),
    }
}

fn check_axes(kind: &str, port: &Port, expected: usize, shape: &str) -> Result<(), String> {
    match port.axes.len() {
        found if found == expected => Ok(()),
        found => Err(format!("{kind} `{}` has {found} axes, expected {shape}", port.name)),
    }
}

fn check_element(kind: &str, port: &Port, expected: &[TensorElementType]) -> Result<(), String> {
    if expected.contains(&port.element) {
        return Ok(());
    }
    let expected = expected.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    Err(format!("{kind} `{}` is of {}, expected {expected}", port.name, port.element))
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use TensorElementType::{Float16, Float32, Int32, Int64};

    use super::*;

    fn port(name: &str, element: TensorElementType, axes: &[Option<usize>]) -> Port {
        Port { name: name.to_owned(), element, axes: axes.to_vec() }
    }

    fn tokens(name: &str) -> Port {
        port(name, Int64, &[None, None])
    }

    fn scores() -> Port {
        port("logits", Float32, &[None, None, Some(600)])
    }

    fn check(inputs: &[Port], outputs: &[Port], expected: &str) {
        match Roles::find(inputs, outputs, 600) {
            Ok(roles) => panic!("{roles:?}, expected `{expected}`"),
            Err(error) => assert_eq!(error, expected),
        }
    }

    #[test]
    fn what_other_programs_write_is_understood() {
        let narrow = |name: &str| port(name, Int32, &[None, None]);
        let roles = Roles::find(&[narrow("attention_mask"), tokens("input_ids")], &[scores()], 600).unwrap();
        assert_eq!((roles.input_ids.is_narrow, roles.attention_mask.is_narrow), (false, true));
        assert_eq!((roles.token_type_ids, roles.scores_wanted_rows), (None, false));
        let all = ["input_ids", "attention_mask", "token_type_ids"].map(tokens);
        let roles = Roles::find(&all, &[port("output_0", Float32, &[None, None, None])], 600).unwrap();
        assert_eq!((roles.logits.as_str(), roles.token_type_ids.is_some()), ("output_0", true));
    }

    #[test]
    fn our_exports_score_the_rows_that_are_wanted() {
        let inputs = [tokens("input_ids"), tokens("attention_mask"), port("logit_rows", Int64, &[None])];
        let logits = port("logits", Float32, &[None, Some(600)]);
        assert!(Roles::find(&inputs, &[logits], 600).unwrap().scores_wanted_rows);
        check(&inputs, &[scores()], "output `logits` has 3 axes, expected [wanted, vocabulary]");
    }

    #[test]
    fn inputs_that_do_not_fit_are_named() {
        let (ids, mask) = (tokens("input_ids"), tokens("attention_mask"));
        let with = |port: Port| [ids.clone(), mask.clone(), port];
        check(std::slice::from_ref(&mask), &[scores()], "no input `input_ids`, expected one among `attention_mask`");
        check(
            &with(tokens("past_key_values.0.key")),
            &[scores()],
            "input `past_key_values.0.key` is unknown, expected those of a masked language model: `input_ids`, \
             `attention_mask`, `token_type_ids`, `logit_rows`",
        );
        let [flat, floats, fixed] = [
            port("token_type_ids", Int64, &[None]),
            port("token_type_ids", Float32, &[None, None]),
            port("token_type_ids", Int64, &[Some(1), None]),
        ];
        check(&with(flat), &[scores()], "input `token_type_ids` has 1 axes, expected [batch, sequence]");
        check(&with(floats), &[scores()], "input `token_type_ids` is of f32, expected i64 or i32");
        check(
            &with(fixed),
            &[scores()],
            "input `token_type_ids` has an axis of 1, expected [batch, sequence] of any length",
        );
    }

    #[test]
    fn outputs_that_do_not_fit_are_named() {
        let inputs = ["input_ids", "attention_mask"].map(tokens);
        let output = |name: &str, element: TensorElementType, axes: &[Option<usize>]| [port(name, element, axes)];
        check(
            &inputs,
            &output("logits", Float32, &[None, None, Some(700)]),
            "output `logits` scores 700 tokens, but `vocab_size` in `config.json` is 600",
        );
        check(&inputs, &output("logits", Float16, &[None, None, None]), "output `logits` is of f16, expected f32");
        check(
            &inputs,
            &output("pooled", Float32, &[None, Some(64)]),
            "output `pooled` has 2 axes, expected [batch, sequence, vocabulary]",
        );
        check(&inputs, &[tokens("a"), tokens("b")], "no output `logits`, expected one among `a`, `b`");
    }
}
