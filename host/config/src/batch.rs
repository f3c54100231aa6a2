//! Batches, which are written atomically, and values with the version at which they were read.

use std::collections::{HashMap, HashSet};

use crate::error::{ConfigError, Result};
use crate::protocol::{Condition, Key, Request, Value};
use crate::size::{Capacity, size_of};

/// Maximum number of entries in one request: about a second of work for the store, so that one request cannot block others for long.
pub const MAX_REQUEST_ENTRIES_COUNT: usize = 10_000;

/// A value with the version of the configuration at which it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The version.
    pub version: u64,
    /// The value.
    pub value: T,
}

/// Changes that are written atomically, with one increment of the version and one notify.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Values to write; each must have a value. If a key is written twice, the last value is stored.
    pub put: Vec<Value>,
    /// Keys to delete; missing ones are not an error. None of them may be among the written ones.
    pub delete: Vec<Key>,
    /// Conditions that must hold before the write; otherwise nothing changes.
    pub conditions: Vec<Condition>,
    /// The capacity that it may use.
    pub capacity: Capacity,
}

impl Batch {
    /// A batch without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value to write.
    #[must_use]
    pub fn put(mut self, config_type: impl Into<String>, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.put.push(Value { config_type: config_type.into(), key: key.into(), value: Some(value.into()) });
        self
    }

    /// Adds a key to delete.
    #[must_use]
    pub fn delete(mut self, config_type: impl Into<String>, key: impl Into<String>) -> Self {
        self.delete.push(Key { config_type: config_type.into(), key: key.into() });
        self
    }

    /// Adds the condition that this value is stored; `None`: that the key does not exist.
    #[must_use]
    pub fn on_condition(mut self, config_type: impl Into<String>, key: impl Into<String>, value: Option<String>) -> Self {
        self.conditions.push(Condition { config_type: config_type.into(), key: key.into(), value });
        self
    }

    /// Marks it as a step that completes or rolls back an operation, for which a part of the configuration's limit is reserved.
    #[must_use]
    pub fn with_reserve(mut self) -> Self {
        self.capacity = Capacity::Reserve;
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }

    /// Checks that the config service can accept it in one request of at most this many bytes. Check the batch that undoes a change before writing
    /// the change.
    ///
    /// # Errors
    /// `Refused`, with the value that is too large.
    pub fn check_fits(&self, max_request_bytes: usize) -> Result<()> {
        self.check()?;
        let bytes = self.clone().into_request().body().len();
        if bytes > max_request_bytes {
            return refused(format!("the request has {bytes} bytes; the limit is {max_request_bytes}"));
        }
        Ok(())
    }

    /// The request that writes it.
    pub(crate) fn into_request(self) -> Request {
        let operation = if self.put.is_empty() { "delete" } else { "put" }.to_owned();
        let Batch { put, delete, conditions, capacity } = self;
        let reserve = capacity == Capacity::Reserve;
        Request { operation: Some(operation), values: Some(put), keys: Some(delete), conditions, reserve, ..Request::default() }
    }

    /// The keys that it writes or deletes, each once.
    pub(crate) fn changed_keys(&self) -> Vec<Key> {
        let put = self.put.iter().map(|value| Key { config_type: value.config_type.clone(), key: value.key.clone() });
        put.chain(self.delete.iter().cloned()).collect::<HashSet<_>>().into_iter().collect()
    }

    /// The size of the values that it writes, as in a response; if a key is written twice, that of the last value.
    pub(crate) fn put_bytes(&self) -> u64 {
        let last: HashMap<(&str, &str), &str> = self
            .put
            .iter()
            .map(|value| ((value.config_type.as_str(), value.key.as_str()), value.value.as_deref().unwrap_or_default()))
            .collect();
        last.into_iter().map(|((config_type, key), value)| size_of(config_type, key, value)).sum()
    }

    /// # Errors
    /// `Refused` if it cannot be written regardless of the store's content.
    pub(crate) fn check(&self) -> Result<()> {
        check_count(self.put.len() + self.delete.len() + self.conditions.len())?;
        let mut written = HashSet::new();
        for Value { config_type, key, value } in &self.put {
            if value.is_none() {
                let name = shown(config_type, key);
                return refused(format!("field `values`: the value of {name} is null: give a string, or delete the key"));
            }
            written.insert((config_type, key));
        }
        match self.delete.iter().find(|Key { config_type, key }| written.contains(&(config_type, key))) {
            Some(Key { config_type, key }) => {
                refused(format!("{} is in both `values` and `keys`: either write it or delete it", shown(config_type, key)))
            }
            None => Ok(()),
        }
    }
}

pub(crate) fn check_count(entries: usize) -> Result<()> {
    if entries <= MAX_REQUEST_ENTRIES_COUNT {
        return Ok(());
    }
    refused(format!("the request has {entries} keys, values and conditions; the limit is {MAX_REQUEST_ENTRIES_COUNT}: split it"))
}

/// A key for errors: truncated, with control characters escaped.
pub(crate) fn shown(config_type: &str, key: &str) -> String {
    format!("`{}` of type `{}`", weir_pubsub::shown(key), weir_pubsub::shown(config_type))
}

/// Why a batch with a failed condition is not written.
pub(crate) fn conflict(condition: &Condition, is_there: bool) -> ConfigError {
    let name = shown(&condition.config_type, &condition.key);
    let message = match (&condition.value, is_there) {
        (None, _) => format!("{name} exists"),
        (Some(_), false) => format!("{name} does not exist"),
        (Some(_), true) => format!("{name} has another value"),
    };
    ConfigError::Conflict { message }
}

fn refused<T>(reason: String) -> Result<T> {
    Err(ConfigError::Refused { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_batch_is_refused_by_name() {
        let check = |batch: Batch, word: &str| {
            let message = batch.check().unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        };
        check(Batch::new().put("t", "k", "v").delete("t", "k"), "`k` of type `t` is in both");
        let null = Value { config_type: "t".into(), key: "k".into(), value: None };
        check(Batch { put: vec![null], ..Batch::new() }, "field `values`");
        check(Batch { delete: vec![Key::default(); MAX_REQUEST_ENTRIES_COUNT + 1], ..Batch::new() }, "split it");
        assert!(Batch::new().put("t", "k", "v").put("t", "k", "w").delete("t", "l").check().is_ok());
        let large = Batch::new().put("t", "k", "v".repeat(1000));
        assert!(large.check_fits(2000).is_ok());
        assert!(large.check_fits(1000).unwrap_err().to_string().contains("bytes; the limit is 1000"));
    }
}
