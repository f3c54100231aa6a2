//! The messages that a flow still holds, for callers to match on and for people.

use std::fmt;

use weir_config::names::{interface_of_exit, spec_of_subscription};
use weir_pubsub::{Backlog, Queue};

use crate::protocol::FlowRecord;

/// The messages that a flow still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldMessages {
    /// The flow.
    pub flow: String,
    /// Where they are and how many, as far as the broker counts them.
    pub places: Vec<(HeldAt, Option<u64>)>,
}

/// Where messages are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldAt {
    /// In the exit of an interface.
    Exit {
        /// The interface.
        interface: String,
    },
    /// In the queue of a processor's input.
    Processor {
        /// The processor.
        processor: String,
        /// The queue.
        queue: Queue,
    },
    /// In a queue that is neither.
    Other {
        /// The queue.
        queue: Queue,
    },
}

impl HeldMessages {
    /// Finds what these queues of a flow are for.
    pub fn of(flow: &str, record: &FlowRecord, backlog: &[Backlog]) -> Self {
        let places = backlog.iter().map(|found| (place(flow, record, &found.queue), found.count)).collect();
        HeldMessages { flow: flow.to_owned(), places }
    }

    /// The next step for the user.
    pub fn next_step(&self) -> String {
        let id = &self.flow;
        let read = if self.places.iter().any(|(place, _)| matches!(place, HeldAt::Exit { .. })) {
            format!("read its exits with `weir take {id} INTERFACE`")
        } else {
            "wait until its processors have handled them".to_owned()
        };
        format!("{read}, or delete the messages with `weir flow stop {id} --discard`")
    }
}

impl fmt::Display for HeldMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.places.iter().try_fold(0_u64, |sum, (_, count)| Some(sum + (*count)?)) {
            None => f.write_str("messages: "),
            Some(1) => f.write_str("1 message: "),
            Some(count) => write!(f, "{count} messages: "),
        }?;
        for (at, (place, count)) in self.places.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            match count {
                Some(count) => write!(f, "{separator}{count} {place}"),
                None => write!(f, "{separator}an unknown number {place}"),
            }?;
        }
        Ok(())
    }
}

impl fmt::Display for HeldAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeldAt::Exit { interface } => write!(f, "at the exit `{interface}`"),
            HeldAt::Processor { processor, queue } => write!(f, "for processor `{processor}` ({})", queue.subscription()),
            HeldAt::Other { queue } => write!(f, "on {} ({})", queue.topic(), queue.subscription()),
        }
    }
}

fn place(flow: &str, record: &FlowRecord, queue: &Queue) -> HeldAt {
    let (queue, subscription) = (queue.clone(), queue.subscription().as_str());
    if let Some(interface) = interface_of_exit(subscription, flow).filter(|name| record.interfaces.contains_key(*name)) {
        return HeldAt::Exit { interface: interface.to_owned() };
    }
    let mut entries = record.plan.iter().flat_map(|plan| &plan.entries);
    match entries.find(|entry| spec_of_subscription(subscription, &entry.processor, &entry.variant).is_some()) {
        Some(entry) => HeldAt::Processor { processor: entry.processor.clone(), queue },
        None => HeldAt::Other { queue },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn found(topic: &str, subscription: &str, count: Option<u64>) -> Backlog {
        Backlog { queue: Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap(), count }
    }

    #[test]
    fn each_queue_is_named_after_its_purpose() {
        let record = r#"{"blueprint-name": "b", "interfaces": {"out": {"flow": "flow:tg:out"}},
            "plan": {"entries": [{"processor": "splitter", "variant": "one"}]}}"#;
        let record: FlowRecord = serde_json::from_str(record).unwrap();
        let input = found("flow:tg:in", "splitter--one--input", Some(2));
        let exit = found("flow:tg:out", "gateway--one--out", Some(1));
        let held = |backlog: &[Backlog]| HeldMessages::of("one", &record, backlog);
        let both = held(&[input.clone(), exit.clone()]);
        assert_eq!(both.to_string(), "3 messages: 2 for processor `splitter` (splitter--one--input), 1 at the exit `out`");
        assert_eq!(both.places[1], (HeldAt::Exit { interface: "out".to_owned() }, Some(1)));
        assert!(both.next_step().starts_with("read its exits with `weir take one INTERFACE`, or"));
        assert_eq!(held(&[exit]).to_string(), "1 message: 1 at the exit `out`");
        assert!(held(&[input]).next_step().starts_with("wait until its processors have handled them, or"));
        assert_eq!(held(&[found("flow:tg:x", "odd", None)]).to_string(), "messages: an unknown number on flow:tg:x (odd)");
    }
}
