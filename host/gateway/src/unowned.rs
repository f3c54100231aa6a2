//! Queues without a flow, which remain in the broker if the configuration was lost or replaced.

use std::collections::HashSet;

use weir_config::ConfigClient;
use weir_config::names::{self, BLUEPRINT_TYPE, COMPONENT_TYPE, FLOW_TYPE};
use weir_flow::protocol::FlowRecord;
use weir_pubsub::{Backend, PubsubError, Queue, chain};

use crate::error::{GatewayError, Result};
use crate::protocol::QueueSummary;

/// Maximum number of queues that are logged individually on start-up; the rest is counted.
const LOGGED_COUNT: usize = 20;

/// A queue by topic and subscription.
type Name = (String, String);

/// The queues that belong neither to a flow nor to a service, with their contents. `known` are the queues of the flows as last read. A queue is only
/// included if a second reading does not find a flow for it either, so that a start or stop in between has no effect.
///
/// # Errors
/// If the broker or the config service cannot be reached.
///
/// # Cancel safety
/// It only reads.
pub(crate) async fn queues(
    backend: &dyn Backend,
    config: &ConfigClient,
    topicspace: &str,
    known: &[QueueSummary],
) -> Result<Vec<QueueSummary>> {
    let all = match backend.inspect().list_queues().await {
        // The broker cannot list queues, so none are reported.
        Err(PubsubError::Unsupported { .. }) => return Ok(Vec::new()),
        all => all.map_err(GatewayError::broker("the queues cannot be listed"))?,
    };
    let known: HashSet<Name> = known.iter().map(|queue| (queue.topic.clone(), queue.subscription.clone())).collect();
    let own = names::service_queues(topicspace).map_err(GatewayError::topicspace)?;
    let all: Vec<Queue> = all.into_iter().filter(|queue| queue.topic().topicspace() == topicspace).collect();
    let mut unowned = beyond(&all, &known, &own);
    if unowned.is_empty() {
        return Ok(Vec::new());
    }
    let values = config.values(FLOW_TYPE).await.map_err(GatewayError::Config)?.value;
    let Some(owned) = owned(values.values().map(String::as_str)) else { return Ok(Vec::new()) };
    unowned.retain(|name| !owned.contains(name));
    let mut found = Vec::new();
    for (topic, subscription) in unowned {
        let mut queue = QueueSummary { is_unowned: true, ..QueueSummary::unknown(&topic, &subscription) };
        queue.look(backend).await?;
        // Skips a queue that was deleted meanwhile.
        found.extend((!queue.is_missing).then_some(queue));
    }
    Ok(found)
}

/// Logs a warning for each queue without a flow, and another if the configuration is empty although there are messages.
pub async fn warn_of_unowned_queues(backend: &dyn Backend, config: &ConfigClient, topicspace: &str) {
    if let Err(error) = warn(backend, config, topicspace).await {
        tracing::warn!(error = %chain(&error), "search for unowned queues failed");
    }
}

async fn warn(backend: &dyn Backend, config: &ConfigClient, topicspace: &str) -> Result<()> {
    let unowned = queues(backend, config, topicspace, &[]).await?;
    for queue in unowned.iter().take(LOGGED_COUNT) {
        let (topic, subscription) = (queue.topic.as_str(), queue.subscription.as_str());
        tracing::warn!(topic, subscription, messages_count = queue.depth_count, "queue without a flow; see weir doctor");
    }
    if let Some(more_count) = unowned.len().checked_sub(LOGGED_COUNT).filter(|count| *count > 0) {
        tracing::warn!(more_count, "more queues without a flow; see weir doctor");
    }
    let mut letters = QueueSummary::of(&names::dead_letters(topicspace).map_err(GatewayError::topicspace)?);
    letters.look(backend).await?;
    let messages_count: u64 = unowned.iter().chain([&letters]).filter_map(|queue| queue.depth_count.or(queue.ready_count)).sum();
    // Dead letters in flight alone do not indicate a lost configuration; dead letters that the broker does not count may.
    let may_hold = !letters.is_missing && letters.depth_count.or(letters.ready_count) != Some(0);
    if !may_hold && unowned.is_empty() || !is_empty(config).await? {
        return Ok(());
    }
    let queues_count = unowned.len();
    let is_counted = unowned.iter().chain([&letters]).all(|queue| queue.is_missing || queue.depth_count.is_some());
    if queues_count == 0 && letters.depth_count.or(letters.ready_count).is_none() {
        tracing::warn!(
            "configuration empty, and the broker does not count dead letters: if there are any, config.sqlite was lost or replaced; \
             restore a backup of the data folder, or start the flows again under their old names"
        );
    } else {
        tracing::warn!(
            queues_count,
            messages_count,
            is_counted,
            "configuration empty, but the queues are not: config.sqlite was lost or replaced; restore a backup of the data folder, or \
             start the flows again under their old names"
        );
    }
    Ok(())
}

/// Whether there are no flows, blueprints or components.
async fn is_empty(config: &ConfigClient) -> Result<bool> {
    for config_type in [FLOW_TYPE, BLUEPRINT_TYPE, COMPONENT_TYPE] {
        if !config.list(config_type).await.map_err(GatewayError::Config)?.value.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The queues that are neither known nor belong to a service.
fn beyond(all: &[Queue], known: &HashSet<Name>, own: &[Queue]) -> Vec<Name> {
    let others = all.iter().filter(|queue| !own.contains(queue));
    let names = others.map(|queue| (queue.topic().to_string(), queue.subscription().to_string()));
    names.filter(|name| !known.contains(name)).collect()
}

/// The queues of all flows; `None` if a record does not name its queues, so that the owners of other queues are unknown.
fn owned<'r>(records: impl Iterator<Item = &'r str>) -> Option<HashSet<Name>> {
    let mut owned = HashSet::new();
    for record in records {
        let plan = serde_json::from_str::<FlowRecord>(record).ok()?.plan?;
        owned.extend(plan.queues.into_iter().map(|queue| (queue.topic, queue.subscription)));
    }
    Some(owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn queue(topic: &str, subscription: &str) -> Queue {
        Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap()
    }

    #[test]
    fn queues_of_services_and_of_flows_are_not_unowned() {
        let all = [
            queue("request:tg:config", "config-svc"),
            queue("request:tg:flow", "flow-svc"),
            queue("flow:tg:weir-dead-letters", "weir"),
            queue("flow:tg:in:one", "p--one--input"),
            queue("flow:tg:in:two", "p--two--input"),
            queue("request:tg:config", "other"),
        ];
        let known = HashSet::from([("flow:tg:in:one".to_owned(), "p--one--input".to_owned())]);
        let found: Vec<String> = beyond(&all, &known, &names::service_queues("tg").unwrap())
            .into_iter()
            .map(|(topic, subscription)| format!("{topic} {subscription}"))
            .collect();
        assert_eq!(found, ["flow:tg:in:two p--two--input", "request:tg:config other"]);
    }

    #[test]
    fn a_record_without_queues_leaves_all_owners_unknown() {
        let whole = r#"{"blueprint-name": "b", "status": "starting", "plan": {"queues": [{"topic": "flow:tg:a", "subscription": "s"}]}}"#;
        assert_eq!(owned([whole].into_iter()).unwrap(), HashSet::from([("flow:tg:a".to_owned(), "s".to_owned())]));
        for unknown in [r#"{"blueprint-name": "b"}"#, "not JSON"] {
            assert_eq!(owned([whole, unknown].into_iter()), None);
        }
    }
}
