//! A stop that may be refused: what it removes from the configuration, and how that is restored.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::records::Entry;

use super::EntryKey;
use super::ownership::{Release, consumed, plans};
use crate::protocol::{Backlog, FlowRecord, FlowStatus};

/// The state of a flow after its stop is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Its record while it runs.
    pub record: FlowRecord,
    /// The text of the entries that the stop removed.
    pub entries: BTreeMap<EntryKey, String>,
}

/// The record of a flow while its stop may be refused. `texts` are its entries in the configuration; those that no other flow uses are stored in it.
pub fn refusing_record(record: &FlowRecord, release: &Release, texts: &BTreeMap<EntryKey, String>) -> FlowRecord {
    let mut stopping = FlowRecord { status: Some(FlowStatus::Stopping), backlog: Some(Backlog::Refuse), ..record.clone() };
    for entry in stopping.plan.iter_mut().flat_map(|plan| &mut plan.entries) {
        let key = EntryKey::of(entry);
        entry.kept = texts.get(&key).filter(|_| release.entries.contains(&key)).cloned();
    }
    stopping
}

/// Restores such a flow: everything is as before, except that its entries are updated with the outputs that other flows have started or stopped
/// consuming meanwhile.
pub fn restore(stopping: &FlowRecord, flows: &BTreeMap<String, FlowRecord>) -> Restored {
    let fed: BTreeSet<&str> = plans(flows, "").flat_map(|plan| &plan.queues).map(|queue| queue.topic.as_str()).collect();
    let mut record = FlowRecord { status: None, backlog: None, ..stopping.clone() };
    let mut entries = BTreeMap::new();
    for entry in record.plan.iter_mut().flat_map(|plan| &mut plan.entries) {
        if let Some(text) = entry.kept.take() {
            let consumed = consumed(&entry.outputs, &fed);
            entries.insert(EntryKey::of(entry), with_consumed(text, consumed));
        }
    }
    Restored { record, entries }
}

/// The text of an entry with these consumed outputs; unchanged if it already has them, or was not written by this service.
fn with_consumed(text: String, consumed: Vec<String>) -> String {
    match serde_json::from_str::<Entry>(&text) {
        Ok(entry) if entry.consumed != consumed && is_ours(&entry) => {
            let entry = Entry { consumed, ..entry };
            serde_json::to_string(&entry).expect("maps with string keys and plain fields always become JSON")
        }
        _ => text,
    }
}

/// Entries of other services have none of these fields.
fn is_ours(entry: &Entry) -> bool {
    entry.component.is_some() || entry.flow.is_some() || !entry.consumed.is_empty()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    const OURS: &str = r#"{ "topics": {"output": "flow:tg:out"}, "flow": "one", "later": 1, "parameters": {} }"#;

    fn record(queue: &str) -> FlowRecord {
        let entries =
            [json!({"processor": "p", "variant": "one", "outputs": {"output": "flow:tg:out"}}), json!({"processor": "q", "variant": "b"})];
        let plan = json!({"queues": [{"topic": queue, "subscription": "s"}], "entries": entries});
        serde_json::from_value(json!({"blueprint-name": "b", "plan": plan})).unwrap()
    }

    fn key(processor: &str, variant: &str) -> EntryKey {
        EntryKey { processor: processor.to_owned(), variant: variant.to_owned() }
    }

    fn refusing() -> FlowRecord {
        let release = Release { entries: BTreeSet::from([key("p", "one")]), ..Release::default() };
        let texts = BTreeMap::from([(key("p", "one"), OURS.to_owned()), (key("q", "b"), "shared".to_owned())]);
        refusing_record(&record("flow:tg:in"), &release, &texts)
    }

    #[test]
    fn a_refused_stop_restores_record_and_entries() {
        let read: FlowRecord = serde_json::from_str(&serde_json::to_string(&refusing()).unwrap()).unwrap();
        assert!(read.is_refusing());
        let restored = restore(&read, &BTreeMap::from([("one".to_owned(), read.clone())]));
        assert_eq!(restored, Restored { record: record("flow:tg:in"), entries: BTreeMap::from([(key("p", "one"), OURS.to_owned())]) });
    }

    #[test]
    fn entries_are_updated_with_topics_that_other_flows_began_to_consume() {
        let flows = BTreeMap::from([("one".to_owned(), refusing()), ("two".to_owned(), record("flow:tg:out"))]);
        let entry: Entry = serde_json::from_str(&restore(&flows["one"], &flows).entries[&key("p", "one")]).unwrap();
        assert_eq!(entry.consumed, ["output"]);
        let foreign = r#"{"topics":{"output":"flow:tg:out"},"parameters":{}}"#;
        assert_eq!(with_consumed(foreign.to_owned(), vec!["output".to_owned()]), foreign);
        assert_eq!(with_consumed("broken".to_owned(), Vec::new()), "broken");
    }
}
