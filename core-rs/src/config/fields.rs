//! A JSON object, read key by key with errors that name key, value and what was expected.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A value, or what is wrong with it.
pub(super) type Reading<T> = std::result::Result<T, String>;

/// The object. A key that is null counts as absent.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(Error::format(path, "Not a JSON object")),
            Err(error) => Err(Error::format(path, format!("Not JSON: {error}"))),
        }
    }

    pub(super) fn new(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// The keys that are not null.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str())
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn refusal(&self, key: &str, expected: &str) -> String {
        match self.get(key) {
            Some(Value::String(text)) => format!("{key} is \"{text}\", expected {expected}"),
            Some(value) => format!("{key} is \"{value}\", expected {expected}"),
            None => format!("{key} is missing, expected {expected}"),
        }
    }

    pub(super) fn text(&self, key: &str) -> Reading<Option<&str>> {
        self.get(key).map(|value| value.as_str().ok_or_else(|| self.refusal(key, "a string"))).transpose()
    }

    pub(super) fn number(&self, key: &str) -> Reading<Option<f64>> {
        self.get(key).map(|value| value.as_f64().ok_or_else(|| self.refusal(key, "a number"))).transpose()
    }

    pub(super) fn numbers(&self, key: &str) -> Reading<Vec<f64>> {
        let list = self.get(key).and_then(Value::as_array);
        let numbers = list.and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.ok_or_else(|| self.refusal(key, "a list of numbers"))
    }

    pub(super) fn flag(&self, key: &str) -> Reading<Option<bool>> {
        self.get(key)
            .map(|value| value.as_bool().ok_or_else(|| self.refusal(key, "true or false")))
            .transpose()
    }

    pub(super) fn size(&self, key: &str) -> Reading<usize> {
        let size = self.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| self.refusal(key, "a whole number"))
    }

    pub(super) fn size_or(&self, key: &str, default: usize) -> Reading<usize> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    /// `null` stands for a null, and for an absent key unless it has an `absent` of its own.
    pub(super) fn size_unless(&self, key: &str, null: usize, absent: Option<usize>) -> Reading<usize> {
        let default = if self.0.contains_key(key) { null } else { absent.unwrap_or(null) };
        self.size_or(key, default)
    }

    /// One id, a list of ids, or none: null, or −1 as old files write it. `default` stands for an absent key.
    pub(super) fn token_ids(&self, key: &str, default: Option<u32>) -> Reading<Vec<u32>> {
        let one = |value: &Value| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| self.refusal(key, "a token id or a list of them"))
        };
        match self.0.get(key) {
            None => Ok(default.into_iter().collect()),
            Some(Value::Null) => Ok(Vec::new()),
            Some(value) if value.as_i64() == Some(-1) => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(one).collect(),
            Some(value) => Ok(vec![one(value)?]),
        }
    }
}
