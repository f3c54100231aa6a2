//! Consumers: what each holds, and what it shares with the end that its caller reads from.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::stored::Stored;
use super::window::Window;
use crate::embedded::place::Place;

/// What a consumer shares with the state.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) wakeup: Notify,
    /// The queue was deleted or the broker closed: what is in `buffer` is void.
    pub(crate) gone: AtomicBool,
    pub(crate) buffer: Mutex<Buffer>,
}

/// What a consumer took but nobody received yet, and what was received since the log was last told.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) messages: VecDeque<Prefetched>,
    pub(crate) received: Vec<(u64, u64)>,
}

/// A message in a consumer's hands.
#[derive(Debug)]
pub(crate) struct Prefetched {
    pub(crate) sequence: u64,
    pub(super) size_bytes: u32,
    pub(crate) deliveries: u32,
    pub(crate) counted_ahead: bool,
    pub(crate) body: Body,
}

impl Prefetched {
    /// Whether it lies here for longer than anybody waits for an answer.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        matches!(&self.body, Body::Memory(stored) if stored.is_expired(now))
    }
}

/// The message itself, or where it is.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Memory(Arc<Stored>),
    Log(Place),
}

#[derive(Debug)]
pub(crate) struct ConsumerState {
    pub(super) queue: u64,
    pub(super) window: Window,
    /// Settles of deliveries from memory queues that are on their way through the log: later ones wait behind them.
    pub(crate) settling_count: u32,
    /// It was told why its queue hands out nothing.
    pub(super) is_told_blocked: bool,
    /// Deliveries whose settles were refused, in the order of the calls: until the first of them is repeated or given back, all others are
    /// refused too, so that none takes effect before it.
    pub(super) refused: VecDeque<u64>,
    pub(super) slot: Arc<Slot>,
}

/// Consumers to wake once the lock is free.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Wakes(pub(super) Vec<Arc<Slot>>);

impl Wakes {
    pub(super) fn all(parts: Vec<Wakes>) -> Self {
        Wakes(parts.into_iter().flat_map(|part| part.0).collect())
    }

    pub(crate) fn ring(self) {
        for slot in self.0 {
            slot.wakeup.notify_one();
        }
    }
}

/// What a consumer finds when it looks for messages.
#[derive(Debug)]
pub(crate) enum Prefetch {
    /// Messages, perhaps none.
    Taken(Vec<Prefetched>),
    /// These must be marked in the log before they are handed out.
    Mark { queue: u64, sequences: Vec<u64> },
    /// They cannot be marked: why, told to each consumer once for each time.
    Blocked(String),
    /// The queue was deleted.
    Gone,
}
