//! What people read about the messages that a flow still holds.

use weir_config::names::{interface_of_exit, spec_of_subscription};
use weir_pubsub::{Backlog, Queue};

use crate::protocol::FlowRecord;

/// How many messages there are and where: at which exit, or for which processor.
pub fn describe(id: &str, record: &FlowRecord, backlog: &[Backlog]) -> String {
    let places: Vec<String> = backlog.iter().map(|found| format!("{} {}", counted(found.count), place(id, record, &found.queue))).collect();
    let total = backlog.iter().try_fold(0_u64, |sum, found| Some(sum + found.count?));
    let messages = match total {
        None => "messages".to_owned(),
        Some(1) => "1 message".to_owned(),
        Some(count) => format!("{count} messages"),
    };
    format!("{messages}: {}", places.join(", "))
}

/// What to do about them.
pub fn next_step(id: &str, record: &FlowRecord, backlog: &[Backlog]) -> String {
    let read = if backlog.iter().any(|found| exit(id, record, &found.queue).is_some()) {
        format!("read its exits with `weir take {id} INTERFACE`")
    } else {
        "wait until its processors have handled them".to_owned()
    };
    format!("{read}, or delete the messages with `weir flow stop {id} --discard`")
}

fn counted(count: Option<u64>) -> String {
    count.map_or_else(|| "an unknown number".to_owned(), |count| count.to_string())
}

fn place(id: &str, record: &FlowRecord, queue: &Queue) -> String {
    if let Some(interface) = exit(id, record, queue) {
        return format!("at the exit `{interface}`");
    }
    let subscription = queue.subscription().as_str();
    let entries = record.plan.iter().flat_map(|plan| &plan.entries);
    match entries.into_iter().find(|entry| spec_of_subscription(subscription, &entry.processor, &entry.variant).is_some()) {
        Some(entry) => format!("for processor `{}` ({subscription})", entry.processor),
        None => format!("on {} ({subscription})", queue.topic()),
    }
}

/// The interface whose exit a queue is.
fn exit<'r>(id: &str, record: &'r FlowRecord, queue: &Queue) -> Option<&'r str> {
    let name = interface_of_exit(queue.subscription().as_str(), id)?;
    record.interfaces.get_key_value(name).map(|(name, _)| name.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn found(topic: &str, subscription: &str, count: Option<u64>) -> Backlog {
        Backlog { queue: Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap(), count }
    }

    #[test]
    fn each_queue_is_named_by_what_it_is_for() {
        let record = r#"{"blueprint-name": "b", "interfaces": {"out": {"flow": "flow:tg:out"}},
            "plan": {"entries": [{"processor": "splitter", "variant": "one"}]}}"#;
        let record: FlowRecord = serde_json::from_str(record).unwrap();
        let input = found("flow:tg:in", "splitter--one--input", Some(2));
        let exit = found("flow:tg:out", "gateway--one--out", Some(1));
        assert_eq!(
            describe("one", &record, &[input.clone(), exit.clone()]),
            "3 messages: 2 for processor `splitter` (splitter--one--input), 1 at the exit `out`"
        );
        assert_eq!(describe("one", &record, std::slice::from_ref(&exit)), "1 message: 1 at the exit `out`");
        assert!(next_step("one", &record, &[input.clone(), exit]).starts_with("read its exits with `weir take one INTERFACE`, or"));
        assert!(next_step("one", &record, &[input]).starts_with("wait until its processors have handled them, or"));
        assert_eq!(describe("one", &record, &[found("flow:tg:x", "odd", None)]), "messages: an unknown number on flow:tg:x (odd)",);
    }
}
