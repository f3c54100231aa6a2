//! Stops a flow in two phases: deletes its entries first, so that its processors detach; then its queues, and finally its record.

use std::collections::BTreeMap;

use weir_config::Batch;
use weir_config::records::Entry;

use super::Lifecycle;
use super::queues::name_of;
use super::snapshot::Entries;
use super::start::{gone, keys_of_interest, put_entry};
use super::stored::json;
use crate::error::{FlowError, Result};
use crate::failpoint::failpoint;
use crate::plan::{EntryKey, Release, Snapshot, release};
use crate::protocol::{Backlog, FLOW_TYPE, FlowStatus, LEFTOVER_TYPE, PlanRecord, QueueRecord};

/// A flow whose entries are removed.
struct Stopping {
    /// The text in the configuration.
    text: String,
    /// The queues that only it used when its entries were deleted.
    queues: Vec<QueueRecord>,
    /// The requests that are completed when the flow is removed.
    requests: Vec<String>,
}

impl Lifecycle {
    /// Stops a flow in any status, for the request with this id. Returns what could not be deleted yet, for people.
    pub(crate) async fn stop(&self, id: &str, backlog: Backlog, request: &str) -> Result<Vec<String>> {
        let _flow = self.flows.lock(id).await;
        if self.done.contains(request).await? {
            tracing::info!(flow = id, "flow already stopped by this redelivered request");
            return Ok(Vec::new());
        }
        let notes = match backlog {
            Backlog::Discard => self.stop_locked(id, Some(request)).await?,
            Backlog::Refuse => self.stop_if_empty(id, request).await?,
        };
        self.failed_starts.remove(id);
        tracing::info!(flow = id, "flow stopped");
        Ok(notes)
    }

    /// Stops a flow even if it holds messages. The flow's lock must be held.
    pub(super) async fn stop_locked(&self, id: &str, request: Option<&str>) -> Result<Vec<String>> {
        let stopping = self.delete_entries(id, request).await?;
        failpoint("stop-announced").await;
        self.wait_for_processors(id, &stopping.queues).await?;
        let deleted = self.delete_queues(id, stopping.queues).await?;
        failpoint("stop-queues-deleted").await;
        let batch = Batch::new().delete(FLOW_TYPE, id).on_condition(FLOW_TYPE, id, Some(stopping.text)).with_reserve();
        let mut batch = gone(batch, deleted.gone.iter());
        let mut notes = Vec::new();
        for (queue, reason) in &deleted.undeletable {
            let name = name_of(queue);
            tracing::error!(flow = id, queue = name, error = %reason, "queue of a stopped flow left over");
            notes.push(format!("queue {} ({}) still exists and is deleted later: {reason}", queue.topic, queue.subscription));
            batch = batch.put(LEFTOVER_TYPE, name, json(queue));
        }
        self.done.write(&self.writes, batch, &stopping.requests).await.map_err(FlowError::writing(format!("flow `{id}`")))?;
        failpoint("stop-done").await;
        Ok(notes)
    }

    /// Marks the flow as stopping and deletes the entries that no other flow uses, in one write.
    async fn delete_entries(&self, id: &str, request: Option<&str>) -> Result<Stopping> {
        let _writer = self.writer.lock().await;
        let flows = self.flows_around(id).await?;
        let (Some(record), Some(before)) = (flows.records.get(id), flows.texts.get(id)) else {
            return Err(FlowError::UnknownFlow { id: crate::naming::shown(id) });
        };
        let plan = record.plan.clone().unwrap_or_default();
        let entries = self.load_entries(keys_of_interest(id, record, &flows)).await?;
        let snapshot = Snapshot { flows: flows.records.clone(), entries: entries.whole.clone(), ..Snapshot::default() };
        let release = release(id, &plan, &snapshot);
        let mut batch = release_entries(Batch::new().with_reserve(), &release, &plan, &entries);
        let mut text = before.clone();
        let mut requests: Vec<String> = request.map(str::to_owned).into_iter().collect();
        if record.status != Some(FlowStatus::Stopping) || record.is_refusing() {
            text = json(&record.stopping(request));
            batch = batch.put(FLOW_TYPE, id, &text);
        } else {
            requests.extend(record.stop_request.clone());
        }
        if !batch.is_empty() {
            let batch = batch.on_condition(FLOW_TYPE, id, Some(before.clone()));
            self.writes.write(batch).await.map_err(FlowError::writing(format!("flow `{id}` or an entry that it shares")))?;
        }
        Ok(Stopping { text, queues: release.queues.into_iter().filter(|queue| !queue.found).collect(), requests })
    }
}

/// Adds the changes to the entries to the batch.
pub(super) fn release_entries(mut batch: Batch, release: &Release, plan: &PlanRecord, entries: &Entries) -> Batch {
    let written: BTreeMap<EntryKey, &Entry> =
        plan.entries.iter().filter_map(|record| Some((EntryKey::of(record), record.entry.as_ref()?))).collect();
    for key in release.entries.iter().filter(|key| is_ours(key, written.get(key).copied(), entries)) {
        let at = key.config_key();
        batch = batch.delete(at.config_type, at.key);
    }
    for (key, entry) in &release.rewritten {
        batch = put_entry(batch, key, &json(entry), entries);
    }
    batch
}

/// Whether the flow may delete an entry. If the flow was only starting, the entry may be older than the start.
fn is_ours(key: &EntryKey, written: Option<&Entry>, entries: &Entries) -> bool {
    match (written, entries.whole.get(key)) {
        (Some(written), Some(there)) => written.topics == there.topics && written.parameters == there.parameters,
        (Some(_), None) => false,
        (None, _) => entries.texts.contains_key(key),
    }
}
