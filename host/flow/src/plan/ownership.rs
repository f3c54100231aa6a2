//! Ownership: a queue or an entry that several flows use is removed with the last of them.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::records::Entry;
use weir_pubsub::Topic;

use super::draft::refuse;
use super::{EntryKey, PlanRefusal, Snapshot, StartPlan};
use crate::error::Result;
use crate::naming::shown;
use crate::protocol::{FlowRecord, FlowStatus, PlanRecord, QueueRecord};

type QueueName<'r> = (&'r str, &'r str);

/// The changes that the end of a flow requires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The queues that no other flow uses.
    pub queues: Vec<QueueRecord>,
    /// The entries that no other flow uses.
    pub entries: BTreeSet<EntryKey>,
    /// Complete entries of other flows whose outputs are no longer consumed.
    pub rewritten: BTreeMap<EntryKey, Entry>,
}

/// The plans of all flows except `but` that own what they name: a stopping flow no longer owns anything, unless its stop may still be refused.
pub(super) fn plans<'f>(flows: &'f BTreeMap<String, FlowRecord>, but: &str) -> impl Iterator<Item = &'f PlanRecord> {
    flows
        .iter()
        .filter(move |(id, flow)| *id != but && (flow.status != Some(FlowStatus::Stopping) || flow.is_refusing()))
        .filter_map(|(_, flow)| flow.plan.as_ref())
}

/// The queues that flows other than `but` own, as (topic, subscription).
pub fn owned_queues<'f>(flows: &'f BTreeMap<String, FlowRecord>, but: &str) -> BTreeSet<QueueName<'f>> {
    plans(flows, but).flat_map(|plan| &plan.queues).map(name).collect()
}

fn name(queue: &QueueRecord) -> QueueName<'_> {
    (&queue.topic, &queue.subscription)
}

/// An existing entry that a flow owns. The flow being planned has no record yet, so the owner is another flow.
pub(super) fn shared_entry<'w>(key: &EntryKey, snapshot: &'w Snapshot) -> Option<&'w Entry> {
    let entry = there(key, snapshot)?;
    let is_owned = plans(&snapshot.flows, "").flat_map(|plan| &plan.entries).any(|record| EntryKey::of(record) == *key);
    is_owned.then_some(entry)
}

/// An entry that exists, or that the refusal of a stop would restore.
fn there<'w>(key: &EntryKey, snapshot: &'w Snapshot) -> Option<&'w Entry> {
    snapshot.entries.get(key).or_else(|| snapshot.kept.get(key))
}

/// The outputs of other flows' entries that send to one of these topics.
pub(super) fn senders<'f>(
    id: &str,
    flows: &'f BTreeMap<String, FlowRecord>,
    topics: &BTreeSet<String>,
) -> BTreeMap<EntryKey, &'f BTreeMap<String, String>> {
    plans(flows, id)
        .flat_map(|plan| &plan.entries)
        .filter(|entry| entry.outputs.values().any(|topic| topics.contains(topic)))
        .map(|entry| (EntryKey::of(entry), &entry.outputs))
        .collect()
}

/// Merges a new flow's plan with the others: existing entries are kept, and all affected entries are updated with the consumed topics.
///
/// # Errors
/// If the flow would change the topics or parameters of an entry that others use; the error names them.
pub(super) fn join(id: &str, plan: &mut StartPlan, snapshot: &Snapshot) -> Result<()> {
    let shared: BTreeSet<EntryKey> = plans(&snapshot.flows, id).flat_map(|plan| &plan.entries).map(EntryKey::of).collect();
    for (key, entry) in &mut plan.entries {
        if let Some(there) = there(key, snapshot).filter(|_| shared.contains(key)) {
            check_unchanged(key, there, entry)?;
            *entry = there.clone();
        }
    }
    let mut fed: BTreeSet<&str> = plans(&snapshot.flows, id).flat_map(|plan| &plan.queues).map(|queue| queue.topic.as_str()).collect();
    fed.extend(plan.queues.iter().map(|queue| queue.topic.as_str()));
    for record in plan.record.plan.iter().flat_map(|plan| &plan.entries) {
        if let Some(entry) = plan.entries.get_mut(&EntryKey::of(record)) {
            entry.consumed = consumed(&record.outputs, &fed);
        }
    }
    let topics = plan.queues.iter().map(|queue| queue.topic.clone()).collect();
    let senders = senders(id, &snapshot.flows, &topics).into_iter().filter(|(key, _)| !plan.entries.contains_key(key));
    plan.rewritten = rewritten(senders, &fed, snapshot);
    Ok(())
}

/// The changes when a flow ends: the others keep what they share with it.
pub fn release(id: &str, plan: &PlanRecord, snapshot: &Snapshot) -> Release {
    let still_owned = owned_queues(&snapshot.flows, id);
    let queues: Vec<_> = plan.queues.iter().filter(|queue| !still_owned.contains(&name(queue))).cloned().collect();
    let shared: BTreeSet<EntryKey> = plans(&snapshot.flows, id).flat_map(|plan| &plan.entries).map(EntryKey::of).collect();
    let entries = plan.entries.iter().map(EntryKey::of).filter(|key| !shared.contains(key)).collect();
    let fed: BTreeSet<&str> = still_owned.iter().map(|(topic, _)| *topic).collect();
    let topics = queues.iter().map(|queue| queue.topic.clone()).collect();
    let rewritten = rewritten(senders(id, &snapshot.flows, &topics), &fed, snapshot);
    Release { queues, entries, rewritten }
}

/// The entries among these whose consumed outputs have changed.
fn rewritten<'o>(
    senders: impl IntoIterator<Item = (EntryKey, &'o BTreeMap<String, String>)>,
    fed: &BTreeSet<&str>,
    snapshot: &Snapshot,
) -> BTreeMap<EntryKey, Entry> {
    let rewrite = |(key, outputs): (EntryKey, &BTreeMap<String, String>)| {
        let there = snapshot.entries.get(&key)?;
        let consumed = consumed(outputs, fed);
        (there.consumed != consumed).then(|| (key, Entry { consumed, ..there.clone() }))
    };
    senders.into_iter().filter_map(rewrite).collect()
}

/// The outputs whose messages have a queue: one of a processor, or an exit.
pub(super) fn consumed(outputs: &BTreeMap<String, String>, fed: &BTreeSet<&str>) -> Vec<String> {
    let has_queues = |topic: &str| topic.parse::<Topic>().is_ok_and(|topic| topic.class().has_queues());
    outputs.iter().filter(|(_, topic)| fed.contains(topic.as_str()) && has_queues(topic)).map(|(spec, _)| spec.clone()).collect()
}

fn check_unchanged(key: &EntryKey, there: &Entry, wanted: &Entry) -> Result<()> {
    let place = |what: &str, name: &str| {
        format!("processor `{}`, variant `{}`, {what} `{}`", shown(&key.processor), shown(&key.variant), shown(name))
    };
    for (what, there, wanted) in [("topic", &there.topics, &wanted.topics), ("parameter", &there.parameters, &wanted.parameters)] {
        let names: BTreeSet<&String> = there.keys().chain(wanted.keys()).collect();
        for name in names {
            let (there, wanted) = (there.get(name), wanted.get(name));
            if there != wanted {
                return refuse(place(what, name), PlanRefusal::SharedEntry { there: there.cloned(), wanted: wanted.cloned() });
            }
        }
    }
    Ok(())
}
