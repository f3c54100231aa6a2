//! What can go wrong between a caller and its broker. Each variant is a decision of the caller.

use crate::topic::Queue;

/// The result of a pub/sub operation.
pub type Result<T, E = PubsubError> = std::result::Result<T, E>;

/// Why an operation of the pub/sub layer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PubsubError {
    /// The queue does not exist (yet, or any more): try again with backoff until it appears, or stop.
    #[error("queue {queue} does not exist")]
    QueueNotFound {
        /// The queue, or what is known of it, as people read it.
        queue: String,
    },
    /// The queue exists with other properties.
    #[error("queue {queue} exists with other properties: {difference}")]
    QueueMismatch {
        /// Which queue.
        queue: Queue,
        /// What differs, for people.
        difference: String,
    },
    /// Another consumer holds the queue exclusively, or it has consumers and cannot be held exclusively.
    #[error("queue {queue} is held by another consumer")]
    QueueHeld {
        /// Which queue.
        queue: Queue,
    },
    /// The queue is above its high mark, or the disk is nearly full: nothing was sent; try again later.
    #[error("{queue} is full: {used_bytes} bytes of {limit_bytes}{}", room(queue))]
    QueueFull {
        /// `queue NAME`, or `the disk of FOLDER`.
        queue: String,
        /// How much is in use.
        used_bytes: u64,
        /// How much is allowed.
        limit_bytes: u64,
    },
    /// The message is above a limit and can never be sent.
    #[error("{what} has {actual_bytes} bytes, of at most {limit_bytes}")]
    TooLarge {
        /// Which part, for example `the body`.
        what: String,
        /// Its size.
        actual_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// A reader was too slow and this many messages were dropped before the next one.
    #[error("{missed_count} messages were missed because the reader was too slow")]
    Lagged {
        /// How many.
        missed_count: u64,
    },
    /// No answer within the time.
    #[error("no answer from {topic} within {waited_ms} ms")]
    TimedOut {
        /// Whom was asked.
        topic: String,
        /// How long it was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The broker cannot be reached or is shutting down: try again with backoff.
    #[error("the broker is not available: {reason}")]
    Unavailable {
        /// Why, for people.
        reason: String,
    },
    /// The message may or may not have been stored.
    #[error("it is not known whether the message was stored: {reason}")]
    OutcomeUnknown {
        /// Why, for people.
        reason: String,
    },
    /// The operation makes no sense for the class of this topic.
    #[error("{topic}: {reason}")]
    WrongClass {
        /// The topic.
        topic: String,
        /// What was tried, and what to do instead.
        reason: &'static str,
    },
}

/// Begins the name of a disk in place of a queue's.
pub(crate) const DISK_OF: &str = "the disk of ";

/// What makes room on a disk.
fn room(queue: &str) -> &'static str {
    if queue.starts_with(DISK_OF) { "; free space on it, or lower broker.disk-reserve-percent" } else { "" }
}
