//! A JSON object from outside, read field by field, so that an error names the file, the field, what was found and
//! what was expected. A field that is `null` counts as absent, as it does for the tools that write these files.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, Result, TokenId};

/// The top-level object of a JSON file, or one within it.
pub(crate) struct JsonObject {
    path: PathBuf,
    /// What leads to the object: empty, or the names of those around it, each with a dot behind it.
    prefix: String,
    fields: Map<String, Value>,
}

impl JsonObject {
    /// Reads the file; `None` when there is none.
    pub(crate) fn open_if_exists(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        match read_json(path)? {
            Value::Object(fields) => Ok(Some(Self { path: path.to_owned(), prefix: String::new(), fields })),
            other => Err(Error::model_file(path, format!("holds {}, expected an object", describe(&other)))),
        }
    }

    /// The field as it is; `None` when absent or `null`.
    pub(crate) fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// An object within this one.
    pub(crate) fn object(&self, field: &str) -> Result<Option<Self>> {
        let fields = self.typed(field, "an object", |value| value.as_object().cloned())?;
        let prefix = format!("{}{field}.", self.prefix);
        Ok(fields.map(|fields| Self { path: self.path.clone(), prefix, fields }))
    }

    /// The first of some fields that is there, all of which mean the same count.
    pub(crate) fn count_by_any_name(&self, fields: &[&str]) -> Result<Option<usize>> {
        let found = fields.iter().find(|field| self.value(field).is_some());
        found.map_or(Ok(None), |field| self.count(field))
    }

    /// A string field.
    pub(crate) fn string(&self, field: &str) -> Result<Option<&str>> {
        self.typed(field, "a string", Value::as_str)
    }

    /// A boolean field.
    pub(crate) fn boolean(&self, field: &str) -> Result<Option<bool>> {
        self.typed(field, "true or false", Value::as_bool)
    }

    /// A number field.
    pub(crate) fn number(&self, field: &str) -> Result<Option<f32>> {
        self.typed(field, "a number", |value| value.as_f64().map(|number| number as f32).filter(|n| n.is_finite()))
    }

    /// A field that counts something.
    pub(crate) fn count(&self, field: &str) -> Result<Option<usize>> {
        self.typed(field, "an integer of at least 0", |value| value.as_u64()?.try_into().ok())
    }

    /// A field that holds a token id or a list of them; empty when absent.
    pub(crate) fn token_ids(&self, field: &str) -> Result<Vec<TokenId>> {
        let ids = self.typed(field, "a token id or a list of token ids", |value| match value {
            Value::Array(items) => items.iter().map(as_token_id).collect::<Option<Vec<_>>>(),
            single => Some(vec![as_token_id(single)?]),
        })?;
        Ok(ids.unwrap_or_default())
    }

    /// The error that `field` has the wrong type.
    pub(crate) fn wrong_type(&self, field: &str, found: &Value, expected: &str) -> Error {
        self.invalid(field, &format!("is {}, expected {expected}", describe(found)))
    }

    /// The error that `field` has a value that cannot be.
    pub(crate) fn invalid(&self, field: &str, reason: &str) -> Error {
        self.error(format!("`{}{field}` {reason}", self.prefix))
    }

    /// The error that `field` is missing.
    pub(crate) fn missing(&self, field: &str) -> Error {
        self.error(format!("no `{}{field}`", self.prefix))
    }

    /// An error about this file.
    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        Error::model_file(&self.path, reason)
    }

    fn typed<'a, T>(
        &'a self,
        field: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(field) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| self.wrong_type(field, value, expected))
    }
}

/// Reads a file that must be JSON; the error says at which line and column it is not.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::model_file(path, format!("not JSON: {error}")))
}

/// A found value in words, short enough for a one-line message.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn as_token_id(value: &Value) -> Option<TokenId> {
    value.as_u64()?.try_into().ok()
}
