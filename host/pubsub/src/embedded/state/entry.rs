//! Messages as queues keep them.

use std::sync::Arc;

use super::stored::Stored;
use crate::embedded::place::Place;

/// Beside a message in the log: kind, count, size, length and checksum of its record.
const RECORD_BYTES: u64 = 17;
/// In such a record for each queue: its number and a sequence.
const TARGET_BYTES: u64 = 12;

/// How the next delivery of a message is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// With the next commit after it: a crash may lose it once.
    Lazy,
    /// The message was there when the broker was opened, so it may be what ended the last process: its delivery must be durable before it
    /// is handed out.
    Suspect,
    /// That is under way.
    Marking,
    /// That is done: the next delivery is counted already.
    Ahead,
}

/// One message of one queue.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) place: Place,
    pub(crate) size_bytes: u32,
    /// Queues that its record in the log named, itself included: they share its bytes.
    pub(crate) sharers: u16,
    /// Deliveries so far, one counted ahead included.
    pub(crate) deliveries: u32,
    pub(crate) counting: Counting,
    /// The message, if it is kept in memory.
    pub(crate) stored: Option<Arc<Stored>>,
}

impl Entry {
    /// What it takes in memory beside its place in the queue.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.memory_bytes)
    }

    /// Its share of the log: what its record takes, divided by the queues that it was written for.
    pub(crate) fn disk_bytes(&self) -> u64 {
        (u64::from(self.place.length) + RECORD_BYTES) / u64::from(self.sharers.max(1)) + TARGET_BYTES
    }
}

/// How many queues a record names, as an [`Entry`] keeps it.
pub(crate) fn sharers(targets_count: usize) -> u16 {
    u16::try_from(targets_count).unwrap_or(u16::MAX)
}

/// A message of a segment whose messages are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Located {
    pub(crate) offset: u32,
    pub(crate) queue: u64,
    pub(crate) sequence: u64,
}
