//! What the log states about a queue.

use crate::backend::{Overflow, QueueSpec};
use crate::topic::Queue;

/// A queue as the log defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) number: u64,
    pub(crate) queue: Queue,
    pub(crate) overflow: Overflow,
    pub(crate) next_sequence: u64,
    /// Messages dropped because of the queue's own bound, ever.
    pub(crate) dropped_count: u64,
    /// Messages that it has at that moment, all of them before this definition. In a record of its own.
    pub(crate) live_count: u64,
}

impl Definition {
    /// A new queue.
    pub(crate) fn new(number: u64, spec: &QueueSpec) -> Self {
        Definition { number, queue: spec.queue.clone(), overflow: spec.overflow, next_sequence: 1, dropped_count: 0, live_count: 0 }
    }
}
