//! References to components: in entries, and in the entries that a flow's record contains while the flow starts or stops. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use weir_config::records::{COMPONENT_TYPE, ComponentRef, Digest, Entry, processor_of_entry_type};

use crate::protocol::{EntryRecord, FLOW_TYPE};

const DIGEST_PREFIX: &str = "sha256:";
const HEX_BYTES: usize = 64;

/// Whether values of a config type can refer to components; other types need not be read.
pub fn names_components(config_type: &str) -> bool {
    config_type == COMPONENT_TYPE || config_type == FLOW_TYPE || processor_of_entry_type(config_type).is_some()
}

/// The digests that deployments, entries and flows refer to, found in their text, so that an unreadable value also keeps what it refers to.
pub fn named_digests(everything: &BTreeMap<String, BTreeMap<String, String>>) -> BTreeSet<Digest> {
    let values = everything.iter().filter(|(config_type, _)| names_components(config_type)).flat_map(|(_, values)| values.values());
    values.flat_map(|text| digests_in(text)).collect()
}

fn digests_in(text: &str) -> impl Iterator<Item = Digest> {
    text.match_indices(DIGEST_PREFIX).filter_map(|(at, _)| text.get(at..at + DIGEST_PREFIX.len() + HEX_BYTES)?.parse().ok())
}

/// The entries that refer to a deployment, including as the previous component: `PROCESSOR (VARIANT)`, sorted.
pub fn entries_naming(key: &str, everything: &BTreeMap<String, BTreeMap<String, String>>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (config_type, values) in everything {
        for (name, text) in values {
            if let Some(processor) = processor_of_entry_type(config_type) {
                note(&mut found, key, processor, name, serde_json::from_str(text).ok());
            } else if config_type == FLOW_TYPE {
                for entry in held_entries(text) {
                    let kept = entry.kept.and_then(|text| serde_json::from_str(&text).ok());
                    note(&mut found, key, &entry.processor, &entry.variant, entry.entry.or(kept));
                }
            }
        }
    }
    found.into_iter().collect()
}

fn note(found: &mut BTreeSet<String>, key: &str, processor: &str, variant: &str, entry: Option<Entry>) {
    let Some(Entry { component, previous, .. }) = entry else { return };
    let is_it = |component: Option<ComponentRef>| component.is_some_and(|component| component.key() == key);
    if is_it(component) {
        found.insert(format!("{processor} ({variant})"));
    } else if is_it(previous) {
        found.insert(format!("{processor} ({variant}), rollback target"));
    }
}

/// The part of a flow's record that has entries while the flow starts or stops; the rest may be unreadable.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FlowEntries {
    plan: Option<PlanEntries>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlanEntries {
    entries: Vec<EntryRecord>,
}

fn held_entries(text: &str) -> Vec<EntryRecord> {
    serde_json::from_str::<FlowEntries>(text).ok().and_then(|held| held.plan).unwrap_or_default().entries
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn component(version: &str, byte: &str) -> Value {
        json!({"name": "p", "version": version, "digest": format!("sha256:{}", byte.repeat(32))})
    }

    fn content(values: &[(&str, &str, String)]) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (config_type, key, value) in values {
            all.entry((*config_type).to_owned()).or_default().insert((*key).to_owned(), value.clone());
        }
        all
    }

    #[test]
    fn entries_and_changing_flows_name_components() {
        let kept = json!({"topics": {}, "component": component("1.0.0", "ab")}).to_string();
        let flow = json!({"status": "stopping", "plan": {"queues": [], "entries": [{"processor": "q", "variant": "w", "kept": kept}]}});
        let all = content(&[
            ("processor:p", "v", json!({"component": component("2.0.0", "cd"), "previous": component("1.0.0", "ab")}).to_string()),
            ("processor:p", "broken", format!("{{\"digest\": \"sha256:{}\"", "ef".repeat(32))),
            ("flow", "w", flow.to_string()),
            ("prompt", "p", format!("sha256:{}", "12".repeat(32))),
        ]);
        assert_eq!(entries_naming("p@1.0.0", &all), ["p (v), rollback target", "q (w)"]);
        assert_eq!(entries_naming("p@2.0.0", &all), ["p (v)"]);
        assert!(entries_naming("p@3.0.0", &all).is_empty());
        let digests: Vec<String> = named_digests(&all).into_iter().map(|digest| digest.to_hex()[..2].to_owned()).collect();
        assert_eq!(digests, ["ab", "cd", "ef"]);
    }
}
