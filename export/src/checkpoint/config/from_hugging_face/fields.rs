//! A JSON object and its fields, with errors that name them.

use serde_json::{Map, Value};

/// A JSON object read field by field. `null` counts as absent, as it does for the library that writes these files.
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value, what: &str) -> Result<Self, String> {
        value.as_object().map(Self).ok_or_else(|| format!("{what} is not a JSON object"))
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        self.flag_or(name, false)
    }

    pub(super) fn flag_or(&self, name: &str, default: bool) -> Result<bool, String> {
        Ok(self.typed(name, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// Refuses flags, false where they are left out, that are not as the graph has them.
    pub(super) fn expect_flags(&self, flags: &[(&str, bool)]) -> Result<(), String> {
        for &(name, expected) in flags {
            let found = self.flag(name)?;
            if found != expected {
                return Err(format!("`{name}` is {found}, expected {expected}"));
            }
        }
        Ok(())
    }

    /// Refuses settings that no graph has.
    pub(super) fn expect_nothing(&self, names: &[&str]) -> Result<(), String> {
        match names.iter().find_map(|name| Some((name, self.value(name)?))) {
            Some((name, found)) => Err(format!("`{name}` is `{found}`, expected none")),
            None => Ok(()),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, String> {
        self.typed(name, "a number", Value::as_f64)
    }

    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, String> {
        self.typed(name, "an integer of at least 0", |value| value.as_u64()?.try_into().ok())
    }

    pub(super) fn required(&self, name: &str) -> Result<usize, String> {
        self.count(name)?.ok_or_else(|| format!("no `{name}`"))
    }

    pub(super) fn required_number(&self, name: &str) -> Result<f64, String> {
        self.number(name)?.ok_or_else(|| format!("no `{name}` in the rotary settings"))
    }

    pub(super) fn typed<T>(
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
