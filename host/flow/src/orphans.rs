//! Queues that the flow service created and that nothing refers to any more: the record of their flow was deleted manually or lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::{FlowRecord, QueueRecord};

/// A queue that was created for a flow, with the key of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreatedQueue {
    pub(crate) key: String,
    pub(crate) queue: QueueRecord,
}

/// The created queues that no flow in any status refers to, except leftovers of stops, which the service deletes itself. Unreadable records are
/// ignored.
pub(crate) fn unnamed(
    made: &BTreeMap<String, String>,
    flows: &BTreeMap<String, FlowRecord>,
    leftovers: &BTreeSet<String>,
) -> Vec<CreatedQueue> {
    let plans = flows.values().filter_map(|flow| flow.plan.as_ref());
    let named: BTreeSet<(&str, &str)> =
        plans.flat_map(|plan| &plan.queues).map(|queue| (queue.topic.as_str(), queue.subscription.as_str())).collect();
    let read = made.iter().filter(|(key, _)| !leftovers.contains(*key)).filter_map(|(key, text)| {
        let queue: QueueRecord = serde_json::from_str(text).ok()?;
        Some(CreatedQueue { key: key.clone(), queue })
    });
    read.filter(|made| !named.contains(&(made.queue.topic.as_str(), made.queue.subscription.as_str()))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_an_orphan_if_neither_a_flow_nor_a_leftover_refers_to_it() {
        let record = |name: &str| format!(r#"{{"topic": "flow:tg:{name}", "subscription": "p--one--in"}}"#);
        let made = ["of-flow", "of-stopping", "left", "orphan"].map(|name| (format!("key-{name}"), record(name)));
        let made: BTreeMap<_, _> = made.into_iter().chain([("key-broken".to_owned(), "no JSON".to_owned())]).collect();
        let flow = |name: &str, status: &str| {
            let text = format!(r#"{{"blueprint-name": "b", "status": {status}, "plan": {{"queues": [{}]}}}}"#, record(name));
            (name.to_owned(), serde_json::from_str::<FlowRecord>(&text).unwrap())
        };
        let flows = BTreeMap::from([flow("of-flow", "null"), flow("of-stopping", "\"stopping\"")]);
        let found = unnamed(&made, &flows, &BTreeSet::from(["key-left".to_owned()]));
        assert_eq!(found.iter().map(|made| made.key.as_str()).collect::<Vec<_>>(), ["key-orphan"]);
    }
}
