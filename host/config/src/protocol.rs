//! The wire protocol of the config service: requests, answers and notifies, as documented in `docs/wire.md`. Unknown fields are ignored; a missing
//! field has its default; `null` stays null and is rejected where the field is used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One request. A missing field has its default; `null` is rejected by the operations that use the field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConfigRequest)]
pub struct Request {
    /// `get`, `list`, `getvalues`, `put`, `delete`, `config` or `list-types` (Weir extension).
    pub operation: Option<String>,
    /// For `get` and `delete`; with `put`, keys deleted in the same step.
    pub keys: Option<Vec<Key>>,
    /// For `list` and `getvalues`.
    #[serde(rename = "type")]
    pub config_type: Option<String>,
    /// For `put`.
    #[schema(value_type = Option<Vec<ConfigValue>>)]
    pub values: Option<Vec<Value>>,
    /// With `put` and `delete`: conditions; if one fails, nothing changes (Weir extension).
    #[serde(rename = "if", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// With `put` and `delete`: completes or rolls back an operation, and may use the part of the limit reserved for that (Weir extension).
    /// For services on the broker: the gateway removes it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(ignore)]
    pub reserve: bool,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            operation: None,
            keys: Some(Vec::new()),
            config_type: Some(String::new()),
            values: Some(Vec::new()),
            conditions: Vec::new(),
            reserve: false,
        }
    }
}

/// Why a body is not a request.
#[derive(Debug, thiserror::Error)]
pub enum RequestFault {
    /// It is not JSON.
    #[error("the request is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON, but not an object.
    #[error("the request is a JSON {0}: send an object")]
    NotAnObject(&'static str),
    /// A field has the wrong shape.
    #[error("field `{field}` of the request cannot be read")]
    Field {
        /// Which.
        field: &'static str,
        /// The problem.
        source: serde_json::Error,
    },
}

impl Request {
    /// The body to send.
    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields always become JSON")
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// The problem, with the field.
    pub fn read(body: &[u8]) -> Result<Self, RequestFault> {
        let mut fields = match serde_json::from_slice(body).map_err(RequestFault::NotJson)? {
            serde_json::Value::Object(fields) => fields,
            serde_json::Value::Null => return Err(RequestFault::NotAnObject("null")),
            serde_json::Value::Array(_) => return Err(RequestFault::NotAnObject("list")),
            serde_json::Value::Bool(_) => return Err(RequestFault::NotAnObject("boolean")),
            serde_json::Value::Number(_) => return Err(RequestFault::NotAnObject("number")),
            serde_json::Value::String(_) => return Err(RequestFault::NotAnObject("string")),
        };
        let defaults = Request::default();
        Ok(Request {
            operation: field(&mut fields, "operation", defaults.operation)?,
            keys: field(&mut fields, "keys", defaults.keys)?,
            config_type: field(&mut fields, "type", defaults.config_type)?,
            values: field(&mut fields, "values", defaults.values)?,
            conditions: field(&mut fields, "if", defaults.conditions)?,
            reserve: field(&mut fields, "reserve", defaults.reserve)?,
        })
    }
}

fn field<T: serde::de::DeserializeOwned>(
    fields: &mut serde_json::Map<String, serde_json::Value>,
    name: &'static str,
    default: T,
) -> Result<T, RequestFault> {
    match fields.remove(name) {
        Some(value) => serde_json::from_value(value).map_err(|source| RequestFault::Field { field: name, source }),
        None => Ok(default),
    }
}

/// The address of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = ConfigKey)]
pub struct Key {
    /// The type.
    #[serde(rename = "type", default)]
    pub config_type: String,
    /// The key within the type.
    #[serde(default)]
    pub key: String,
}

/// A value with its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConfigValue)]
pub struct Value {
    /// The type.
    #[serde(rename = "type", default)]
    pub config_type: String,
    /// The key within the type.
    #[serde(default)]
    pub key: String,
    /// The value, by convention JSON; `null` in responses if it does not exist. A missing value is empty.
    #[serde(default = "empty_text")]
    pub value: Option<String>,
}

fn empty_text() -> Option<String> {
    Some(String::new())
}

/// Its name in schemas, where a `Value` is any JSON.
type ConfigValue = Value;

/// A condition for writing a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConfigCondition)]
pub struct Condition {
    /// The type.
    #[serde(rename = "type")]
    pub config_type: String,
    /// The key within the type.
    pub key: String,
    /// The required current value; `null`: the key must not exist.
    pub value: Option<String>,
}

/// The answer to a request, with every field present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = ConfigAnswer)]
pub struct Response {
    /// The version of what was read; 0 in answers to writes.
    pub version: u64,
    /// For `get` and `getvalues`.
    #[schema(value_type = Vec<ConfigValue>)]
    pub values: Vec<Value>,
    /// For `list`: keys; for `list-types`: types.
    pub directory: Vec<String>,
    /// For `config`: everything, by type and key.
    pub config: BTreeMap<String, BTreeMap<String, String>>,
    /// The error.
    pub error: Option<ServiceError>,
    /// For `list-types`: the size of the configuration (Weir extension).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Beside an error of type `config-error`: the limit that the request would exceed, if that is the reason (Weir's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exceeded: Option<ConfigLimit>,
}

/// A limit of the config service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ConfigBound)]
pub enum ConfigLimit {
    /// That of one answer: ask for fewer types or keys at a time.
    Answer,
    /// That of everything together: delete something first.
    Configuration,
    /// One that a later version has.
    #[serde(other)]
    Other,
}

/// The size of the configuration and its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ConfigUsage)]
pub struct Usage {
    /// The size of the whole configuration in an answer.
    pub size_bytes: u64,
    /// The limit: the smaller of 64 MiB and the broker's largest answer.
    pub limit_bytes: u64,
}

/// An error as returned by services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceError {
    /// For programs: `bad-operation`, `config-error`, `conflict`, `flow-error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub message: String,
}

/// The notification of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notify {
    /// The version after the change.
    pub version: u64,
    /// The types that changed; empty means everything.
    pub types: Vec<String>,
    /// The keys that changed, by type; omitted if there are many (Weir extension).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<BTreeMap<String, Vec<String>>>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_missing_field_has_its_default_and_null_stays_null() {
        assert_eq!(Request::read(b"{}").unwrap(), Request::default());
        let nulls = Request::read(br#"{"operation": null, "keys": null, "type": null, "values": null, "unknown": [1]}"#).unwrap();
        assert_eq!(nulls, Request { operation: None, keys: None, config_type: None, values: None, ..Request::default() });
        let values = Request::read(br#"{"values": [{"type": "t"}, {"value": null}]}"#).unwrap().values.unwrap();
        assert_eq!(values[0], Value { config_type: "t".into(), key: String::new(), value: Some(String::new()) });
        assert_eq!(values[1].value, None);
    }

    #[test]
    fn a_fault_names_the_field() {
        let check = |body: &str, words: &str| {
            let message = Request::read(body.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(words), "{body} gave {message}");
        };
        check("nonsense", "not JSON");
        check("[]", "a JSON list");
        check(r#"{"keys": "x"}"#, "field `keys`");
        check(r#"{"values": [{"value": 5}]}"#, "field `values`");
        check(r#"{"if": null}"#, "field `if`");
        check(r#"{"if": [{"type": "t"}]}"#, "field `if`");
        check(r#"{"operation": 5}"#, "field `operation`");
        check(r#"{"type": {}}"#, "field `type`");
    }

    #[test]
    fn requests_and_answers_have_all_fields() {
        let request = serde_json::to_string(&Request { operation: Some("list".into()), ..Request::default() }).unwrap();
        assert_eq!(request, r#"{"operation":"list","keys":[],"type":"","values":[]}"#);
        let answer = serde_json::to_string(&Response::default()).unwrap();
        assert_eq!(answer, r#"{"version":0,"values":[],"directory":[],"config":{},"error":null}"#);
        assert_eq!(serde_json::to_string(&Notify { version: 1, ..Notify::default() }).unwrap(), r#"{"version":1,"types":[]}"#);
    }
}
