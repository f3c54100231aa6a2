//! Creates, observes and deletes queues.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use weir_pubsub::{Delete, Deletion, NameError, Overflow, PubsubError, Queue, QueueSpec, QueueStats, create_bounded, ensure_bounded};

use super::Lifecycle;
use super::registry::Flows;
use crate::error::{FlowError, Result, is_unanswered};
use crate::plan::{StartPlan, owned_queues};
use crate::protocol::{FlowRecord, LEFTOVER_TYPE, QUEUE_MADE_TYPE, QueueRecord};
use weir_pubsub::chain;

/// Number of concurrent queue operations: enough for a broker to write them together.
pub(super) const CONCURRENT_COUNT: usize = 32;
/// How often to check whether processors have detached: they take some tens of milliseconds.
const FIRST_POLL_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn queue_of(record: &QueueRecord) -> Result<Queue, NameError> {
    Queue::new(record.topic.parse()?, record.subscription.parse()?)
}

fn spec_of(record: &QueueRecord) -> Result<QueueSpec, NameError> {
    let overflow = record.drop_oldest_above_bytes.map_or(Overflow::None, |bytes| Overflow::DropOldest { bytes });
    Ok(QueueSpec { queue: queue_of(record)?, overflow })
}

/// The queue's name on the wire, or a description of it in a corrupted record.
pub(super) fn name_of(record: &QueueRecord) -> String {
    queue_of(record).map_or_else(|_| format!("{} {}", record.topic, record.subscription), |queue| queue.wire_name())
}

/// The outcome of deleting queues. Those that another flow now owns are in neither list.
#[derive(Default)]
pub(super) struct Deleted {
    pub(super) gone: Vec<QueueRecord>,
    /// Those for which every attempt failed, with the reason.
    pub(super) undeletable: Vec<(QueueRecord, String)>,
}

/// Why a queue was not deleted.
enum NotDeleted {
    /// The broker answered.
    Answered(String),
    /// The broker did not answer: the attempt does not count.
    Unanswered(String),
}

/// What to do with an existing queue.
#[derive(Clone, Copy)]
enum IfExists {
    Keep,
    /// Restore its binding.
    Ensure,
}

impl Lifecycle {
    /// Waits until the queues of a flow have no consumers, with a time-out. Exits are excluded: the deletion notifies their consumers.
    pub(super) async fn wait_for_processors(&self, id: &str, queues: &[QueueRecord]) -> Result<()> {
        let deadline = Instant::now() + self.settings.stop_wait;
        let mut pause = FIRST_POLL_INTERVAL;
        let mut waiting: Vec<Queue> = queues.iter().filter(|queue| !is_exit(queue)).filter_map(|queue| queue_of(queue).ok()).collect();
        loop {
            let mut read = Vec::new();
            for queue in waiting {
                match self.backend.inspect().stats(&queue).await {
                    Ok(stats) if !stats.may_have_consumers() => {}
                    Err(PubsubError::QueueNotFound { .. }) => {}
                    // Also if the broker does not answer: the queue may still have consumers.
                    Ok(_) | Err(_) => read.push(queue),
                }
            }
            if read.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                tracing::warn!(flow = id, queue = %read[0], queues_count = read.len(), "queues of a stopping flow still have consumers");
                return Ok(());
            }
            waiting = read;
            self.pause(id, pause).await?;
            pause = (pause * 2).min(LONGEST_POLL_INTERVAL);
        }
    }

    /// Waits, unless the service shuts down.
    async fn pause(&self, id: &str, time: Duration) -> Result<()> {
        let waited = self.token.run_until_cancelled(tokio::time::sleep(time)).await;
        waited.ok_or_else(|| FlowError::ShuttingDown { what: format!("the stop of flow `{id}`") })
    }

    /// Deletes the queues that no other flow owns now.
    pub(super) async fn delete_queues(&self, id: &str, mut queues: Vec<QueueRecord>) -> Result<Deleted> {
        let mut tries_count = 0;
        let mut gone = Vec::new();
        loop {
            let (deleted, is_answered) = self.delete_unowned(id, queues).await?;
            tries_count += u32::from(is_answered);
            gone.extend(deleted.gone);
            if deleted.undeletable.is_empty() || tries_count >= self.settings.delete_tries_count {
                return Ok(Deleted { gone, undeletable: deleted.undeletable });
            }
            self.pause(id, self.settings.delete_pause).await?;
            queues = deleted.undeletable.into_iter().map(|(queue, _)| queue).collect();
        }
    }

    /// One attempt. Other flows may have started to use a queue since, so ownership is checked again, and cannot change meanwhile.
    async fn delete_unowned(&self, id: &str, queues: Vec<QueueRecord>) -> Result<(Deleted, bool)> {
        let _writer = self.writer.lock().await;
        self.catch_up().await?;
        let flows = self.known.affected_flows(id, queues.iter().map(|queue| queue.topic.clone()), []);
        let owned = owned_queues(&flows.records, id);
        let mut deleted = Deleted::default();
        let mut is_answered = true;
        for queue in queues {
            if owned.contains(&(queue.topic.as_str(), queue.subscription.as_str())) {
                continue;
            }
            match self.delete_queue(&queue, Delete::Always).await {
                Ok(()) => deleted.gone.push(queue),
                Err(NotDeleted::Answered(reason)) => deleted.undeletable.push((queue, reason)),
                Err(NotDeleted::Unanswered(reason)) => {
                    is_answered = false;
                    deleted.undeletable.push((queue, reason));
                }
            }
        }
        Ok((deleted, is_answered))
    }

    /// Deletes a queue without consumers; in the given mode if their number is unknown. `Always` is for callers that have waited for them to detach.
    async fn delete_queue(&self, record: &QueueRecord, when_unknown: Delete) -> Result<(), NotDeleted> {
        let Ok(queue) = queue_of(record) else { return Ok(()) };
        let mut when = Delete::Always;
        if !is_exit(record) {
            match self.backend.inspect().stats(&queue).await {
                Ok(QueueStats { consumer_count: Some(count @ 1..), .. }) => {
                    return Err(NotDeleted::Answered(format!("it still has {count} consumers")));
                }
                Ok(QueueStats { consumer_count: None, .. }) => when = when_unknown,
                // Also a missing one: its consumer may have removed it, and a deletion removes remaining resources such as a topic.
                Ok(_) | Err(PubsubError::QueueNotFound { .. }) => {}
                Err(error) => return Err(not_deleted(&error)),
            }
        }
        self.confirm().await.map_err(|error| NotDeleted::Unanswered(chain(&error)))?;
        match self.backend.delete_queue(&queue, when).await {
            Ok(Deletion::Deleted) => Ok(()),
            Ok(Deletion::NotEmpty(_)) => {
                Err(NotDeleted::Answered("it may hold messages, and the broker does not count its consumers".to_owned()))
            }
            Err(error) => Err(not_deleted(&error)),
        }
    }

    /// Deletes those of a new flow's queues that an earlier stop left over, so that the flow does not receive old messages. Returns their names;
    /// their records are deleted in the write that announces the start. One that may have consumers, because their number is unknown, is only deleted
    /// if it is empty.
    pub(super) async fn delete_leftovers_of(&self, plan: &StartPlan, flows: &Flows) -> Result<Vec<String>> {
        let names = self.config.list(LEFTOVER_TYPE).await.map_err(FlowError::config("reading the leftover queues"))?.value;
        let owned = owned_queues(&flows.records, "");
        let mut deleted = Vec::new();
        for record in plan.queues.iter().filter(|record| !owned.contains(&(record.topic.as_str(), record.subscription.as_str()))) {
            let name = name_of(record);
            if names.contains(&name)
                && let Ok(queue) = queue_of(record)
            {
                let deleting = || FlowError::broker(format!("deleting the leftover queue {queue}"));
                let when = match self.backend.inspect().stats(&queue).await {
                    Ok(QueueStats { consumer_count: None, .. }) => Delete::IfEmpty,
                    Ok(_) | Err(PubsubError::QueueNotFound { .. }) => Delete::Always,
                    Err(error) => return Err(deleting()(error)),
                };
                self.confirm().await?;
                if self.backend.delete_queue(&queue, when).await.map_err(deleting())? != Deletion::Deleted {
                    return Err(FlowError::LeftoverInUse { queue: queue.to_string() });
                }
                deleted.push(name);
            }
        }
        Ok(deleted)
    }

    /// Retries deleting the leftovers of stops. The writer's lock must be held.
    pub(super) async fn retry_leftovers(&self) -> Result<()> {
        let leftovers = self.config.values(LEFTOVER_TYPE).await.map_err(FlowError::config("reading the leftover queues"))?.value;
        if leftovers.is_empty() {
            return Ok(());
        }
        self.catch_up().await?;
        let flows = self.known.all();
        let owned = owned_queues(&flows.records, "");
        for (name, text) in leftovers {
            let Ok(record) = serde_json::from_str::<QueueRecord>(&text) else {
                tracing::warn!(queue = name, "record of a leftover queue unreadable");
                continue;
            };
            let is_owned = owned.contains(&(record.topic.as_str(), record.subscription.as_str()));
            if is_owned || self.delete_queue(&record, Delete::IfEmpty).await.is_ok() {
                let mut batch = weir_config::Batch::new().delete(LEFTOVER_TYPE, &name);
                if !is_owned {
                    batch = batch.delete(QUEUE_MADE_TYPE, &name);
                }
                self.writes.write(batch).await.map_err(FlowError::config("deleting the record of a leftover queue"))?;
                tracing::info!(queue = name, "leftover queue deleted");
            }
        }
        Ok(())
    }

    /// Returns if this service led a moment ago; call it before each creation or deletion of a queue. Never returns once another service leads.
    pub(super) async fn confirm(&self) -> Result<()> {
        self.writes.confirm().await.map_err(FlowError::config("checking whether this flow service is still the leader"))
    }

    /// Creates the queues of a plan; existing ones are not changed.
    pub(super) async fn create_queues(&self, queues: &[QueueRecord]) -> Result<()> {
        self.create_missing_queues(queues, IfExists::Keep).await
    }

    /// Creates the missing queues of a plan, and restores the bindings of the others.
    pub(super) async fn restore_queues(&self, queues: &[QueueRecord]) -> Result<()> {
        self.create_missing_queues(queues, IfExists::Ensure).await
    }

    async fn create_missing_queues(&self, queues: &[QueueRecord], if_exists: IfExists) -> Result<()> {
        let made: Vec<_> = queues.iter().map(|record| self.create_queue(record, if_exists)).collect();
        stream::iter(made).buffer_unordered(CONCURRENT_COUNT).try_collect().await
    }

    async fn create_queue(&self, record: &QueueRecord, if_exists: IfExists) -> Result<()> {
        let spec = spec_of(record).map_err(FlowError::name("the name of a queue"))?;
        self.confirm().await?;
        let made = match if_exists {
            IfExists::Keep => create_bounded(&*self.backend, &spec).await,
            IfExists::Ensure => ensure_bounded(&*self.backend, &spec).await,
        };
        made.map_err(FlowError::broker(format!("creating the queue {}", spec.queue)))
    }

    /// Creates the missing queues of running flows.
    pub(super) async fn ensure_queues(&self, flows: &BTreeMap<String, FlowRecord>) {
        let mut ensured = Vec::new();
        for (id, flow) in flows.iter().filter(|(_, flow)| flow.status.is_none()) {
            let queues = flow.plan.iter().flat_map(|plan| &plan.queues);
            ensured.extend(queues.map(|queue| self.ensure_queue(id, queue)));
        }
        stream::iter(ensured).buffer_unordered(CONCURRENT_COUNT).collect::<()>().await;
    }

    async fn ensure_queue(&self, flow: &str, record: &QueueRecord) {
        let Ok(spec) = spec_of(record) else { return };
        if let Err(error) = self.confirm().await {
            return tracing::warn!(flow, queue = %spec.queue, error = %chain(&error), "queue of a running flow not restored");
        }
        if let Err(error) = ensure_bounded(&*self.backend, &spec).await {
            tracing::warn!(flow, queue = %spec.queue, error = %chain(&error), "queue of a running flow not restored");
        }
    }
}

fn is_exit(record: &QueueRecord) -> bool {
    record.drop_oldest_above_bytes.is_some()
}

fn not_deleted(error: &PubsubError) -> NotDeleted {
    if is_unanswered(error) { NotDeleted::Unanswered(chain(error)) } else { NotDeleted::Answered(chain(error)) }
}
