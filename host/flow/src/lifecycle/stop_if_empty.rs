//! Stops a flow only if it holds no messages. Its configuration is removed first, so that no new work begins; then the queues are deleted in one step
//! if all are empty, otherwise everything is restored.
//!
//! An interrupted stop is reverted by [`Lifecycle::resume`], even if its queues were already deleted: they were empty, and the stop was not confirmed
//! to any caller.

use std::collections::BTreeMap;

use weir_config::Batch;
use weir_pubsub::{Backlog, Class, Deletion, PubsubError, Queue, QueueStats, chain};

use super::Lifecycle;
use super::queues::queue_of;
use super::registry::Flows;
use super::snapshot::Entries;
use super::start::{gone, keys_of_interest};
use super::stop::release_entries;
use super::stored::json;
use crate::error::{FlowError, Result};
use crate::failpoint::failpoint;
use crate::plan::{EntryKey, HeldMessages, Release, Restored, Snapshot, refusing_record, release, restore};
use crate::protocol::{FLOW_TYPE, FlowRecord, FlowStatus, PlanRecord, QueueRecord};

/// How far a stop got before it failed.
enum StopFailure {
    /// Nothing was changed.
    Before(FlowError),
    /// The entries may be removed: they are restored.
    Halfway(FlowError),
    /// The queues are deleted: [`Lifecycle::resume`] decides about the rest.
    Late(FlowError),
}

/// A flow to be stopped, as stored in config.
struct StoppedFlow {
    record: FlowRecord,
    text: String,
    entries: Entries,
    release: Release,
}

impl StoppedFlow {
    fn plan(&self) -> PlanRecord {
        self.record.plan.clone().unwrap_or_default()
    }
}

impl Lifecycle {
    /// Stops a flow if all queues that only it uses are empty. The flow's lock must be held.
    pub(super) async fn stop_if_empty(&self, id: &str, request: &str) -> Result<Vec<String>> {
        let stopped = match self.take_entries(id).await {
            Ok(Some(queues)) => {
                failpoint("refuse-announced").await;
                self.delete_if_empty(id, &queues, request).await
            }
            // It never ran, or an earlier request is already stopping it.
            Ok(None) => return self.stop_locked(id, Some(request)).await,
            Err(failed) => Err(failed),
        };
        match stopped {
            Ok(()) => Ok(Vec::new()),
            Err(StopFailure::Before(error) | StopFailure::Late(error)) => Err(error),
            Err(StopFailure::Halfway(error)) => match self.revert_stop(id).await {
                Ok(()) => Err(error),
                Err(source) => {
                    tracing::warn!(flow = id, error = %chain(&source), "refused stop of a flow not reverted yet");
                    Err(FlowError::not_undone(&error, source))
                }
            },
        }
    }

    /// Marks the flow as stopping and removes the entries that no other flow uses, in one write; they are kept in its record. Returns the queues that
    /// only this flow uses; `None` if there is nothing that could be restored.
    async fn take_entries(&self, id: &str) -> Result<Option<Vec<QueueRecord>>, StopFailure> {
        let _writer = self.writer.lock().await;
        let stopped_flow = self.stopped_flow(id).await.map_err(StopFailure::Before)?;
        match stopped_flow.record.status {
            Some(FlowStatus::Stopping) if stopped_flow.record.is_refusing() => return Ok(Some(stopped_flow.release.queues)),
            Some(FlowStatus::Starting | FlowStatus::Stopping) => return Ok(None),
            Some(FlowStatus::Updating) | None => {}
        }
        if self.failed_starts.contains(id) {
            return Ok(None);
        }
        self.check_unread(id, &stopped_flow).await.map_err(StopFailure::Before)?;
        let stopping = refusing_record(&stopped_flow.record, &stopped_flow.release, &stopped_flow.entries.texts);
        let batch = stopping_batch(id, &stopping, stopped_flow.text);
        // Do not remove anything that cannot be restored in one write.
        let back = restoring_batch(id, restore(&stopping, &BTreeMap::new()), json(&stopping));
        let fits = self.writes.check_fits(&batch).and_then(|()| self.writes.check_fits(&back));
        fits.map_err(|source| StopFailure::Before(FlowError::TooLargeToRefuse { id: id.to_owned(), source }))?;
        let written = self.writes.write(batch).await.map_err(FlowError::writing(format!("flow `{id}` or one of its entries")));
        // A write without an answer may have been executed.
        written.map_err(|error| if error.is_transient() { StopFailure::Halfway(error) } else { StopFailure::Before(error) })?;
        Ok(Some(stopped_flow.release.queues))
    }

    async fn stopped_flow(&self, id: &str) -> Result<StoppedFlow> {
        let Flows { records, texts } = self.flows_around(id).await?;
        let (Some(record), Some(text)) = (records.get(id), texts.get(id)) else {
            return Err(FlowError::UnknownFlow { id: crate::naming::shown(id) });
        };
        if let Err(error) = serde_json::from_str::<FlowRecord>(text) {
            let problem = format!("{error}; stop the flow with `weir flow stop {id} --discard`");
            return Err(FlowError::Unreadable { config_type: FLOW_TYPE.to_owned(), key: crate::naming::shown(id), problem });
        }
        let (record, text) = (record.clone(), text.clone());
        let flows = Flows { records, texts };
        let entries = self.load_entries(keys_of_interest(id, &record, &flows)).await?;
        let snapshot = Snapshot { flows: flows.records, entries: entries.whole.clone(), ..Snapshot::default() };
        let release = release(id, &record.plan.clone().unwrap_or_default(), &snapshot);
        Ok(StoppedFlow { record, text, entries, release })
    }

    /// Refuses immediately, and without disturbing the flow, while messages wait in queues without a consumer.
    async fn check_unread(&self, id: &str, stopped_flow: &StoppedFlow) -> Result<()> {
        let (mut backlog, mut is_unread) = (Vec::new(), false);
        for queue in stopped_flow.release.queues.iter().filter_map(|record| queue_of(record).ok()) {
            // For requests it is unknown here which have expired.
            if queue.topic().class() != Class::Flow {
                continue;
            }
            match self.backend.inspect().stats(&queue).await {
                // The deletion checks an unknown backlog, once consumers have detached.
                Ok(QueueStats { depth_count, ready_count, consumer_count, .. }) if depth_count.or(ready_count) > Some(0) => {
                    let is_read = consumer_count != Some(0);
                    is_unread |= !is_read;
                    // Without a consumer all messages are ready.
                    let count = if is_read { depth_count } else { depth_count.or(ready_count) };
                    backlog.push(Backlog { queue, count });
                }
                Ok(_) | Err(PubsubError::QueueNotFound { .. }) => {}
                Err(error) => return Err(FlowError::broker(format!("inspecting the queue {queue}"))(error)),
            }
        }
        if is_unread { Err(not_empty(id, &stopped_flow.record, &backlog)) } else { Ok(()) }
    }

    /// Deletes the queues if all are empty, then the record. Other flows may have started to use a queue or an entry since, so ownership is checked
    /// again, and cannot change meanwhile.
    async fn delete_if_empty(&self, id: &str, queues: &[QueueRecord], request: &str) -> Result<(), StopFailure> {
        let waited = self.wait_for_processors(id, queues).await;
        waited.map_err(|error| match error {
            FlowError::ShuttingDown { .. } => StopFailure::Halfway(FlowError::StopCutOff { id: id.to_owned() }),
            error => StopFailure::Halfway(error),
        })?;
        let _writer = self.writer.lock().await;
        let stopped_flow = self.stopped_flow(id).await.map_err(StopFailure::Halfway)?;
        let queues: Vec<Queue> = stopped_flow.release.queues.iter().filter_map(|record| queue_of(record).ok()).collect();
        self.confirm().await.map_err(StopFailure::Halfway)?;
        let deleted = self.backend.delete_queues_if_empty(&queues).await;
        match deleted.map_err(FlowError::broker(format!("deleting the queues of flow `{id}`"))).map_err(StopFailure::Halfway)? {
            Deletion::Deleted => {}
            Deletion::NotEmpty(backlog) => return Err(StopFailure::Halfway(not_empty(id, &stopped_flow.record, &backlog))),
        }
        failpoint("refuse-queues-deleted").await;
        let batch = Batch::new().delete(FLOW_TYPE, id).on_condition(FLOW_TYPE, id, Some(stopped_flow.text.clone())).with_reserve();
        let batch = gone(batch, stopped_flow.release.queues.iter());
        let batch = release_entries(batch, &stopped_flow.release, &stopped_flow.plan(), &stopped_flow.entries);
        let written = self.done.write(&self.writes, batch, &[request.to_owned()]).await;
        written.map_err(FlowError::writing(format!("flow `{id}`"))).map_err(StopFailure::Late)
    }

    /// Restores a flow whose stop was refused or interrupted. The flow's lock must be held.
    pub(super) async fn revert_stop(&self, id: &str) -> Result<()> {
        let _writer = self.writer.lock().await;
        let flows = self.flows_around(id).await?;
        let (Some(record), Some(text)) = (flows.records.get(id), flows.texts.get(id)) else { return Ok(()) };
        if !record.is_refusing() {
            return Ok(());
        }
        self.restore_queues(record.plan.as_ref().map_or(&[], |plan| &plan.queues)).await?;
        let mut restored = restore(record, &flows.records);
        let there = self.load_entries(restored.entries.keys().cloned().collect()).await?;
        // An existing entry was written by the start of a flow that shares it, based on the entry kept here.
        restored.entries.retain(|key, _| !there.texts.contains_key(key));
        let batch = restoring_batch(id, restored, text.clone());
        self.writes.write(batch).await.map_err(FlowError::writing(format!("flow `{id}` or one of its entries")))?;
        tracing::info!(flow = id, "stop of a flow reverted");
        Ok(())
    }
}

/// Marks a flow as stopping and deletes the entries that its record keeps.
fn stopping_batch(id: &str, stopping: &FlowRecord, before: String) -> Batch {
    let batch = Batch::new().put(FLOW_TYPE, id, json(stopping)).on_condition(FLOW_TYPE, id, Some(before)).with_reserve();
    let kept = stopping.plan.iter().flat_map(|plan| &plan.entries).filter(|entry| entry.kept.is_some());
    kept.fold(batch, |batch, entry| {
        let at = EntryKey::of(entry).config_key();
        batch.delete(at.config_type.clone(), at.key.clone()).on_condition(at.config_type, at.key, entry.kept.clone())
    })
}

/// The reverse.
fn restoring_batch(id: &str, restored: Restored, stopping: String) -> Batch {
    let batch = Batch::new().put(FLOW_TYPE, id, json(&restored.record)).on_condition(FLOW_TYPE, id, Some(stopping)).with_reserve();
    restored.entries.into_iter().fold(batch, |batch, (key, entry)| {
        let at = key.config_key();
        batch.put(at.config_type.clone(), at.key.clone(), entry).on_condition(at.config_type, at.key, None)
    })
}

fn not_empty(id: &str, record: &FlowRecord, backlog: &[Backlog]) -> FlowError {
    FlowError::NotEmpty { held: HeldMessages::of(id, record, backlog) }
}
