//! Queues without a flow, and a configuration that is empty although there are messages.

use serde_json::{Value, json};
use weir_config::records::COMPONENT_TYPE;
use weir_flow::protocol::BLUEPRINT_TYPE;
use weir_gateway::protocol::{QueueSummary, Status};

use super::finding::{Finding, fail, warn};
use crate::client::Client;
use crate::output::{number, size_if_known};
use crate::problem::Problem;

/// Maximum number of queues named; the rest is counted.
const NAMED_COUNT: usize = 50;

/// Reports each queue without a flow.
pub(super) fn check(unowned: &[QueueSummary]) -> Option<Finding> {
    const CHECK: &str = "queues";
    const NEXT: &str = "if the configuration was lost, restore a backup of the data folder; otherwise start the flow again under its old \
         name from the same blueprint: it continues with these messages, or weir flow stop FLOW --discard deletes them";
    if unowned.is_empty() {
        return None;
    }
    let told = |queue: &QueueSummary| {
        let holds = match queue.depth_count {
            None => "may hold messages".to_owned(),
            Some(0) => "is empty".to_owned(),
            Some(1) => format!("holds 1 message ({})", size_if_known(queue.size_bytes)),
            Some(count) => format!("holds {} messages ({})", number(count), size_if_known(queue.size_bytes)),
        };
        format!("{} (subscription {}) does not belong to a flow and {holds}", queue.topic, queue.subscription)
    };
    let mut sorted: Vec<&QueueSummary> = unowned.iter().collect();
    sorted.sort_by_key(|queue| std::cmp::Reverse(queue.depth_count));
    let mut lines: Vec<String> = sorted.iter().take(NAMED_COUNT).map(|queue| told(queue)).collect();
    if let Some(more) = sorted.len().checked_sub(NAMED_COUNT).filter(|more| *more > 0) {
        lines.push(format!("and {} more: weir queues", number(more as u64)));
    }
    let has_messages = unowned.iter().any(|queue| queue.may_hold_messages());
    let finding = if has_messages { fail } else { warn };
    Some(finding(CHECK, lines.join("\n"), NEXT))
}

/// Checks whether the configuration is empty although queues are not.
pub(super) async fn check_configuration(client: &Client, status: &Status) -> Option<Finding> {
    const CHECK: &str = "configuration";
    if !status.flows.is_empty() {
        return None;
    }
    let finding = beside_queues(CHECK, &status.queues)?;
    for config_type in [BLUEPRINT_TYPE, COMPONENT_TYPE] {
        match keys_count(client, config_type).await {
            Ok(0) => {}
            Ok(_) => return None,
            Err(problem) => return Some(fail(CHECK, weir_pubsub::chain(&problem), "check the output of `weir up`")),
        }
    }
    Some(finding)
}

/// The meaning of an empty configuration if there are these queues.
fn beside_queues(check: &'static str, queues: &[QueueSummary]) -> Option<Finding> {
    const NEXT: &str = "stop Weir and restore a backup of the whole data folder; or deploy the components, store the blueprints and start the \
                        flows again under their old names: they continue with these messages";
    let counts = || queues.iter().filter(|queue| !queue.is_missing).map(|queue| queue.depth_count.or(queue.ready_count));
    let (messages_count, is_unknown) = (counts().flatten().sum::<u64>(), counts().any(|count| count.is_none()));
    let at_least = if is_unknown { "at least " } else { "" };
    if messages_count > 0 || queues.iter().any(|queue| queue.is_unowned) {
        let count = number(messages_count);
        let what = format!(
            "no flow, blueprint or component is configured, but the queues hold {at_least}{count} messages: config.sqlite was lost or replaced"
        );
        return Some(fail(check, what, NEXT));
    }
    is_unknown.then(|| {
        let what = "no flow, blueprint or component is configured, and the broker does not count the messages in the queues";
        warn(check, what, format!("if there were flows, config.sqlite was lost or replaced: {NEXT}"))
    })
}

async fn keys_count(client: &Client, config_type: &str) -> Result<usize, Problem> {
    let answer: Value = client.post("/api/v1/config", json!({"operation": "list", "type": config_type}).to_string()).await?;
    Ok(answer["directory"].as_array().map_or(0, Vec::len))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn an_empty_configuration_beside_queues_of_unknown_content_is_a_warning() {
        let letters = |depth_count, ready_count| QueueSummary {
            depth_count,
            ready_count,
            ..serde_json::from_value(json!({"topic": "flow:tg:weir-dead-letters", "subscription": "weir", "flows": []})).unwrap()
        };
        let found = |queues: &[QueueSummary]| beside_queues("configuration", queues).map(|finding| (finding.grade, finding.what));
        assert_eq!(found(&[letters(Some(0), None), letters(None, Some(0))]), None);
        assert!(matches!(found(&[letters(None, None)]), Some((Grade::Warn, what)) if what.contains("does not count")));
        let (grade, what) = found(&[letters(None, None), letters(Some(2), None)]).unwrap();
        assert!(grade == Grade::Fail && what.contains("hold at least 2 messages"), "{what}");
    }

    #[test]
    fn each_queue_is_listed_with_its_messages_fullest_first() {
        let queue = |topic: &str, depth_count: u64| -> QueueSummary {
            serde_json::from_value(json!({
                "topic": topic, "subscription": "s", "flows": [], "depth-count": depth_count, "unsettled-count": 0,
                "size-bytes": depth_count * 10, "consumer-count": 0, "dropped-count": 0, "is-unowned": true,
            }))
            .unwrap()
        };
        assert!(check(&[]).is_none());
        assert_eq!(check(&[queue("flow:tg:a", 0)]).unwrap().grade, Grade::Warn);
        let found = check(&[queue("flow:tg:a", 0), queue("flow:tg:b", 1), queue("flow:tg:c", 1200)]).unwrap();
        let expected = "flow:tg:c (subscription s) does not belong to a flow and holds 1,200 messages (11.7 KiB)\n\
                        flow:tg:b (subscription s) does not belong to a flow and holds 1 message (10 B)\n\
                        flow:tg:a (subscription s) does not belong to a flow and is empty";
        assert_eq!((found.grade, found.what.as_str()), (Grade::Fail, expected));
        let many: Vec<_> = (0..53).map(|at| queue(&format!("flow:tg:{at}"), 1)).collect();
        assert!(check(&many).unwrap().what.ends_with("\nand 3 more: weir queues"));
    }
}
