//! Entries of queues: messages with their delivery state.

use std::sync::Arc;

use super::stored::Stored;
use crate::embedded::log_position::LogPosition;

/// Overhead of a record with a message: kind, count, size, length and checksum.
const RECORD_BYTES: u64 = 17;
/// Overhead per queue in such a record: number and sequence.
const TARGET_BYTES: u64 = 12;

/// How the next delivery of a message is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Recorded with the next commit: a crash may lose one count.
    Lazy,
    /// The message was in the queue when the broker was opened, so it may have crashed the last process: its delivery must be recorded before it is
    /// delivered.
    Suspect,
    /// That record is being written.
    Marking,
    /// That record is written: the next delivery is already counted.
    Ahead,
}

/// One message of one queue.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) position: LogPosition,
    pub(crate) size_bytes: u32,
    /// The number of queues in its record in the log, including its own, which share the bytes.
    pub(crate) sharers: u16,
    /// Deliveries so far, including one counted ahead.
    pub(crate) deliveries: u32,
    pub(crate) counting: Counting,
    /// The message, if it is cached in memory.
    pub(crate) stored: Option<Arc<Stored>>,
}

impl Entry {
    /// The memory of its message, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.memory_bytes)
    }

    /// Its share of the log: the bytes of its record, divided by the queues that share it.
    pub(crate) fn disk_bytes(&self) -> u64 {
        (u64::from(self.position.length) + RECORD_BYTES) / u64::from(self.sharers.max(1)) + TARGET_BYTES
    }
}

/// The number of queues that share a record, as an [`Entry`] keeps it.
pub(crate) fn sharers(targets_count: usize) -> u16 {
    u16::try_from(targets_count).unwrap_or(u16::MAX)
}

/// A message located in the segment to compact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Located {
    pub(crate) offset: u32,
    pub(crate) queue: u64,
    pub(crate) sequence: u64,
}
