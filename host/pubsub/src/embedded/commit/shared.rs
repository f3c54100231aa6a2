//! The part of the broker that its commit thread and its handles share.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::{oneshot, watch};

use super::admission::Admission;
use super::inbox::Inbox;
use crate::backend::LockName;
use crate::embedded::damage::Damage;
use crate::embedded::log::{Chunk, Log, ReadFault, Reader};
use crate::embedded::log_position::LogPosition;
use crate::embedded::refusal::{closed, lost};
use crate::embedded::state::{BrokerState, Operation, Slot};
use crate::error::Result;
use crate::limits::Limits;
use crate::lock::lock;
use crate::message::Message;

/// The reason why the commit thread failed, if it has.
pub(crate) type Failed = watch::Sender<Option<String>>;

/// The part of the broker that its commit thread and its handles share.
pub(crate) struct Shared {
    /// Checked before anything else.
    pub(crate) limits: Limits,
    /// Not held while waiting or reading files.
    pub(crate) state: Mutex<BrokerState>,
    pub(crate) inbox: Inbox,
    /// Admission of messages on their way to the log.
    pub(crate) admission: Admission,
    pub(crate) reader: Arc<Reader>,
    /// Consumers (with the numbers of their queues) that received messages since the last commit. No other lock is taken while this one is
    /// held.
    pub(crate) received: Mutex<Vec<(u64, Arc<Slot>)>>,
    /// The locks currently held. No other lock is taken while this one is held.
    pub(crate) locks: Mutex<HashSet<LockName>>,
    pub(crate) groups_count: AtomicU64,
    pub(crate) operations_count: AtomicU64,
    pub(crate) bytes_count: AtomicU64,
    pub(crate) copied_bytes_count: AtomicU64,
    pub(crate) failed: Failed,
    /// Whether the commit thread has ended and the folder is free.
    pub(crate) ended: watch::Sender<bool>,
    /// Set by tests: the commit thread panics.
    #[cfg(any(test, debug_assertions))]
    pub(crate) panics_next: std::sync::atomic::AtomicBool,
    /// Set by tests: the number of writes of the log that fail next.
    #[cfg(test)]
    pub(crate) failing_writes_are_counted: Arc<std::sync::atomic::AtomicU32>,
}

impl Shared {
    /// `state` must be the content of `log`.
    pub(crate) fn new(limits: Limits, state: BrokerState, log: &Log) -> Self {
        Shared {
            limits,
            state: Mutex::new(state),
            inbox: Inbox::default(),
            admission: Admission::new(),
            reader: log.reader(),
            received: Mutex::default(),
            locks: Mutex::default(),
            groups_count: AtomicU64::new(0),
            operations_count: AtomicU64::new(0),
            bytes_count: AtomicU64::new(0),
            copied_bytes_count: AtomicU64::new(0),
            failed: Failed::default(),
            ended: watch::Sender::default(),
            #[cfg(any(test, debug_assertions))]
            panics_next: false.into(),
            #[cfg(test)]
            failing_writes_are_counted: log.failing_writes_are_counted(),
        }
    }

    /// Submits an operation, which carries the channel for its result.
    pub(crate) fn submit(&self, operation: Operation) -> Result<()> {
        self.inbox.submit(operation).map_err(|_| closed())
    }

    /// Reads a message of a queue, which may be moved concurrently.
    pub(crate) fn read(&self, queue: u64, sequence: u64, position: LogPosition, chunk: &mut Chunk) -> Result<Message, ReadFault> {
        self.read_at(queue, sequence, position, |position| self.reader.message(position, chunk))
    }

    /// Reads a message at its position, or at its new position if it was moved concurrently.
    pub(crate) fn read_at<T>(
        &self,
        queue: u64,
        sequence: u64,
        mut position: LogPosition,
        mut read: impl FnMut(LogPosition) -> Result<T, ReadFault>,
    ) -> Result<T, ReadFault> {
        loop {
            let fault = match read(position) {
                Ok(found) => return Ok(found),
                Err(fault) => fault,
            };
            match lock(&self.state).place_of(queue, sequence) {
                Some(moved) if moved != position => position = moved,
                _ => return Err(fault),
            }
        }
    }

    /// Submits an operation and waits for its result.
    pub(crate) async fn submit_and_wait<T>(&self, operation: impl FnOnce(oneshot::Sender<Result<T>>) -> Operation) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        self.submit(operation(done))?;
        outcome.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Submits the removal of a damaged message from its queue; `holder` is the consumer that holds it, if any.
    pub(crate) fn set_aside(&self, queue: u64, sequence: u64, holder: Option<u64>, damage: Box<Damage>) {
        // Rejected only while the broker closes; the damage is then found again after the next start.
        let _ = self.inbox.submit(Operation::SetAside { queue, sequence, holder, damage });
    }
}
