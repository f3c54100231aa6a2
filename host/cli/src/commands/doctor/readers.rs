//! Queues with messages but without a consumer.

use weir_config::names::spec_of_subscription;
use weir_config::records::ProcessorState;
use weir_gateway::protocol::{FlowProcessor, FlowSummary, QueueSummary, Status};

use super::finding::{Finding, fail, ok, some, warn};
use crate::output::number;

const CHECK: &str = "readers";

/// Checks that each queue of a processor has a consumer.
pub(super) fn check(status: &Status) -> Finding {
    let unread: Vec<&QueueSummary> = status.queues.iter().filter(|queue| is_unread(queue) && !is_starting(status, queue)).collect();
    let waiting: Vec<&&QueueSummary> = unread.iter().filter(|queue| queue.may_hold_messages()).collect();
    if let Some(first) = waiting.first() {
        let told: Vec<String> = waiting.iter().map(|queue| told(queue)).collect();
        return fail(CHECK, some(&told), next(status, first));
    }
    match unread.first() {
        Some(first) => {
            let told: Vec<String> =
                unread.iter().map(|queue| format!("{} has no subscriber ({})", queue.topic, queue.subscription)).collect();
            warn(CHECK, some(&told), next(status, first))
        }
        None => match status.queues.iter().filter(|queue| is_of_processor(queue) && queue.consumer_count.is_none()).count() {
            0 => ok(CHECK, "no message is waiting without a subscriber"),
            count => ok(
                CHECK,
                format!(
                    "no message is known to be waiting without a subscriber; the subscribers of {count} queues are \
                 unknown"
                ),
            ),
        },
    }
}

fn told(queue: &QueueSummary) -> String {
    let messages = match queue.depth_count {
        None => "an unknown number of messages is waiting".to_owned(),
        Some(1) => "1 message is waiting".to_owned(),
        Some(count) => format!("{} messages are waiting", number(count)),
    };
    format!("{messages} on {} without a subscriber ({})", queue.topic, queue.subscription)
}

/// A queue of a processor that is known to have no consumer.
fn is_unread(queue: &QueueSummary) -> bool {
    queue.consumer_count == Some(0) && is_of_processor(queue)
}

/// A queue of a processor of a flow; exits wait for clients, and queues without a flow have another check.
fn is_of_processor(queue: &QueueSummary) -> bool {
    queue.exit.is_none() && !queue.is_missing && !queue.flows.is_empty()
}

/// Whether a host is starting the queue's processor.
fn is_starting(status: &Status, queue: &QueueSummary) -> bool {
    let starting = status.hosts.iter().flat_map(|host| &host.processors).filter(|it| it.state == ProcessorState::Starting);
    starting.into_iter().any(|it| belongs(queue, &it.processor, &it.variant))
}

fn belongs(queue: &QueueSummary, processor: &str, variant: &str) -> bool {
    spec_of_subscription(&queue.subscription, processor, variant).is_some()
}

/// How to get a consumer for the first of them.
fn next(status: &Status, queue: &QueueSummary) -> String {
    match processor(status, queue) {
        Some((flow, processor)) if processor.component.is_none() => format!(
            "start the external program that provides it, or give it a component: weir swap {} {}:{} COMPONENT",
            flow.id, processor.processor, processor.variant
        ),
        _ => "weir status shows the state of its processor; a host must serve it, and its component must run".to_owned(),
    }
}

fn processor<'s>(status: &'s Status, queue: &QueueSummary) -> Option<(&'s FlowSummary, &'s FlowProcessor)> {
    let of = |flow: &'s FlowSummary| flow.processors.iter().map(move |processor| (flow, processor));
    status.flows.iter().flat_map(of).find(|(_, it)| belongs(queue, &it.processor, &it.variant))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn unknown_subscribers_are_shown_as_unknown() {
        let checked = |consumer_counts: &[Option<u64>]| {
            let queue =
                |count: &Option<u64>| json!({"topic": "flow:tg:in:a", "subscription": "s", "flows": ["a"], "consumer-count": count});
            let queues: Vec<_> = consumer_counts.iter().map(queue).collect();
            let status = json!({
                "version": "0", "topicspace": "tg", "config-version": 1, "hosts": [], "flows": [], "queues": queues,
            });
            let finding = check(&serde_json::from_value(status).unwrap());
            (finding.grade, finding.what)
        };
        assert_eq!(checked(&[Some(1)]), (Grade::Ok, "no message is waiting without a subscriber".to_owned()));
        let (grade, what) = checked(&[Some(1), None]);
        assert!(grade == Grade::Ok && what.ends_with("the subscribers of 1 queues are unknown"), "{what}");
        assert_eq!(checked(&[None, Some(0)]).0, Grade::Fail);
    }
}
