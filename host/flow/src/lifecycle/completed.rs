//! Completed requests: if a service ends before its answer is sent, the request is redelivered to the next service, which must not execute it again.

use std::collections::VecDeque;

use tokio::sync::Mutex;
use weir_config::names::{DONE_KEY, FLOW_SERVICE_TYPE};
use weir_config::{Batch, ConfigClient, ConfigError};

use super::stored::json;
use crate::error::{FlowError, Result};
use crate::writes::Writes;

/// Number of requests kept: twice the maximum in flight, which the window of the service's consumer limits.
const COMPLETED_COUNT: usize = 512;

/// The last completed requests to stop a flow or to swap, once they are read; those of starts are in the records of the flows.
pub(super) struct CompletedRequests {
    config: ConfigClient,
    read: Mutex<Option<VecDeque<String>>>,
}

impl CompletedRequests {
    pub(super) fn new(config: ConfigClient) -> Self {
        CompletedRequests { config, read: Mutex::default() }
    }

    /// Whether a request to stop a flow or to swap was already completed.
    pub(super) async fn contains(&self, request: &str) -> Result<bool> {
        let mut done = self.read.lock().await;
        let read = self.get(&mut done).await.map_err(FlowError::config("reading the completed requests"))?;
        Ok(read.iter().any(|known| known == request))
    }

    /// Writes the batch that completes these requests, and records atomically that they are completed.
    pub(super) async fn write(&self, writes: &Writes, batch: Batch, requests: &[String]) -> Result<(), ConfigError> {
        if requests.is_empty() {
            return writes.write(batch).await;
        }
        // Held during the write: otherwise, of two concurrent writes the later one would lose the other's request.
        let mut done = self.read.lock().await;
        let mut noted = self.get(&mut done).await?.clone();
        requests.iter().for_each(|request| note(&mut noted, request));
        let written = writes.write(batch.put(FLOW_SERVICE_TYPE, DONE_KEY, json(&noted))).await;
        // After an unknown outcome it is reread.
        *done = written.is_ok().then_some(noted);
        written
    }

    /// Records a request that had nothing to write. The record is only written together with the next one; if the service ends before, it is lost.
    pub(super) async fn note(&self, request: &str) -> Result<()> {
        let mut done = self.read.lock().await;
        note(self.get(&mut done).await.map_err(FlowError::config("reading the completed requests"))?, request);
        Ok(())
    }

    async fn get<'d>(&self, done: &'d mut Option<VecDeque<String>>) -> Result<&'d mut VecDeque<String>, ConfigError> {
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
        noted.drain(..noted.len().saturating_sub(COMPLETED_COUNT));
    }
}
