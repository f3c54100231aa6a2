//! What the broker, its ends and its commit thread share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::{oneshot, watch};

use super::admission::Admission;
use super::inbox::Inbox;
use crate::embedded::damage::Damage;
use crate::embedded::lock::lock;
use crate::embedded::log::{Chunk, Log, ReadFault, Reader};
use crate::embedded::options::EmbeddedOptions;
use crate::embedded::place::Place;
use crate::embedded::refusal::{closed, lost};
use crate::embedded::state::{Operation, Slot, State};
use crate::error::Result;
use crate::message::Message;

/// Why the commit thread ended, once it has by a fault.
pub(crate) type Failed = watch::Sender<Option<String>>;

/// What the broker, its ends and its commit thread share.
pub(crate) struct Shared {
    pub(crate) options: EmbeddedOptions,
    /// Never held while waiting or reading files.
    pub(crate) state: Mutex<State>,
    pub(crate) inbox: Inbox,
    pub(crate) room: Admission,
    pub(crate) reader: Arc<Reader>,
    /// Consumers (of queues with these numbers) that received messages since the last commit. No other lock is taken while this one is held.
    pub(crate) received: Mutex<Vec<(u64, Arc<Slot>)>>,
    pub(crate) groups_count: AtomicU64,
    pub(crate) operations_count: AtomicU64,
    pub(crate) bytes_count: AtomicU64,
    pub(crate) copied_bytes_count: AtomicU64,
    pub(crate) failed: Failed,
    /// Set by tests: the commit thread panics.
    #[cfg(any(test, debug_assertions))]
    pub(crate) panics_next: std::sync::atomic::AtomicBool,
    /// Set by tests: so many of the next writes of the log fail.
    #[cfg(test)]
    pub(crate) failing_writes_count: Arc<std::sync::atomic::AtomicU32>,
}

impl Shared {
    pub(crate) fn new(options: EmbeddedOptions, state: State, log: &Log) -> Self {
        Shared {
            options,
            state: Mutex::new(state),
            inbox: Inbox::default(),
            room: Admission::new(),
            reader: log.reader(),
            received: Mutex::default(),
            groups_count: AtomicU64::new(0),
            operations_count: AtomicU64::new(0),
            bytes_count: AtomicU64::new(0),
            copied_bytes_count: AtomicU64::new(0),
            failed: Failed::default(),
            #[cfg(any(test, debug_assertions))]
            panics_next: false.into(),
            #[cfg(test)]
            failing_writes_count: log.failing_writes_count(),
        }
    }

    pub(crate) fn submit(&self, operation: Operation) -> Result<()> {
        self.inbox.submit(operation).map_err(|_| closed())
    }

    /// Reads a message of a queue, which may be moved meanwhile.
    pub(crate) fn read(&self, queue: u64, sequence: u64, place: Place, chunk: &mut Chunk) -> Result<Message, ReadFault> {
        self.read_at(queue, sequence, place, |place| self.reader.message(place, chunk))
    }

    /// Reads something of a message at its place, and at its new place if it was moved meanwhile.
    pub(crate) fn read_at<T>(
        &self,
        queue: u64,
        sequence: u64,
        mut place: Place,
        mut read: impl FnMut(Place) -> Result<T, ReadFault>,
    ) -> Result<T, ReadFault> {
        loop {
            let fault = match read(place) {
                Ok(found) => return Ok(found),
                Err(fault) => fault,
            };
            match lock(&self.state).place_of(queue, sequence) {
                Some(moved) if moved != place => place = moved,
                _ => return Err(fault),
            }
        }
    }

    /// Waits for the answer to an operation.
    pub(crate) async fn ask<T>(&self, operation: impl FnOnce(oneshot::Sender<Result<T>>) -> Operation) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        self.submit(operation(done))?;
        outcome.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Has a message removed that cannot be read; `holder` is the consumer that met it.
    pub(crate) fn set_aside(&self, queue: u64, sequence: u64, holder: Option<u64>, damage: Box<Damage>) {
        // Refused only when the broker closes: then it is met again after the next start.
        let _ = self.inbox.submit(Operation::SetAside { queue, sequence, holder, damage });
    }
}
