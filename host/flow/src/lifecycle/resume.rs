//! Completes or rolls back interrupted operations, when the service starts and periodically.
//!
//! An interrupted start is always rolled back: its caller received an error, or no answer. A stop that may be refused is reverted for the same
//! reason; any other stop is completed.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};

use super::Lifecycle;
use super::queues::CONCURRENT_COUNT;
use crate::error::{FlowError, Result};
use crate::protocol::{FLOW_TYPE, FlowRecord, FlowStatus};
use weir_pubsub::chain;

/// Number of flows whose queues are ensured together.
const ENSURED_COUNT: usize = 32;

impl Lifecycle {
    /// Ensures the queues of all running flows. Returns the ids of flows in transition.
    pub(crate) async fn ensure(&self) -> Result<BTreeSet<String>> {
        let mut between = self.failed_starts.ids().clone();
        let ids = {
            let _writer = self.writer.lock().await;
            self.catch_up().await?;
            self.known.ids()
        };
        // In batches, so that operations need not wait for all of them.
        for ids in ids.chunks(ENSURED_COUNT) {
            let _writer = self.writer.lock().await;
            self.catch_up().await?;
            let flows = self.known.some(ids);
            self.ensure_queues(&flows.records).await;
            between.extend(flows.records.into_iter().filter(|(_, flow)| flow.status.is_some()).map(|(id, _)| id));
        }
        Ok(between)
    }

    /// The same, then completes or rolls back flows without an operation in progress, and deletes the leftovers of stops.
    pub(crate) async fn resume(&self) {
        let between = match self.ensure().await {
            Ok(between) => between,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "flows cannot be checked");
                return;
            }
        };
        let finished: Vec<_> = between.into_iter().map(|id| self.finish(id)).collect();
        stream::iter(finished).buffer_unordered(CONCURRENT_COUNT).collect::<()>().await;
        if let Err(error) = self.leftovers().await {
            tracing::warn!(error = %chain(&error), "leftover queues cannot be checked");
        }
    }

    /// Completes or rolls back one flow, unless an operation on it is in progress.
    async fn finish(&self, id: String) {
        let Some(_flow) = self.flows.try_lock(&id) else { return };
        if let Err(error) = self.resume_flow(&id).await {
            tracing::warn!(flow = id, error = %chain(&error), "flow still in transition");
        }
    }

    /// Rereads the record, since an operation on it may have ended after it was seen.
    async fn resume_flow(&self, id: &str) -> Result<()> {
        if self.failed_starts.contains(id) {
            return self.undo_left_start(id).await;
        }
        let Some(record) = self.record(id).await? else { return Ok(()) };
        match record.status {
            Some(FlowStatus::Starting) => self.undo_left_start(id).await,
            Some(FlowStatus::Stopping) if record.is_refusing() => self.revert_stop(id).await,
            Some(FlowStatus::Stopping) => {
                self.stop_locked(id, None).await?;
                tracing::info!(flow = id, "stop of a flow finished");
                Ok(())
            }
            // Only later versions of Weir update running flows; they can continue that.
            Some(FlowStatus::Updating) | None => Ok(()),
        }
    }

    async fn undo_left_start(&self, id: &str) -> Result<()> {
        self.undo_start(id).await?;
        tracing::info!(flow = id, "start of a flow rolled back");
        Ok(())
    }

    /// The record; `None` if it is missing or unreadable.
    pub(super) async fn record(&self, id: &str) -> Result<Option<FlowRecord>> {
        let text = self.config.get_one(FLOW_TYPE, id).await.map_err(FlowError::config("reading the flow"))?;
        Ok(text.and_then(|text| serde_json::from_str::<FlowRecord>(&text).ok()))
    }

    async fn leftovers(&self) -> Result<()> {
        let _writer = self.writer.lock().await;
        self.retry_leftovers().await
    }
}
