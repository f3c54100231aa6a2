//! Requests that were done: one whose service ended before its answer left is delivered again, to the next service.

use std::collections::VecDeque;

use tokio::sync::Mutex;
use weir_config::names::{DONE_KEY, FLOW_SERVICE_TYPE};
use weir_config::{Batch, ConfigError};

use super::Lifecycle;
use super::world::json;
use crate::error::{FlowError, Result};

/// Requests that are remembered: twice as many as can be under way at once, which the window of the service's consumer bounds.
const DONE_COUNT: usize = 512;

/// The requests to stop a flow or to swap that were done last, as far as they were read; those of starts are in the records of the flows.
#[derive(Default)]
pub(super) struct Done(Mutex<Option<VecDeque<String>>>);

impl Lifecycle {
    /// Whether a request to stop a flow or to swap was done before.
    pub(super) async fn is_done(&self, request: &str) -> Result<bool> {
        let mut done = self.done.0.lock().await;
        let read = self.read_done(&mut done).await.map_err(FlowError::config("reading which requests were done"))?;
        Ok(read.iter().any(|known| known == request))
    }

    /// Writes what ends these requests, together with a note that they are done.
    pub(super) async fn write_done(&self, batch: Batch, requests: &[String]) -> Result<(), ConfigError> {
        if requests.is_empty() {
            return self.writes.write(batch).await;
        }
        // Held over the write: of two at once the later one would leave the other out.
        let mut done = self.done.0.lock().await;
        let mut noted = self.read_done(&mut done).await?.clone();
        requests.iter().for_each(|request| note(&mut noted, request));
        let written = self.writes.write(batch.put(FLOW_SERVICE_TYPE, DONE_KEY, json(&noted))).await;
        // Where it is not known whether it was written, it is read again.
        *done = written.is_ok().then_some(noted);
        written
    }

    /// Notes a request that had nothing to write. The note is written with the next one; until then a service that ends takes it along.
    pub(super) async fn note_done(&self, request: &str) -> Result<()> {
        let mut done = self.done.0.lock().await;
        note(self.read_done(&mut done).await.map_err(FlowError::config("reading which requests were done"))?, request);
        Ok(())
    }

    async fn read_done<'d>(&self, done: &'d mut Option<VecDeque<String>>) -> Result<&'d mut VecDeque<String>, ConfigError> {
        let read = match done.take() {
            Some(read) => read,
            None => {
                let text = self.config.get_one(FLOW_SERVICE_TYPE, DONE_KEY).await?;
                text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
            }
        };
        Ok(done.insert(read))
    }
}

fn note(noted: &mut VecDeque<String>, request: &str) {
    if !noted.iter().any(|known| known == request) {
        noted.push_back(request.to_owned());
        noted.drain(..noted.len().saturating_sub(DONE_COUNT));
    }
}
