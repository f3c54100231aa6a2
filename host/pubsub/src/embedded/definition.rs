//! The log's definition of a queue.

use crate::backend::{Overflow, QueueSpec};
use crate::topic::Queue;

/// A queue as the log defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueDefinition {
    pub(crate) number: u64,
    pub(crate) queue: Queue,
    pub(crate) overflow: Overflow,
    pub(crate) next_sequence: u64,
    /// The total number of messages dropped because of the queue's own bound.
    pub(crate) dropped_count: u64,
    /// The number of messages in the queue at that moment, all of them before this definition. Stored in a record of its own.
    pub(crate) live_count: u64,
}

impl QueueDefinition {
    /// A new queue.
    pub(crate) fn new(number: u64, spec: &QueueSpec) -> Self {
        QueueDefinition { number, queue: spec.queue.clone(), overflow: spec.overflow, next_sequence: 1, dropped_count: 0, live_count: 0 }
    }
}
