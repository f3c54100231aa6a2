//! Errors between a caller and its broker. Each variant corresponds to a decision of the caller.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::lock_name::LockName;
use crate::topic::{NameError, Queue, Topic};

/// The result of a pub/sub operation.
pub type Result<T, E = PubsubError> = std::result::Result<T, E>;

/// Why an operation of the pub/sub layer failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PubsubError {
    /// The queue does not exist yet, or no longer: retry with backoff until it appears, or stop.
    #[error("{missing}")]
    QueueNotFound {
        /// The topic or queue that is missing.
        missing: Missing,
    },
    /// The queue exists with other properties.
    #[error("queue {queue} exists with other properties: {difference}")]
    QueueMismatch {
        /// Which queue.
        queue: Queue,
        /// The difference, for display.
        difference: String,
    },
    /// Another consumer holds the queue exclusively, or it has consumers and cannot be held exclusively.
    #[error("queue {queue} is held by another consumer")]
    QueueHeld {
        /// Which queue.
        queue: Queue,
    },
    /// Another holder has the lock: retry later, or leave the work to that holder.
    #[error("lock {lock} is held by another process")]
    LockHeld {
        /// Which lock.
        lock: LockName,
    },
    /// The queue, or a resource that it shares, is above its limit: nothing was sent; retry later.
    #[error("{what} is full{}{}", filled(*used_bytes, *limit_bytes), fix.map(|fix| format!("; {fix}")).unwrap_or_default())]
    QueueFull {
        /// The full resource, for display, for example `queue NAME`.
        what: Box<str>,
        /// How many bytes are in use; `None` if the broker does not report it.
        used_bytes: Option<u64>,
        /// How many bytes are allowed; `None` if unknown.
        limit_bytes: Option<u64>,
        /// How to free space, for display, if consuming messages is not enough.
        fix: Option<&'static str>,
    },
    /// The message is above a limit and can never be sent.
    #[error("{what} has {actual_bytes} bytes; the limit is {limit_bytes}")]
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
        /// The number of dropped messages.
        missed_count: u64,
    },
    /// No response within the time-out.
    #[error("no answer from {topic} within {waited_ms} ms")]
    TimedOut {
        /// The service that was requested.
        topic: String,
        /// The time-out, in milliseconds.
        waited_ms: u64,
    },
    /// The broker is unreachable or shutting down: retry with backoff.
    #[error("the broker is not available: {reason}")]
    Unavailable {
        /// The reason, for display.
        reason: String,
        /// The error of the client library or the operating system.
        source: Option<Cause>,
    },
    /// The broker is reachable but cannot deliver for a while: the consumer continues automatically, and a later call may succeed.
    #[error("the broker is not available: {reason}")]
    Stalled {
        /// The reason, for display.
        reason: String,
        /// The error of the client library or the operating system.
        source: Option<Cause>,
    },
    /// The broker refuses permanently: no permission, a wrong password, no such virtual host. Retries fail until its operator fixes that or the
    /// settings change.
    #[error("the broker refused the operation: {reason}")]
    Refused {
        /// What is refused and how to fix it, for display.
        reason: String,
        /// The error of the client library.
        source: Option<Cause>,
    },
    /// The message may or may not have been stored.
    #[error("it is unknown whether the message was stored: {reason}")]
    OutcomeUnknown {
        /// The reason, for display.
        reason: String,
        /// The error of the client library or the operating system.
        source: Option<Cause>,
    },
    /// The broker does not support the operation.
    #[error("this broker does not support {what}")]
    Unsupported {
        /// The operation that was requested.
        what: &'static str,
    },
    /// The operation is not defined for the class of this topic.
    #[error("{topic}: {reason}")]
    WrongClass {
        /// The topic.
        topic: String,
        /// The operation that was tried, and the alternative.
        reason: &'static str,
    },
}

impl PubsubError {
    /// [`PubsubError::Unavailable`] without a source.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        PubsubError::Unavailable { reason: reason.into(), source: None }
    }

    /// [`PubsubError::Unavailable`] with an error as its source.
    pub fn unavailable_because(reason: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        PubsubError::Unavailable { reason: reason.into(), source: Some(Cause::of(source)) }
    }

    /// [`PubsubError::Refused`] without a source.
    pub fn refused(reason: impl Into<String>) -> Self {
        PubsubError::Refused { reason: reason.into(), source: None }
    }

    /// [`PubsubError::Refused`] with an error as its source.
    pub fn refused_because(reason: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        PubsubError::Refused { reason: reason.into(), source: Some(Cause::of(source)) }
    }

    /// [`PubsubError::OutcomeUnknown`] without a source.
    pub fn outcome_unknown(reason: impl Into<String>) -> Self {
        PubsubError::OutcomeUnknown { reason: reason.into(), source: None }
    }

    /// [`PubsubError::QueueFull`], with the figures that are known.
    pub fn full(what: impl Into<Box<str>>, used_bytes: impl Into<Option<u64>>, limit_bytes: impl Into<Option<u64>>) -> Self {
        PubsubError::QueueFull { what: what.into(), used_bytes: used_bytes.into(), limit_bytes: limit_bytes.into(), fix: None }
    }

    /// [`PubsubError::QueueNotFound`] for a queue.
    pub fn no_queue(queue: &Queue) -> Self {
        PubsubError::QueueNotFound { missing: Missing::Queue(queue.clone()) }
    }

    /// [`PubsubError::QueueNotFound`] for a topic without queues.
    pub fn no_queue_of(topic: &Topic) -> Self {
        PubsubError::QueueNotFound { missing: Missing::QueueOf(topic.clone()) }
    }

    /// [`PubsubError::Refused`] for a topic and a subscription whose queue name is not valid.
    pub(crate) fn not_a_queue(error: NameError) -> Self {
        PubsubError::refused_because("the name is not valid for a queue", error)
    }

    /// [`PubsubError::WrongClass`] for a topic whose class has no queues, when a message is to be sent to one of its queues.
    pub(crate) fn no_queues_to_send_to(topic: &Topic) -> Self {
        let reason = "only flow and request topics have queues: publish to the topic instead";
        PubsubError::WrongClass { topic: topic.to_string(), reason }
    }

    /// Whether the same operation may succeed later without human intervention.
    pub fn is_transient(&self) -> bool {
        match self {
            PubsubError::QueueNotFound { .. }
            | PubsubError::QueueHeld { .. }
            | PubsubError::LockHeld { .. }
            | PubsubError::QueueFull { .. }
            | PubsubError::Lagged { .. }
            | PubsubError::TimedOut { .. }
            | PubsubError::Unavailable { .. }
            | PubsubError::Stalled { .. }
            | PubsubError::OutcomeUnknown { .. } => true,
            PubsubError::QueueMismatch { .. }
            | PubsubError::TooLarge { .. }
            | PubsubError::Refused { .. }
            | PubsubError::Unsupported { .. }
            | PubsubError::WrongClass { .. } => false,
        }
    }
}

/// The kind of thing that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// This queue.
    Queue(Queue),
    /// Any queue of this topic: nothing consumes it.
    QueueOf(Topic),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Queue(queue) => write!(f, "queue {queue} does not exist"),
            Missing::QueueOf(topic) => write!(f, "topic {topic} has no queue: nothing consumes it"),
        }
    }
}

/// The cause of an error; clones share it.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Wraps an error.
    pub fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Cause(Arc::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// The figures of the full resource, as far as they are known; empty otherwise.
fn filled(used_bytes: Option<u64>, limit_bytes: Option<u64>) -> String {
    match (used_bytes, limit_bytes) {
        (Some(used), Some(limit)) => format!(": {used} bytes of {limit}"),
        (Some(used), None) => format!(": {used} bytes"),
        (None, Some(limit)) => format!(": its limit is {limit} bytes"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_full_errors_show_the_known_figures_and_the_fix() {
        let text = |used_bytes: Option<u64>, limit_bytes: Option<u64>| PubsubError::full("queue q", used_bytes, limit_bytes).to_string();
        assert_eq!(text(Some(3), Some(4)), "queue q is full: 3 bytes of 4");
        assert_eq!(text(Some(3), None), "queue q is full: 3 bytes");
        assert_eq!(text(None, Some(4)), "queue q is full: its limit is 4 bytes");
        assert_eq!(text(None, None), "queue q is full");
        let fixed = PubsubError::QueueFull { what: "the store".into(), used_bytes: None, limit_bytes: None, fix: Some("free space on it") };
        assert_eq!(fixed.to_string(), "the store is full; free space on it");
    }
}
