//! The `tojson` filter, spelled as Python's `json.dumps(value, ensure_ascii=False)` spells it.
//!
//! Models are trained on that spelling: a space after `:` and `,`, no escapes for HTML, `NaN` for what JSON lacks.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Deeper values are refused, so that walking one never outgrows the stack.
const DEPTH_LIMIT: usize = 64;

/// The filter. Arguments: `indent` (spaces a level, none by default) and `ensure_ascii` (false by default).
pub(super) fn tojson(state: &State, value: &Value, arguments: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let ensure_ascii: Option<bool> = arguments.get("ensure_ascii")?;
    arguments.assert_all_used()?;
    let mut writer = Writer { state, indent, ensure_ascii: ensure_ascii == Some(true), output: String::new() };
    writer.value(value, 0)?;
    Ok(Value::from(writer.output))
}

struct Writer<'a> {
    state: &'a State<'a, 'a>,
    indent: Option<usize>,
    ensure_ascii: bool,
    output: String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        // A list can hold another twice, and so on: small to build, exponential to write. Every visit is paid for.
        self.state.consume_fuel(1)?;
        if depth > DEPTH_LIMIT {
            return Err(Error::new(ErrorKind::InvalidOperation, "a value for `tojson` is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => self.output.push_str("null"),
            ValueKind::Bool => self.output.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.output.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default())?,
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            other => {
                let message = format!("`tojson` takes no value of the kind {other}");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut empty = true;
        self.output.push('[');
        for item in value.try_iter()? {
            self.separator(empty, depth + 1)?;
            self.value(&item, depth + 1)?;
            empty = false;
        }
        self.close(']', empty, depth)
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut empty = true;
        self.output.push('{');
        for key in value.try_iter()? {
            self.separator(empty, depth + 1)?;
            match key.kind() {
                ValueKind::String => self.string(key.as_str().unwrap_or_default())?,
                _ => {
                    self.output.push('"');
                    self.value(&key, depth + 1)?;
                    self.output.push('"');
                }
            }
            self.output.push_str(": ");
            self.value(&value.get_item(&key)?, depth + 1)?;
            empty = false;
        }
        self.close('}', empty, depth)
    }

    /// Python puts a space after the comma on one line, and nothing when it breaks the line instead.
    fn separator(&mut self, first: bool, depth: usize) -> Result<(), Error> {
        match (first, self.indent) {
            (true, None) => {}
            (false, None) => self.output.push_str(", "),
            (true, Some(_)) => self.new_line(depth)?,
            (false, Some(_)) => {
                self.output.push(',');
                self.new_line(depth)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) -> Result<(), Error> {
        if self.indent.is_some() && !empty {
            self.new_line(depth)?;
        }
        self.output.push(bracket);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) -> Result<(), Error> {
        let spaces = self.indent.unwrap_or_default().saturating_mul(depth);
        self.pay_for_bytes(spaces)?;
        self.output.push('\n');
        self.output.extend(std::iter::repeat_n(' ', spaces));
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.pay_for_bytes(text.len())?;
        self.output.push('"');
        for character in text.chars() {
            match character {
                '"' => self.output.push_str("\\\""),
                '\\' => self.output.push_str("\\\\"),
                '\n' => self.output.push_str("\\n"),
                '\r' => self.output.push_str("\\r"),
                '\t' => self.output.push_str("\\t"),
                '\u{8}' => self.output.push_str("\\b"),
                '\u{c}' => self.output.push_str("\\f"),
                control if control < ' ' => self.escape(control),
                // Python counts DEL as ASCII and leaves it as it is.
                other if self.ensure_ascii && !other.is_ascii() => self.escape(other),
                other => self.output.push(other),
            }
        }
        self.output.push('"');
        Ok(())
    }

    fn escape(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(self.output, "\\u{unit:04x}");
        }
    }

    fn pay_for_bytes(&self, bytes: usize) -> Result<(), Error> {
        self.state.consume_fuel((bytes / 64) as u64)
    }
}

/// A number as Python prints it: integers plain, floats in the shortest form that reads back.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(float) => python_float(float),
        Err(_) => value.to_string(),
    }
}

/// `repr(float)`: scientific from 1e16 up and under 1e-4, with a sign and two digits in the exponent.
fn python_float(float: f64) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if float == 0.0 || (1e-4..1e16).contains(&float.abs()) {
        return format!("{float:?}");
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{digits}e{sign}{exponent:0>2}")
}
