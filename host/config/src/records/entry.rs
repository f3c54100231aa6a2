//! Entries: config type `processor:NAME`, key VARIANT. They define a processor's topics and parameters in one flow.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::component::ComponentRef;

/// The entry of one variant of a processor. Fields other than `topics` and `parameters` are Weir extensions and omitted if they do not apply. Reading
/// one checks the bounds of its maps, lists and strings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Entry {
    /// Topic by spec name.
    #[serde(default)]
    pub topics: BTreeMap<String, String>,
    /// Value by parameter name.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The flow, if the variant belongs to a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The component that handles the messages; absent for external programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentRef>,
    /// The component before it, which a host runs if it cannot run `component`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ComponentRef>,
    /// The consumed outputs: for these a missing queue is an error; messages are not dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumed: Vec<String>,
    /// Whether intake is stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Maximum number of topics, parameters and consumed outputs of an entry, each.
const MAX_ELEMENTS_COUNT: usize = 4_096;
/// Maximum length of a name or topic, in bytes.
const MAX_NAME_BYTES: usize = 1 << 10;
/// Maximum length of a parameter's value, in bytes.
const MAX_VALUE_BYTES: usize = 1 << 20;

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Entry::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = Entry::deserialize(deserializer)?;
        entry.check().map_err(D::Error::custom)?;
        Ok(entry)
    }
}

impl Entry {
    fn check(&self) -> Result<(), String> {
        check_map("topics", &self.topics, MAX_NAME_BYTES)?;
        check_map("parameters", &self.parameters, MAX_VALUE_BYTES)?;
        check_size("consumed", self.consumed.len(), MAX_ELEMENTS_COUNT, "elements")?;
        self.consumed.iter().try_for_each(|name| check_size("consumed", name.len(), MAX_NAME_BYTES, "bytes in a name"))
    }
}

fn check_map(field: &str, map: &BTreeMap<String, String>, most_bytes: usize) -> Result<(), String> {
    check_size(field, map.len(), MAX_ELEMENTS_COUNT, "elements")?;
    map.iter().try_for_each(|(name, value)| {
        check_size(field, name.len(), MAX_NAME_BYTES, "bytes in a name")?;
        check_size(&format!("{field}.{}", weir_pubsub::shown(name)), value.len(), most_bytes, "bytes")
    })
}

fn check_size(field: &str, size: usize, most: usize, what: &str) -> Result<(), String> {
    if size <= most { Ok(()) } else { Err(format!("field `{field}` has {size} {what}; at most {most} are allowed")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_round_trips_within_bounds() {
        let entry: Entry = serde_json::from_value(json!({"topics": {"input": "flow:tg:in"}, "parameters": {"size": "1"}})).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&serde_json::to_string(&entry).unwrap()).unwrap(), entry);
        let fault = |value: serde_json::Value| serde_json::from_value::<Entry>(value).unwrap_err().to_string();
        let long = fault(json!({"parameters": {"text": "x".repeat(MAX_VALUE_BYTES + 1)}}));
        assert_eq!(long, "field `parameters.text` has 1048577 bytes; at most 1048576 are allowed");
        let topics: BTreeMap<String, String> = (0..=MAX_ELEMENTS_COUNT).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(fault(json!({"topics": topics})), "field `topics` has 4097 elements; at most 4096 are allowed");
        assert!(fault(json!({"consumed": ["x".repeat(1025)]})).starts_with("field `consumed` has 1025 bytes"));
    }
}
