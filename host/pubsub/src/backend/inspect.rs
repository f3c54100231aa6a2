//! Inspection of queues without consuming from them. A broker may support only part of it.

use std::num::NonZeroU32;

use async_trait::async_trait;

use super::consumer::Consumer;
use super::cursor::Cursor;
use super::lock::LockHolder;
use crate::error::{PubsubError, Result};
use crate::lock_name::LockName;
use crate::message::Message;
use crate::topic::{Queue, Topic};

/// Inspects a broker's queues, and removes or resends single messages, without a consumer.
///
/// Everything that a broker does not support returns `Unsupported`, which is the default of all methods except `stats`. Treat an unknown figure as
/// "not empty" and "in use".
#[async_trait]
pub trait Inspect: Send + Sync {
    /// The names of all `flow` and `request` queues, in order of topic and subscription.
    ///
    /// # Errors
    /// `Unsupported`, `Unavailable`.
    async fn list_queues(&self) -> Result<Vec<Queue>> {
        Err(unsupported("listing queues"))
    }

    /// The figures of a queue, as far as the broker reports them.
    ///
    /// # Errors
    /// `QueueNotFound`, `Unavailable`.
    async fn stats(&self, queue: &Queue) -> Result<QueueStats>;

    /// Whether the broker still has resources of a queue, such as its topic, that no queue uses; deleting the queue removes them. Always `false` if
    /// queues have no such resources.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn has_remains(&self, _queue: &Queue) -> Result<bool> {
        Ok(false)
    }

    /// Which process holds a lock; `None` if it is free. The query affects neither the holder nor the next process to take the lock.
    ///
    /// # Errors
    /// `Unsupported`; those of [`Backend::lock`](super::Backend::lock), except `LockHeld`, if no process could take it.
    async fn lock_holder(&self, _lock: &LockName) -> Result<Option<LockHolder>> {
        Err(unsupported("showing the holder of a lock"))
    }

    /// Copies everything that is published on a topic from now on, also by settles, without affecting its consumers; refused messages are not copied.
    /// At most `buffer_count` messages, or 16 MiB of bodies, are buffered for the reader; beyond that the oldest are dropped and the next `receive`
    /// returns `Lagged`. The tap ends when its reader is dropped. Where the broker supports it, a tap does not count as a queue of the topic.
    ///
    /// # Errors
    /// `Unsupported`, `Unavailable`.
    async fn tap(&self, _topic: &Topic, _buffer_count: NonZeroU32) -> Result<Box<dyn Consumer>> {
        Err(unsupported("copying what is published on a topic"))
    }

    /// Returns up to `limit_count` messages of a queue without consuming them; messages in flight are omitted. At most `body_bytes` of each body are
    /// read and kept. An unreadable message is returned as the reason, and does not affect the others.
    ///
    /// # Errors
    /// `QueueNotFound`, `Unavailable`; `Unsupported` also if the page is too deep in the queue for the broker to reach.
    async fn browse(&self, _queue: &Queue, _start: BrowseStart, _limit_count: u32, _body_bytes: usize) -> Result<Page> {
        Err(unsupported("browsing the messages of a queue"))
    }

    /// Removes a message that [`Inspect::browse`] returned. Returns `false` if it is gone or in flight. A broker without cursors of its own finds the
    /// message by its id: if several have that id, after a repeated publish, it removes the oldest.
    ///
    /// # Errors
    /// `QueueNotFound`, `Unavailable`; `Unsupported` also if the message is too deep in the queue for the broker to reach.
    async fn remove(&self, _queue: &Queue, _message: &Named) -> Result<bool> {
        Err(unsupported("removing a message from a queue"))
    }

    /// Removes a message that [`Inspect::browse`] returned, and puts another one into a single queue, not into the topic's other subscriptions, as a
    /// message that was never delivered. Returns `false` if the first is gone or in flight; nothing is sent then.
    ///
    /// Exactly once where the broker can do both atomically: of several calls for one message exactly one sends. Otherwise it publishes, waits for
    /// the confirmation, and then removes: at least once.
    ///
    /// # Errors
    /// `QueueNotFound` if either queue is missing, `QueueFull` if the target is, `TooLarge`, `WrongClass` if the target is a `response` or `notify`
    /// topic, `Unsupported`, `Unavailable`: the message is still in its queue. `OutcomeUnknown`: it may have been sent.
    async fn redrive(&self, _from: &Queue, _message: &Named, _to: &Queue, _sent: Message) -> Result<bool> {
        Err(unsupported("resending a message of a queue"))
    }
}

fn unsupported(what: &'static str) -> PubsubError {
    PubsubError::Unsupported { what }
}

/// Where browsing a queue begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowseStart {
    /// At its oldest message.
    Oldest,
    /// At the message with this cursor, or after it if that message is gone; at the oldest message if it is gone and the cursor is not a position.
    At(Cursor),
    /// After this cursor; at the oldest message if its message is gone and the cursor is not a position.
    Behind(Cursor),
}

/// A page of a queue.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The messages, in the order of the queue.
    pub messages: Vec<Browsed>,
    /// The cursor of the newest message that the queue ever had, which may be gone: everything that arrives later comes after it. `None` if there was
    /// none, or if the broker cannot determine it, for example because the page ends before the queue does.
    pub newest: Option<Cursor>,
}

/// A message of a queue as returned by [`Inspect::browse`].
#[derive(Clone, Debug)]
pub struct Browsed {
    /// Its cursor.
    pub cursor: Cursor,
    /// The message, with the beginning of its body; or the reason why it is unreadable, for display.
    pub message: Result<Message, String>,
    /// The size of the whole body; 0 if the message is unreadable.
    pub body_bytes: u64,
}

impl Browsed {
    /// The identity of the message.
    pub fn named(&self) -> Named {
        Named { cursor: self.cursor, id: self.message.as_ref().ok().and_then(|message| message.id) }
    }
}

/// Identifies one message of a queue, for [`Inspect::remove`] and [`Inspect::redrive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its cursor.
    pub cursor: Cursor,
    /// Its id, if the message is readable.
    pub id: Option<crate::message::MessageId>,
}

/// The figures of a queue; `None` means that the broker does not report the figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// All messages, including those that consumers hold unsettled.
    pub depth_count: Option<u64>,
    /// Messages that wait for a consumer, excluding those that consumers hold unsettled.
    pub ready_count: Option<u64>,
    /// Messages that consumers hold unsettled, including prefetched ones.
    pub unsettled_count: Option<u64>,
    /// The size of all its messages, bodies and properties.
    pub size_bytes: Option<u64>,
    /// Current consumers.
    pub consumer_count: Option<u64>,
    /// Messages dropped because of the queue's own bound, since the backend was opened.
    pub dropped_count: Option<u64>,
    /// Messages that the broker has lost after confirming them, as far as known: counted since the backend was opened, including those found missing
    /// at that point.
    pub damaged_count: Option<u64>,
    /// The queue's own bound above which it refuses messages; also `None` if it has no such bound.
    pub refuse_above_bytes: Option<u64>,
    /// How often a message was refused because of that bound, since the backend was opened; each attempt counts.
    pub refused_count: Option<u64>,
    /// Whether that bound is reached: a message was refused, and none was accepted or removed since.
    pub is_refusing: Option<bool>,
}

impl QueueStats {
    /// Whether it holds messages or their number is unknown. Zero ready messages does not mean zero in flight.
    pub fn may_hold_messages(&self) -> bool {
        match (self.depth_count, self.ready_count, self.unsettled_count) {
            (Some(depth_count), _, _) => depth_count > 0,
            (None, Some(0), Some(0)) => false,
            (None, _, _) => true,
        }
    }

    /// Whether it has consumers or their number is unknown.
    pub fn may_have_consumers(&self) -> bool {
        self.consumer_count != Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_empty_only_if_its_figures_are_known() {
        let may_hold = |depth_count, ready_count, unsettled_count| {
            QueueStats { depth_count, ready_count, unsettled_count, ..QueueStats::default() }.may_hold_messages()
        };
        assert!(may_hold(None, None, None) && may_hold(None, Some(0), None) && may_hold(None, None, Some(0)));
        assert!(may_hold(None, Some(1), Some(0)) && may_hold(None, Some(0), Some(1)) && may_hold(Some(1), Some(0), Some(1)));
        assert!(!may_hold(Some(0), None, None) && !may_hold(None, Some(0), Some(0)));
    }
}
