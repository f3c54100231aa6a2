//! The flows known to this service. A follower keeps them up to date, so that no operation reads them all, and an operation examines only those that
//! it may concern: its time does not grow with the number of flows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_config::Content;
use weir_pubsub::chain;

use crate::plan::EntryKey;
use crate::protocol::{FlowRecord, PlanRecord};

/// Flows, and their text in the configuration for conditions on them.
#[derive(Default)]
pub(super) struct Flows {
    pub(super) records: BTreeMap<String, FlowRecord>,
    pub(super) texts: BTreeMap<String, String>,
}

/// All flows.
#[derive(Default)]
pub(super) struct FlowRegistry(Mutex<RegistryState>);

#[derive(Default)]
struct RegistryState {
    flows: BTreeMap<String, RegisteredFlow>,
    /// The ids of flows with a queue or an output of a topic.
    by_topic: HashMap<String, BTreeSet<String>>,
    /// The ids of flows with an entry.
    by_entry: HashMap<EntryKey, BTreeSet<String>>,
    /// Flows whose record has no plan or is unreadable.
    unplanned: BTreeSet<String>,
    /// The minimum version of the configuration at which they are known.
    version: u64,
    /// Whether content that may have been older was not applied since.
    is_behind: bool,
}

struct RegisteredFlow {
    /// The text in the configuration.
    text: String,
    /// The record, with a plan that is only known here if the text has none.
    record: FlowRecord,
    is_readable: bool,
}

/// A flow whose record has no plan.
pub(super) struct UnplannedFlow {
    pub(super) id: String,
    pub(super) text: String,
    /// `None` if it cannot be read.
    pub(super) record: Option<FlowRecord>,
}

impl FlowRegistry {
    /// Applies the records of all flows from a follower, which are at least as new as this version of the configuration. Ignores a version older than
    /// what was read since.
    pub(super) fn take_over(&self, version: u64, records: &Content) {
        let mut state = self.lock();
        state.is_behind = version < state.version;
        if !state.is_behind {
            state.take_all(version, records);
        }
    }

    /// Applies the records of all flows as just read. If a follower has delivered newer ones meanwhile, they must be reread.
    pub(super) fn take_read(&self, version: u64, records: &Content) {
        let mut state = self.lock();
        state.is_behind = version < state.version;
        state.take_all(version, records);
    }

    /// Whether they must be read because the last content from the follower was ignored.
    pub(super) fn is_behind(&self) -> bool {
        self.lock().is_behind
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.lock().flows.contains_key(id)
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.lock().flows.keys().cloned().collect()
    }

    /// The existing ones of these flows.
    pub(super) fn some(&self, ids: &[String]) -> Flows {
        self.lock().of(ids.iter())
    }

    /// All flows.
    pub(super) fn all(&self) -> Flows {
        let state = self.lock();
        state.of(state.flows.keys())
    }

    /// A flow, if it exists, and all flows that may be affected by its resources or by these topics and entries: those that share a topic or an
    /// entry, and those that share a topic with these.
    pub(super) fn affected_flows(
        &self,
        id: &str,
        topics: impl IntoIterator<Item = String>,
        entries: impl IntoIterator<Item = EntryKey>,
    ) -> Flows {
        let state = self.lock();
        let (mut topics, mut entries): (BTreeSet<String>, BTreeSet<EntryKey>) =
            (topics.into_iter().collect(), entries.into_iter().collect());
        if let Some(plan) = state.plan(id) {
            topics.extend(topics_of(plan).cloned());
            entries.extend(plan.entries.iter().map(EntryKey::of));
        }
        let mut ids: BTreeSet<&String> = topics.iter().filter_map(|topic| state.by_topic.get(topic)).flatten().collect();
        ids.extend(entries.iter().filter_map(|entry| state.by_entry.get(entry)).flatten());
        // The topics that their outputs feed determine the content of their entries.
        let fed = ids.iter().filter_map(|id| state.plan(id)).flat_map(|plan| &plan.entries).flat_map(|entry| entry.outputs.values());
        let second: BTreeSet<&String> = fed.filter_map(|topic| state.by_topic.get(topic)).flatten().collect();
        ids.extend(second);
        ids.extend(state.flows.get_key_value(id).map(|(id, _)| id));
        state.of(ids.into_iter())
    }

    /// The flows without a plan in their record.
    pub(super) fn unplanned(&self) -> Vec<UnplannedFlow> {
        let state = self.lock();
        let unplanned = |id: &String| {
            let known = state.flows.get(id)?;
            let record = known.is_readable.then(|| known.record.clone());
            Some(UnplannedFlow { id: id.clone(), text: known.text.clone(), record })
        };
        state.unplanned.iter().filter_map(unplanned).collect()
    }

    /// Gives a flow its plan, unless it has changed meanwhile.
    pub(super) fn set_plan(&self, id: &str, text: &str, plan: PlanRecord) {
        let mut state = self.lock();
        if state.flows.get(id).is_none_or(|known| known.text != text) {
            return;
        }
        let Some(mut known) = state.remove(id) else { return };
        known.record.plan = Some(plan);
        let is_readable = known.is_readable;
        state.insert(id, known);
        if !is_readable {
            // Only its entries are known, and they may change at any time.
            state.unplanned.insert(id.to_owned());
        }
    }

    /// Replaces the text with the one just written.
    pub(super) fn replace(&self, id: &str, before: &str, text: &str) {
        let mut state = self.lock();
        if state.flows.get(id).is_some_and(|known| known.text == before) {
            state.take(id, text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegistryState {
    fn take_all(&mut self, version: u64, records: &Content) {
        self.version = version;
        let gone: Vec<String> = self.flows.keys().filter(|id| !records.contains_key(*id)).cloned().collect();
        gone.iter().for_each(|id| drop(self.remove(id)));
        for (id, text) in records {
            if self.flows.get(id).is_none_or(|known| known.text != *text) {
                self.take(id, text);
            }
        }
    }

    fn take(&mut self, id: &str, text: &str) {
        self.remove(id);
        let (record, is_readable) = match serde_json::from_str::<FlowRecord>(text) {
            Ok(record) => (record, true),
            Err(error) => {
                tracing::warn!(flow = id, error = %chain(&error), "flow record unreadable");
                (FlowRecord::default(), false)
            }
        };
        self.insert(id, RegisteredFlow { text: text.to_owned(), record, is_readable });
    }

    fn insert(&mut self, id: &str, known: RegisteredFlow) {
        match &known.record.plan {
            Some(plan) => {
                for topic in topics_of(plan) {
                    self.by_topic.entry(topic.clone()).or_default().insert(id.to_owned());
                }
                for entry in &plan.entries {
                    self.by_entry.entry(EntryKey::of(entry)).or_default().insert(id.to_owned());
                }
            }
            None => drop(self.unplanned.insert(id.to_owned())),
        }
        self.flows.insert(id.to_owned(), known);
    }

    fn remove(&mut self, id: &str) -> Option<RegisteredFlow> {
        let known = self.flows.remove(id)?;
        self.unplanned.remove(id);
        for topic in known.record.plan.iter().flat_map(topics_of) {
            if let Some(ids) = self.by_topic.get_mut(topic) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_topic.remove(topic);
                }
            }
        }
        for entry in known.record.plan.iter().flat_map(|plan| &plan.entries).map(EntryKey::of) {
            if let Some(ids) = self.by_entry.get_mut(&entry) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_entry.remove(&entry);
                }
            }
        }
        Some(known)
    }

    fn plan(&self, id: &str) -> Option<&PlanRecord> {
        self.flows.get(id)?.record.plan.as_ref()
    }

    fn of<'s>(&self, ids: impl Iterator<Item = &'s String>) -> Flows {
        let mut flows = Flows::default();
        for id in ids {
            if let Some(known) = self.flows.get(id) {
                flows.records.insert(id.clone(), known.record.clone());
                flows.texts.insert(id.clone(), known.text.clone());
            }
        }
        flows
    }
}

/// The topics of a plan's queues and outputs.
fn topics_of(plan: &PlanRecord) -> impl Iterator<Item = &String> {
    let outputs = plan.entries.iter().flat_map(|entry| entry.outputs.values());
    plan.queues.iter().map(|queue| &queue.topic).chain(outputs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(reads: &str, sends: &str, entry: &str) -> String {
        json!({"blueprint-name": "b", "plan": {
            "queues": [{"topic": reads, "subscription": "s"}],
            "entries": [{"processor": "p", "variant": entry, "outputs": {"output": sends}}]
        }})
        .to_string()
    }

    fn content(records: &[(&str, String)]) -> Content {
        records.iter().map(|(id, text)| ((*id).to_owned(), text.clone())).collect()
    }

    fn affected_flows(known: &FlowRegistry, id: &str, topics: &[&str]) -> Vec<String> {
        known.affected_flows(id, topics.iter().map(ToString::to_string), []).records.into_keys().collect()
    }

    #[test]
    fn an_operation_reads_only_the_flows_that_may_concern_it() {
        let known = FlowRegistry::default();
        // `a` feeds `b`, whose output feeds `c`; `d` has an entry of `a`, and `e` shares nothing.
        let mut all = content(&[
            ("a", record("1", "2", "a")),
            ("b", record("2", "3", "b")),
            ("c", record("3", "4", "c")),
            ("d", record("8", "9", "a")),
            ("e", record("5", "6", "e")),
        ]);
        known.take_over(1, &all);
        assert_eq!(affected_flows(&known, "a", &[]), ["a", "b", "c", "d"], "what `b` consumes depends on `c`");
        assert_eq!(affected_flows(&known, "e", &[]), ["e"]);
        assert_eq!(affected_flows(&known, "new", &["6"]), ["e"]);
        assert_eq!(affected_flows(&known, "new", &[]), Vec::<String>::new());
        all.remove("b");
        all.insert("e".to_owned(), record("2", "6", "e"));
        known.take_over(2, &all);
        assert_eq!(affected_flows(&known, "a", &[]), ["a", "d", "e"]);
        known.take_over(3, &Content::new());
        let state = known.lock();
        assert!(state.flows.is_empty() && state.by_topic.is_empty() && state.by_entry.is_empty());
    }

    #[test]
    fn what_a_follower_brings_too_late_is_not_taken_over() {
        let known = FlowRegistry::default();
        let (older, newer) = (content(&[("a", record("1", "2", "a"))]), Content::new());
        known.take_read(7, &newer);
        known.take_over(6, &older);
        assert!(!known.contains("a") && known.is_behind());
        known.take_over(7, &older);
        assert!(known.contains("a") && !known.is_behind());
        known.take_read(5, &newer);
        assert!(!known.contains("a") && known.is_behind(), "what was read counts, and is read again");
    }

    #[test]
    fn a_flow_without_a_plan_is_found_and_an_unreadable_one_repeatedly() {
        let known = FlowRegistry::default();
        let foreign = r#"{"blueprint-name": "b"}"#;
        known
            .take_over(1, &content(&[("foreign", foreign.to_owned()), ("broken", "nonsense".to_owned()), ("ours", record("1", "2", "a"))]));
        let unplanned = known.unplanned();
        assert_eq!(
            unplanned.iter().map(|flow| (flow.id.as_str(), flow.record.is_some())).collect::<Vec<_>>(),
            [("broken", false), ("foreign", true)]
        );
        let plan = || serde_json::from_value::<PlanRecord>(json!({"queues": [{"topic": "7", "subscription": "s"}]})).unwrap();
        known.set_plan("foreign", "another text", plan());
        assert_eq!(known.unplanned().len(), 2);
        known.set_plan("foreign", foreign, plan());
        known.set_plan("broken", "nonsense", plan());
        assert_eq!(known.unplanned().into_iter().map(|flow| flow.id).collect::<Vec<_>>(), ["broken"]);
        assert_eq!(affected_flows(&known, "new", &["7"]), ["broken", "foreign"]);
    }
}
