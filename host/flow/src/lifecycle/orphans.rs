//! Finds and removes queues that this service created and that nothing refers to any more.

use std::collections::BTreeSet;

use weir_config::Batch;
use weir_pubsub::{Delete, Deletion, PubsubError, Queue, chain};

use super::Lifecycle;
use super::queues::queue_of;
use crate::error::{FlowError, Result};
use crate::orphans::{CreatedQueue, unnamed};
use crate::protocol::{FLOW_TYPE, LEFTOVER_TYPE, Orphan, QUEUE_MADE_TYPE, QueueRecord};

/// Maximum number of orphans in one answer; repeat a removal to continue it.
const MAX_ORPHANS_COUNT: usize = 1_000;

/// What to do with orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrphanAction {
    /// List them.
    List,
    /// Delete those without messages.
    RemoveEmpty,
    /// Delete all, with their messages.
    Discard,
}

impl Lifecycle {
    /// Examines the queues that were recorded when they were created. One that has a consumer, or may have one, is not an orphan. Flows cannot be
    /// started or stopped meanwhile.
    pub(crate) async fn orphans(&self, what: OrphanAction) -> Result<Vec<Orphan>> {
        let _writer = self.writer.lock().await;
        self.catch_up().await?;
        // The resources of such a flow are only known from its entries.
        if let Some(flow) = self.known.unplanned().iter().find(|flow| flow.record.is_none()) {
            let problem =
                format!("it may own queues that look like orphans; correct it, or stop the flow: weir flow stop {} --discard", flow.id);
            return Err(FlowError::Unreadable { config_type: FLOW_TYPE.to_owned(), key: crate::naming::shown(&flow.id), problem });
        }
        let made = self.config.values(QUEUE_MADE_TYPE).await.map_err(FlowError::config("reading the records of created queues"))?.value;
        let leftovers = self.config.list(LEFTOVER_TYPE).await.map_err(FlowError::config("reading the leftover queues"))?.value;
        let leftovers: BTreeSet<String> = leftovers.into_iter().collect();
        let mut orphans = Vec::new();
        let mut gone = Vec::new();
        for made in unnamed(&made, &self.known.all().records, &leftovers).into_iter().take(MAX_ORPHANS_COUNT) {
            match self.orphan(&made, what).await? {
                Some(orphan) => {
                    gone.extend(orphan.is_removed.then_some(made.key));
                    orphans.push(orphan);
                }
                None if what != OrphanAction::List => gone.push(made.key),
                None => {}
            }
        }
        if !gone.is_empty() {
            let batch = gone.iter().fold(Batch::new().with_reserve(), |batch, key| batch.delete(QUEUE_MADE_TYPE, key));
            self.writes.write(batch).await.map_err(FlowError::config("deleting the records of queues that are gone"))?;
        }
        Ok(orphans)
    }

    /// An orphan and its outcome; `None` if the queue does not exist.
    async fn orphan(&self, made: &CreatedQueue, what: OrphanAction) -> Result<Option<Orphan>> {
        let Ok(queue) = queue_of(&made.queue) else { return Ok(None) };
        let looking = || FlowError::broker(format!("inspecting the queue {queue}"));
        let stats = match self.backend.inspect().stats(&queue).await {
            Ok(stats) => stats,
            Err(PubsubError::QueueNotFound { .. }) => return self.remains(&queue, made, what).await,
            Err(error) => return Err(looking()(error)),
        };
        let messages_count = stats.depth_count.or(stats.ready_count);
        let mut orphan = Orphan {
            topic: made.queue.topic.clone(),
            subscription: made.queue.subscription.clone(),
            messages_count,
            is_removed: false,
            kept_because: None,
        };
        let when = match what {
            _ if stats.may_have_consumers() => {
                orphan.kept_because = Some("it has a consumer: stop it first".to_owned());
                return Ok(Some(orphan));
            }
            OrphanAction::List => return Ok(Some(orphan)),
            OrphanAction::RemoveEmpty => Delete::IfEmpty,
            OrphanAction::Discard => Delete::Always,
        };
        self.confirm().await?;
        match self.backend.delete_queue(&queue, when).await {
            Ok(Deletion::Deleted) => {
                tracing::info!(%queue, messages_count, "orphaned queue deleted");
                orphan.is_removed = true;
            }
            Ok(Deletion::NotEmpty(_)) => orphan.kept_because = Some("it holds messages".to_owned()),
            Err(error) => orphan.kept_because = Some(chain(&error)),
        }
        Ok(Some(orphan))
    }

    /// The remains of a deleted queue: a broker may have kept its resources, such as a topic.
    async fn remains(&self, queue: &Queue, made: &CreatedQueue, what: OrphanAction) -> Result<Option<Orphan>> {
        let looked = self.backend.inspect().has_remains(queue).await;
        let is_left = looked.map_err(FlowError::broker(format!("looking for remains of the queue {queue}")))?;
        let is_removed = is_left && what != OrphanAction::List;
        if is_removed {
            self.confirm().await?;
            let deleted = self.backend.delete_queue(queue, Delete::Always).await;
            deleted.map_err(FlowError::broker(format!("deleting the remains of the queue {queue}")))?;
            tracing::info!(%queue, "remains of a queue deleted");
        }
        let QueueRecord { topic, subscription, .. } = made.queue.clone();
        Ok(is_left.then_some(Orphan { topic, subscription, messages_count: Some(0), is_removed, kept_because: None }))
    }
}
