//! The flows in the configuration: their processors, and their queues.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::ConfigClient;
use weir_config::names::interface_of_exit;
use weir_config::protocol::Key;
use weir_config::records::{Entry, entry_type, processor_of_entry_type};
use weir_flow::protocol::{FLOW_TYPE, FlowRecord, FlowStatus, Interface};
use weir_pubsub::{Backend, PubsubError, Queue, QueueStats};

use crate::error::{GatewayError, Result};
use crate::protocol::{FlowProcessor, FlowSummary, InterfaceKind, QueueSummary};

/// All flows in the configuration.
pub(crate) struct Records {
    /// The version of the configuration.
    pub(crate) version: u64,
    pub(crate) readable: BTreeMap<String, FlowRecord>,
    /// Flows whose record is unreadable, with the reason.
    pub(crate) unreadable: BTreeMap<String, String>,
}

impl Records {
    /// Whether there is a flow, readable or not.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.readable.contains_key(id) || self.unreadable.contains_key(id)
    }
}

/// All flows, with unreadable ones kept separate.
pub(crate) async fn read(config: &ConfigClient) -> Result<Records> {
    let values = config.values(FLOW_TYPE).await.map_err(GatewayError::Config)?;
    let mut records = Records { version: values.version, readable: BTreeMap::new(), unreadable: BTreeMap::new() };
    for (id, text) in values.value {
        match serde_json::from_str(&text) {
            Ok(record) => drop(records.readable.insert(id, record)),
            Err(error) => drop(records.unreadable.insert(id, weir_pubsub::chain(&error))),
        }
    }
    Ok(records)
}

/// The readable flows, with the version of the configuration.
pub(crate) async fn records(config: &ConfigClient) -> Result<(u64, BTreeMap<String, FlowRecord>)> {
    let records = read(config).await?;
    for (flow, error) in &records.unreadable {
        tracing::debug!(flow, error, "unreadable flow record skipped");
    }
    Ok((records.version, records.readable))
}

/// Summaries of flows. All entries are read with one request: one per flow would dominate the time.
pub(crate) async fn summaries(config: &ConfigClient, records: &Records) -> Result<Vec<FlowSummary>> {
    let named = records.readable.values().filter_map(|record| record.plan.as_ref()).flat_map(|plan| &plan.entries);
    let named: BTreeSet<(&str, &str)> = named.map(|entry| (entry.processor.as_str(), entry.variant.as_str())).collect();
    let key = |(processor, variant): &(&str, &str)| Key { config_type: entry_type(processor), key: (*variant).to_owned() };
    let values = config.get_in_portions(named.iter().map(key).collect()).await.map_err(GatewayError::Config)?.value;
    let read = |(key, text): (Key, String)| {
        let processor = processor_of_entry_type(&key.config_type)?.to_owned();
        Some(((processor, key.key), serde_json::from_str::<Entry>(&text).ok()?))
    };
    let entries = values.into_iter().filter_map(read).collect();
    let unreadable = records.unreadable.iter().map(|(id, problem)| FlowSummary {
        id: id.clone(),
        description: format!("its record cannot be read: {problem}"),
        status: UNREADABLE.to_owned(),
        ..FlowSummary::default()
    });
    let mut all: Vec<_> = records.readable.iter().map(|(id, record)| summary(id, record, &entries)).chain(unreadable).collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

fn summary(id: &str, record: &FlowRecord, entries: &BTreeMap<(String, String), Entry>) -> FlowSummary {
    let processor = |processor: &str, variant: &str| FlowProcessor {
        processor: processor.to_owned(),
        variant: variant.to_owned(),
        component: entries.get(&(processor.to_owned(), variant.to_owned())).and_then(|entry| entry.component.clone()),
    };
    let kind = |interface: &Interface| match interface {
        Interface::Flow { .. } => InterfaceKind::Flow,
        Interface::Service { .. } => InterfaceKind::Request,
    };
    let status = match record.status {
        None => "running",
        Some(FlowStatus::Starting) => "starting",
        Some(FlowStatus::Updating) => "updating",
        Some(FlowStatus::Stopping) => "stopping",
    };
    FlowSummary {
        id: id.to_owned(),
        blueprint: record.blueprint_name.clone(),
        description: record.description.clone(),
        status: status.to_owned(),
        parameters: record.parameters.clone(),
        interfaces: record.interfaces.iter().map(|(name, interface)| (name.clone(), kind(interface))).collect(),
        processors: record.plan.iter().flat_map(|plan| &plan.entries).map(|entry| processor(&entry.processor, &entry.variant)).collect(),
    }
}

/// The status of a flow whose record is unreadable.
const UNREADABLE: &str = "unreadable";

/// The queues of all flows, each once.
pub(crate) fn queues(records: &BTreeMap<String, FlowRecord>) -> Vec<QueueSummary> {
    let mut queues: BTreeMap<(String, String), QueueSummary> = BTreeMap::new();
    for (id, record) in records {
        for queue in record.plan.iter().flat_map(|plan| &plan.queues) {
            let exit = interface_of_exit(&queue.subscription, id).filter(|name| record.interfaces.contains_key(*name));
            let found = queues.entry((queue.topic.clone(), queue.subscription.clone()));
            let found = found.or_insert_with(|| QueueSummary::unknown(&queue.topic, &queue.subscription));
            found.flows.push(id.clone());
            found.exit = found.exit.take().or_else(|| exit.map(str::to_owned));
        }
    }
    queues.into_values().collect()
}

impl QueueSummary {
    /// Whether it may hold messages: it does, or the broker does not know.
    pub fn may_hold_messages(&self) -> bool {
        let Self { depth_count, ready_count, unsettled_count, .. } = *self;
        !self.is_missing && QueueStats { depth_count, ready_count, unsettled_count, ..QueueStats::default() }.may_hold_messages()
    }

    /// Messages in it, including those in flight, if known.
    pub fn held_count(&self) -> Option<u64> {
        self.depth_count.or_else(|| Some(self.ready_count? + self.unsettled_count?))
    }

    /// The summary of a queue of which only the name is known.
    pub(crate) fn of(queue: &Queue) -> Self {
        Self::unknown(queue.topic().as_str(), queue.subscription().as_str())
    }

    /// The same from topic and subscription.
    pub(crate) fn unknown(topic: &str, subscription: &str) -> Self {
        QueueSummary {
            topic: topic.to_owned(),
            subscription: subscription.to_owned(),
            flows: Vec::new(),
            exit: None,
            is_missing: false,
            depth_count: None,
            ready_count: None,
            unsettled_count: None,
            size_bytes: None,
            consumer_count: None,
            dropped_count: None,
            limit_bytes: None,
            refused_count: None,
            is_full: None,
            damaged_count: None,
            is_unowned: false,
        }
    }

    /// Requests its figures from the broker.
    pub(crate) async fn look(&mut self, backend: &dyn Backend) -> Result<()> {
        let (Ok(topic), Ok(subscription)) = (self.topic.parse(), self.subscription.parse()) else { return Ok(()) };
        let Ok(queue) = Queue::new(topic, subscription) else { return Ok(()) };
        match backend.inspect().stats(&queue).await {
            Ok(stats) => {
                self.depth_count = stats.depth_count;
                self.ready_count = stats.ready_count;
                self.unsettled_count = stats.unsettled_count;
                self.size_bytes = stats.size_bytes;
                self.consumer_count = stats.consumer_count;
                self.dropped_count = stats.dropped_count;
                self.limit_bytes = stats.refuse_above_bytes;
                self.refused_count = stats.refused_count;
                self.is_full = stats.is_refusing;
                self.damaged_count = stats.damaged_count;
                Ok(())
            }
            Err(PubsubError::QueueNotFound { .. }) => {
                self.is_missing = true;
                Ok(())
            }
            Err(error) => Err(GatewayError::broker(format!("queue {queue} cannot be inspected"))(error)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_shared_queue_is_listed_once_with_all_its_flows() {
        let record = |id: &str| -> FlowRecord {
            let text = format!(
                r#"{{"blueprint-name": "b", "interfaces": {{"out": {{"flow": "flow:tg:out:{id}"}}}}, "plan": {{"queues": [
                {{"topic": "flow:tg:shared", "subscription": "p--b--input"}}, {{"topic": "flow:tg:out:{id}", "subscription": "gateway--{id}--out"}}]}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let records = BTreeMap::from([("one".to_owned(), record("one")), ("two".to_owned(), record("two"))]);
        let queues = queues(&records);
        let shown: Vec<_> = queues.iter().map(|q| (q.topic.as_str(), q.flows.join(","), q.exit.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("flow:tg:out:one", "one".to_owned(), Some("out")),
                ("flow:tg:out:two", "two".to_owned(), Some("out")),
                ("flow:tg:shared", "one,two".to_owned(), None)
            ]
        );
    }
}
