//! Messages in memory.

use std::sync::Arc;

use tokio::time::Instant;

use crate::message::Message;
use crate::message::size_of;
use crate::topic::Class;

/// A message in memory, shared by all queues that have it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) message: Message,
    /// For requests: when the requester stops waiting.
    pub(super) expires_at: Option<Instant>,
    /// The size of body and properties in bytes, as counted for bounds and statistics.
    pub(crate) size_bytes: u64,
    /// Its memory use in bytes.
    pub(crate) memory_bytes: u64,
}

impl Stored {
    /// Stores a message for a topic of this class; the time to live of a request begins now, others have none.
    pub(crate) fn of(class: Class, message: Message) -> Arc<Self> {
        let time_to_live = message.expires_in.filter(|_| class == Class::Request);
        let expires_at = time_to_live.and_then(|wait| Instant::now().checked_add(wait));
        let (size_bytes, memory_bytes) = (size_of(&message), message.memory_bytes());
        Arc::new(Stored { message, expires_at, size_bytes, memory_bytes })
    }

    /// Whether the requester no longer waits for an answer.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The message as a consumer receives it, with its remaining time to live.
    pub(crate) fn delivered(&self, now: Instant) -> Message {
        let expires_in = self.expires_at.map(|at| at.saturating_duration_since(now));
        Message { expires_in, ..self.message.clone() }
    }
}
