//! Queues: their properties and their deletion.

use crate::topic::Queue;

/// The properties of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// The queue's name.
    pub queue: Queue,
    /// A bound of this queue, and what happens above it.
    pub overflow: Overflow,
}

impl QueueSpec {
    /// A queue without a bound of its own.
    pub fn new(queue: Queue) -> Self {
        QueueSpec { queue, overflow: Overflow::None }
    }
}

/// How a queue treats a message that would exceed its own bound. An empty queue accepts a message of any size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// It has no bound of its own.
    #[default]
    None,
    /// It drops its oldest messages and counts them: used for exits.
    DropOldest {
        /// Bodies and properties together, in bytes; below 2^63, as brokers count in signed numbers.
        bytes: u64,
    },
    /// It refuses the message with `QueueFull`, also as an output of a settle: used for dead letters.
    Refuse {
        /// Bodies and properties together, in bytes; below 2^63 - 1.
        bytes: u64,
    },
}

impl Overflow {
    /// The bound above which messages are refused.
    pub fn refuse_above_bytes(self) -> Option<u64> {
        match self {
            Overflow::Refuse { bytes } => Some(bytes),
            Overflow::None | Overflow::DropOldest { .. } => None,
        }
    }

    /// The bound above which the oldest messages are dropped.
    pub fn drop_oldest_above_bytes(self) -> Option<u64> {
        match self {
            Overflow::DropOldest { bytes } => Some(bytes),
            Overflow::None | Overflow::Refuse { .. } => None,
        }
    }
}

impl std::fmt::Display for Overflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Overflow::None => f.write_str("no limit"),
            Overflow::DropOldest { bytes } => write!(f, "a limit of {bytes} bytes that drops the oldest messages"),
            Overflow::Refuse { bytes } => write!(f, "a limit of {bytes} bytes that refuses messages"),
        }
    }
}

/// Which queues [`Backend::delete_queue`](super::Backend::delete_queue) deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// The queue and all its messages.
    Always,
    /// The queue if it has no messages, including those held unsettled by consumers. Expired requests do not count, if the broker recognizes them.
    IfEmpty,
}

/// How a deletion ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The queue no longer exists.
    Deleted,
    /// These queues hold messages, or may hold some, and are unchanged.
    NotEmpty(Vec<Backlog>),
}

/// A queue that was not found to be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The queue.
    pub queue: Queue,
    /// The number of messages, including those in flight; `None` if the broker cannot count them, which is treated as not empty.
    pub count: Option<u64>,
}
