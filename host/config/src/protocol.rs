//! The wire of the config service: requests, answers and notifies, as `docs/wire.md` has them. Unknown fields are ignored; a missing
//! field is its default; `null` stays null and is refused where the field is used.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The name of the service's topics: `request:TOPICSPACE:config` and so on.
pub const CONFIG_TOPIC_NAME: &str = "config";
/// The subscription of the request queue.
pub const CONFIG_SUBSCRIPTION: &str = "config-svc";

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// `get`, `list`, `getvalues`, `put`, `delete` or `config`.
    pub operation: Option<String>,
    /// For `get` and `delete`; with `put`, keys deleted in the same step.
    #[serde(deserialize_with = "nullable")]
    pub keys: Option<Vec<Key>>,
    /// For `list` and `getvalues`.
    #[serde(rename = "type")]
    pub config_type: Option<String>,
    /// For `put`.
    #[serde(deserialize_with = "nullable")]
    pub values: Option<Vec<Value>>,
    /// With `put` and `delete`: what must be true of the store, else nothing changes (Weir's own).
    #[serde(rename = "if", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Reads a list whose absence is an empty list and whose `null` stays `None`.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Vec<T>>, D::Error> {
    Option::<Vec<T>>::deserialize(deserializer)
}

/// The address of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The type.
    #[serde(rename = "type", default)]
    pub config_type: String,
    /// The key within the type.
    #[serde(default)]
    pub key: String,
}

/// A value with its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The type.
    #[serde(rename = "type", default)]
    pub config_type: String,
    /// The key within the type.
    #[serde(default)]
    pub key: String,
    /// The value, by convention JSON; `None` in answers where there is none.
    #[serde(default)]
    pub value: Option<String>,
}

/// What must be true for a batch to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The type.
    #[serde(rename = "type")]
    pub config_type: String,
    /// The key within the type.
    pub key: String,
    /// The value that must stand there; `None`: there must be none.
    pub value: Option<String>,
}

/// The answer to a request, with every field present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// The version of what was read; 0 in answers to writes.
    pub version: u64,
    /// For `get` and `getvalues`.
    pub values: Vec<Value>,
    /// For `list`.
    pub directory: Vec<String>,
    /// For `config`: everything, by type and key.
    pub config: BTreeMap<String, BTreeMap<String, String>>,
    /// What went wrong.
    pub error: Option<ServiceError>,
}

/// An error as services tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceError {
    /// For programs: `bad-operation`, `config-error`, `conflict`, `flow-error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub message: String,
}

/// The signal that says what changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notify {
    /// The version after the change.
    pub version: u64,
    /// The types that changed; empty means everything.
    pub types: Vec<String>,
    /// The keys that changed, by type; left out when there are many (Weir's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<BTreeMap<String, Vec<String>>>,
}
