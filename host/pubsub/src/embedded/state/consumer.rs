//! Consumers in the state machine, and the part that each shares with its reader.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::stored::Stored;
use super::window::Window;
use crate::embedded::log_position::LogPosition;
use crate::embedded::refusal::WriteFailure;

/// The part of a consumer that its reader and the state machine share.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) wakeup: Notify,
    /// Set when the queue was deleted or the broker closed: the content of `buffer` is void.
    pub(crate) gone: AtomicBool,
    pub(crate) buffer: Mutex<PrefetchBuffer>,
}

/// Prefetched messages that are not received yet, and the sequences received since they were last collected for the log (ranges, ends included).
#[derive(Debug, Default)]
pub(crate) struct PrefetchBuffer {
    pub(crate) messages: VecDeque<Prefetched>,
    pub(crate) received: Vec<(u64, u64)>,
}

/// A prefetched message.
#[derive(Debug)]
pub(crate) struct Prefetched {
    pub(crate) sequence: u64,
    pub(super) size_bytes: u32,
    pub(crate) deliveries: u32,
    pub(crate) counted_ahead: bool,
    pub(crate) body: Body,
}

impl Prefetched {
    /// Whether the requester no longer waits for an answer.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        matches!(&self.body, Body::Memory(stored) if stored.is_expired(now))
    }
}

/// The message itself, or its position in the log.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Memory(Arc<Stored>),
    Log(LogPosition),
}

#[derive(Debug)]
pub(crate) struct ConsumerState {
    pub(super) queue: u64,
    pub(super) window: Window,
    /// Settles of deliveries from queues in memory that are waiting for the log: later ones queue up behind them.
    pub(crate) settling_count: u32,
    /// Whether it was given the reason why its queue delivers nothing.
    pub(super) has_block_reason: bool,
    /// Deliveries whose settles were refused, in the order of the calls: until the first of them is repeated or requeued, all others are refused too,
    /// so that none takes effect before it.
    pub(super) refused: VecDeque<u64>,
    pub(super) slot: Arc<Slot>,
}

/// Consumers to wake after the lock is released.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Wakeups(pub(super) Vec<Arc<Slot>>);

impl Wakeups {
    pub(super) fn all(parts: Vec<Wakeups>) -> Self {
        Wakeups(parts.into_iter().flat_map(|part| part.0).collect())
    }

    pub(crate) fn send(self) {
        for slot in self.0 {
            slot.wakeup.notify_one();
        }
    }
}

/// The result of a prefetch.
#[derive(Debug)]
pub(crate) enum Prefetch {
    /// Messages, possibly none.
    Taken(Vec<Prefetched>),
    /// Deliveries of these messages must be recorded in the log first.
    Mark { queue: u64, sequences: Vec<u64> },
    /// These records cannot be written; each consumer gets the reason once per failure.
    Blocked(WriteFailure),
    /// The queue was deleted.
    Gone,
}
