//! Fields of a JSON object, taken one by one with their types checked; what nobody took is unknown.
//!
//! `null` counts as absent, as OpenAI's API has it.

use serde_json::{Map, Value};

use super::refusal::{Code, Refusal};
use crate::prompts::row::kind;

/// The fields that have not been taken.
pub(super) struct Fields {
    /// What stands before a field's name in messages, such as `body.`.
    place: &'static str,
    fields: Map<String, Value>,
}

impl Fields {
    /// The fields of an object that is called `place` where it is not the line itself.
    pub(super) fn new(place: &'static str, fields: Map<String, Value>) -> Self {
        Self { place, fields }
    }

    /// A field of any type.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        // `remove` would move the last field to its place, and messages name the first unknown one.
        self.fields.shift_remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        self.typed(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<f32>, Refusal> {
        self.typed(name, "a number", |value| value.as_f64().map(|number| number as f32))
    }

    /// A whole number between `least` and `most`.
    pub(super) fn count(&mut self, name: &str, least: usize, most: usize) -> Result<Option<usize>, Refusal> {
        let expected = match most {
            usize::MAX => format!("a whole number of at least {least}"),
            _ => format!("a whole number from {least} to {most}"),
        };
        let count = |value: &Value| usize::try_from(value.as_u64()?).ok();
        self.typed(name, &expected, |value| count(value).filter(|count| (least..=most).contains(count)))
    }

    /// Any whole number of 64 bits; a negative one stands for its bits.
    pub(super) fn seed(&mut self, name: &str) -> Result<Option<u64>, Refusal> {
        let bits = |value: &Value| value.as_u64().or_else(|| value.as_i64().map(|seed| seed as u64));
        self.typed(name, "a whole number of 64 bits", bits)
    }

    /// Drops fields that cannot change the answer.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.take(name)));
    }

    /// Drops fields that ask for nothing: absent, `null`, `false`, 0, and what is empty; refuses what asks for
    /// something.
    pub(super) fn refuse(&mut self, names: &[&str]) -> Result<(), Refusal> {
        let asks = |value: &Value| match value {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
        };
        match names.iter().find(|name| self.take(name).as_ref().is_some_and(asks)) {
            Some(name) => Err(Refusal::new(Code::Unsupported, format!("`{}{name}` is not supported", self.place))),
            None => Ok(()),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.fields.keys().next() {
            Some(name) => {
                let message = format!("`{}{}` is an unknown field", self.place, name.escape_debug());
                Err(Refusal::new(Code::UnknownField, message))
            }
            None => Ok(()),
        }
    }

    /// What is wrong with the value of a field.
    pub(super) fn wrong(&self, name: &str, found: Option<&Value>, expected: &str) -> Refusal {
        let found = found.map_or_else(|| "missing".to_owned(), kind);
        Refusal::new(Code::InvalidRequest, format!("`{}{name}` is {found}, expected {expected}", self.place))
    }

    fn typed<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| self.wrong(name, Some(&value), expected))
    }
}
