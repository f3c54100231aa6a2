//! Starts a flow completely, or leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::{Batch, ConfigError};

use super::Lifecycle;
use super::queues::{name_of, queue_of};
use super::registry::Flows;
use super::snapshot::Entries;
use super::stored::json;
use crate::error::{FlowError, Result};
use crate::failpoint::failpoint;
use crate::parameters::resolve;
use crate::plan::{Draft, EntryKey, Exits, FlowIdentity, Readers, StartPlan, affected_entries, check_readers, owned_queues, plan_start};
use crate::protocol::{FLOW_TYPE, FlowRecord, FlowStatus, LEFTOVER_TYPE, QUEUE_MADE_TYPE, QueueRecord};
use weir_pubsub::chain;

/// The flow to start.
#[derive(Clone)]
pub(crate) struct StartRequest {
    pub(crate) flow: FlowIdentity,
    pub(crate) parameters: BTreeMap<String, serde_json::Value>,
    pub(crate) drop_exits: bool,
    pub(crate) readers: Readers,
    /// The id of the request.
    pub(crate) request: String,
}

/// How far a start got before it failed.
enum StartFailure {
    /// Nothing was changed.
    Before(FlowError),
    /// The record is written, and perhaps more.
    Halfway(FlowError),
}

impl Lifecycle {
    /// Starts a flow. Returns assumptions, for people.
    pub(crate) async fn start(&self, start: StartRequest) -> Result<Vec<String>> {
        let (id, request) = (start.flow.id.clone(), start.request.clone());
        let _flow = self.flows.lock(&id).await;
        let started = match self.try_start(start.clone()).await {
            Err(StartFailure::Before(FlowError::FlowExists { .. })) if self.is_left(&id).await? => {
                let failed = FlowError::LeftBehind { id: id.clone() };
                self.undo_start(&id).await.map_err(|source| FlowError::not_undone(&failed, source))?;
                self.try_start(start).await
            }
            Err(StartFailure::Before(FlowError::FlowExists { .. })) if self.is_started_by(&id, &request).await? => {
                tracing::info!(flow = id, "flow already started by this redelivered request");
                return Ok(Vec::new());
            }
            started => started,
        };
        match started {
            Ok(notes) => {
                tracing::info!(flow = id, "flow started");
                Ok(notes)
            }
            Err(StartFailure::Before(error)) => Err(error),
            Err(StartFailure::Halfway(error)) => {
                tracing::warn!(flow = id, error = %chain(&error), "start of a flow failed and was rolled back");
                match self.undo_start(&id).await {
                    Ok(()) => Err(error),
                    Err(source) => Err(FlowError::not_undone(&error, source)),
                }
            }
        }
    }

    /// Whether an interrupted operation left a flow that is to be removed: a start, whose rollback may have been interrupted, too, or a stop. The
    /// flow's lock must be held: then no operation is in progress.
    async fn is_left(&self, id: &str) -> Result<bool> {
        let record = self.record(id).await?;
        let is_going = |record: FlowRecord| match record.status {
            Some(FlowStatus::Starting) => true,
            Some(FlowStatus::Stopping) => !record.is_refusing(),
            Some(FlowStatus::Updating) | None => false,
        };
        Ok(self.failed_starts.contains(id) || record.is_some_and(is_going))
    }

    /// Whether this request started the running flow.
    async fn is_started_by(&self, id: &str, request: &str) -> Result<bool> {
        let record = self.record(id).await?;
        Ok(record.is_some_and(|record| record.status.is_none() && record.request.as_deref() == Some(request)))
    }

    /// Rolls back a start; until that succeeds, [`Lifecycle::resume`] retries it. The flow's lock must be held.
    pub(super) async fn undo_start(&self, id: &str) -> Result<()> {
        // Kept outside the flow's record, which says that the flow is running if the last write was executed and its answer lost.
        self.failed_starts.insert(id);
        match self.stop_locked(id, None).await {
            Ok(_) | Err(FlowError::UnknownFlow { .. }) => {
                self.failed_starts.remove(id);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(flow = id, error = %chain(&error), "start of a flow not rolled back yet");
                Err(error)
            }
        }
    }

    async fn try_start(&self, start: StartRequest) -> Result<Vec<String>, StartFailure> {
        let _writer = self.writer.lock().await;
        let id = start.flow.id.clone();
        let (plan, flows, entries) = self.plan(start).await.map_err(StartFailure::Before)?;
        // A write without an answer may have been executed.
        let failed = |error: FlowError| if error.is_transient() { StartFailure::Halfway(error) } else { StartFailure::Before(error) };
        self.check_size(&id, &plan, &entries).map_err(StartFailure::Before)?;
        let starting = self.write_starting(&id, &plan, &flows).await.map_err(failed)?;
        failpoint("start-announced").await;
        self.make(&id, &plan, &entries, starting).await.map_err(StartFailure::Halfway)?;
        failpoint("start-done").await;
        Ok(plan.notes)
    }

    async fn plan(&self, start: StartRequest) -> Result<(StartPlan, Flows, Entries)> {
        let (id, request) = (start.flow.id.clone(), start.request);
        self.catch_up().await?;
        if self.known.contains(&id) {
            return Err(FlowError::FlowExists { id });
        }
        let blueprint = self.load_blueprint(&start.flow.blueprint).await?;
        let types = self.load_parameter_types(&blueprint).await?;
        let draft = Draft::new(start.flow, &blueprint, resolve(&blueprint, &start.parameters, &types)?)?;
        let flows = self.known.affected_flows(&id, draft.named_topics(), draft.processors.iter().map(|processor| processor.key.clone()));
        let (mut snapshot, entries) = self.load_snapshot(&draft, &flows).await?;
        snapshot.hosted = self.refusals.served_names();
        let exits = if start.drop_exits { Exits::Drop } else { self.kept_exits() };
        let notes = check_readers(&draft, &snapshot, &start.readers)?;
        let mut plan = plan_start(&draft, &snapshot, exits)?;
        plan.record.request = Some(request);
        plan.notes.extend(notes);
        Ok((plan, flows, entries))
    }

    /// Refuses a flow that cannot be written or rolled back in one write to the configuration.
    fn check_size(&self, id: &str, plan: &StartPlan, entries: &Entries) -> Result<()> {
        let starting = json(&plan.starting_record(&BTreeSet::new()));
        let announced = made(Batch::new().put(FLOW_TYPE, id, &starting).on_condition(FLOW_TYPE, id, None), plan.queues.iter());
        let deletes = plan.entries.keys().map(EntryKey::config_key);
        let undone = Batch::new().put(FLOW_TYPE, id, &starting).on_condition(FLOW_TYPE, id, Some(starting.clone()));
        let undone = deletes.fold(undone, |batch, at| batch.delete(at.config_type, at.key));
        let batches =
            [announced, undone, running(id, plan, entries, starting), gone(Batch::new().delete(FLOW_TYPE, id), plan.queues.iter())];
        let fits = batches.iter().try_for_each(|batch| self.writes.check_fits(batch));
        fits.map_err(|source| FlowError::TooLarge { processors_count: plan.entries.len(), source })
    }

    /// Announces the start in the configuration, with everything required to roll it back. Returns the text that it wrote.
    async fn write_starting(&self, id: &str, plan: &StartPlan, flows: &Flows) -> Result<String> {
        let leftovers = self.delete_leftovers_of(plan, flows).await?;
        let owned = owned_queues(&flows.records, id);
        let mut found = BTreeSet::new();
        for (at, record) in plan.queues.iter().enumerate() {
            let is_others = owned.contains(&(record.topic.as_str(), record.subscription.as_str()));
            let Ok(queue) = queue_of(record) else { continue };
            if !is_others && self.backend.queue_exists(&queue).await.map_err(FlowError::broker("looking for the flow's queues"))? {
                found.insert(at);
            }
        }
        let text = json(&plan.starting_record(&found));
        let mut batch = Batch::new().put(FLOW_TYPE, id, &text).on_condition(FLOW_TYPE, id, None);
        for name in leftovers {
            batch = batch.delete(LEFTOVER_TYPE, name);
        }
        let own = plan
            .queues
            .iter()
            .enumerate()
            .filter(|(at, record)| !found.contains(at) && !owned.contains(&(record.topic.as_str(), record.subscription.as_str())));
        batch = made(batch, own.map(|(_, record)| record));
        match self.writes.write(batch).await {
            Ok(()) => Ok(text),
            Err(ConfigError::Conflict { .. }) => Err(FlowError::FlowExists { id: id.to_owned() }),
            Err(error) => Err(FlowError::config("writing the record of the flow")(error)),
        }
    }

    /// Creates queues, entries and the record without status: the last two in one write, so that no reader sees one without the other.
    async fn make(&self, id: &str, plan: &StartPlan, entries: &Entries, starting: String) -> Result<()> {
        self.create_queues(&plan.queues).await?;
        failpoint("start-queues-made").await;
        let batch = running(id, plan, entries, starting);
        self.writes.write(batch).await.map_err(FlowError::writing(format!("flow `{id}` or an entry that it shares")))
    }
}

/// Adds the records of queues that are about to be created, so that each is known for as long as it may exist.
fn made<'q>(batch: Batch, queues: impl Iterator<Item = &'q QueueRecord>) -> Batch {
    queues.fold(batch, |batch, queue| batch.put(QUEUE_MADE_TYPE, name_of(queue), json(queue)))
}

/// Deletes the records of removed queues.
pub(super) fn gone<'q>(batch: Batch, queues: impl Iterator<Item = &'q QueueRecord>) -> Batch {
    queues.fold(batch, |batch, queue| batch.delete(QUEUE_MADE_TYPE, name_of(queue)))
}

/// The batch for the running flow: entries and the record without status, in one write.
fn running(id: &str, plan: &StartPlan, entries: &Entries, starting: String) -> Batch {
    let batch = Batch::new().put(FLOW_TYPE, id, json(&plan.record)).on_condition(FLOW_TYPE, id, Some(starting));
    let changed = plan.entries.iter().chain(&plan.rewritten);
    changed.fold(batch, |batch, (key, entry)| put_entry(batch, key, &json(entry), entries))
}

/// Adds an entry to a batch, unless it already exists, on condition that the stored text is still the one that was read.
pub(super) fn put_entry(batch: Batch, key: &EntryKey, text: &str, entries: &Entries) -> Batch {
    let at = key.config_key();
    match entries.texts.get(key) {
        Some(there) if there == text => batch.on_condition(at.config_type, at.key, Some(there.clone())),
        Some(there) => batch.put(at.config_type.clone(), at.key.clone(), text).on_condition(at.config_type, at.key, Some(there.clone())),
        None => batch.put(at.config_type.clone(), at.key.clone(), text).on_condition(at.config_type, at.key, None),
    }
}

/// The entries that starting or stopping a flow may change.
pub(super) fn keys_of_interest(id: &str, record: &FlowRecord, flows: &Flows) -> BTreeSet<EntryKey> {
    let Some(plan) = &record.plan else { return BTreeSet::new() };
    let topics = plan.queues.iter().map(|queue| queue.topic.clone()).collect();
    let mut keys = affected_entries(id, &flows.records, &topics);
    keys.extend(plan.entries.iter().map(EntryKey::of));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_written_only_where_there_is_still_what_was_read() {
        let key = EntryKey { processor: "p".to_owned(), variant: "v".to_owned() };
        let condition = |there: Option<&str>| {
            let texts = there.map(|text| (key.clone(), text.to_owned())).into_iter().collect();
            let batch = put_entry(Batch::new(), &key, "new", &Entries { texts, ..Entries::default() });
            batch.conditions.into_iter().map(|condition| condition.value).collect::<Vec<_>>()
        };
        assert_eq!(condition(None), [None], "what another program put there meanwhile stays");
        assert_eq!(condition(Some("old")), [Some("old".to_owned())]);
        assert_eq!(condition(Some("new")), [Some("new".to_owned())]);
    }
}
