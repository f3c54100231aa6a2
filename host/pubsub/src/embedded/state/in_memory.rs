//! Queues and mailboxes in memory: adding messages to them.

use std::sync::Arc;

use tokio::time::Instant;

use super::entry::{Counting, Entry};
use super::queue::QueueState;
use super::queues::BrokerState;
use super::stored::Stored;
use crate::embedded::log_position::LogPosition;
use crate::error::{PubsubError, Result};
use crate::topic::Topic;

impl BrokerState {
    /// Refuses a message of an external sender if a queue in memory has no room for it; expired messages are removed first.
    pub(super) fn check_request_room(&mut self, number: u64, stored: &Stored, now: Instant) -> Result<()> {
        let (limit_bytes, limit_count) = (self.options.request_queue_bytes, self.options.request_queue_count);
        let Some(queue) = self.queues.get_mut(&number) else { return Ok(()) };
        queue.check_own_bound(stored.size_bytes, 0)?;
        let memory_bytes = stored.memory_bytes;
        let fits = |queue: &QueueState| queue.memory_bytes() + memory_bytes <= limit_bytes && queue.depth_count() < limit_count;
        if fits(queue) {
            return Ok(());
        }
        let is_expired = |entry: &Entry| entry.stored.as_ref().is_some_and(|stored| stored.is_expired(now));
        while queue.first_ready().is_some_and(is_expired) {
            if let Some(entry) = queue.pop_ready() {
                queue.forget(&entry);
            }
        }
        if fits(queue) {
            return Ok(());
        }
        Err(PubsubError::full(format!("queue {}", queue.name), queue.memory_bytes(), limit_bytes))
    }

    /// The queues of a `request` topic that receive a message of an external sender: those with room. Subscriptions do not affect each other: a full
    /// queue misses the message and counts it as dropped. The message is refused if no queue has room, or, if some queues have an exclusive consumer,
    /// if none of those has: they belong to the service that answers, and others only listen.
    pub(crate) fn request_targets(&mut self, topic: &Topic, stored: &Stored, now: Instant) -> Result<Vec<u64>> {
        let numbers = self.subscribers.get(topic).map(|subscribers| subscribers.queues.clone()).unwrap_or_default();
        let is_exclusive = |number: &u64| self.queues.get(number).is_some_and(|queue| queue.exclusive);
        let own: Vec<u64> = numbers.iter().copied().filter(is_exclusive).collect();
        let (mut targets, mut full) = (Vec::with_capacity(numbers.len()), Vec::new());
        let mut refusal = PubsubError::no_queue_of(topic);
        for number in numbers {
            match self.check_request_room(number, stored, now) {
                Ok(()) => targets.push(number),
                Err(error) => {
                    if own.is_empty() || own.contains(&number) {
                        refusal = error;
                    }
                    full.push(number);
                }
            }
        }
        if !targets.iter().any(|number| own.is_empty() || own.contains(number)) {
            return Err(refusal);
        }
        for number in full {
            if let Some(queue) = self.queues.get_mut(&number) {
                queue.count_missed();
            }
        }
        Ok(targets)
    }

    /// Adds a message to these queues in memory and to the mailboxes of their topic.
    pub(crate) fn publish_to(&mut self, targets: &[u64], topic: &Topic, stored: &Arc<Stored>) {
        for number in targets {
            if let Some(queue) = self.queues.get_mut(number) {
                append_ephemeral(queue, stored);
            }
        }
        for mailbox in self.subscribers.get(topic).iter().flat_map(|subscribers| &subscribers.mailboxes) {
            mailbox.push(&stored.message);
        }
    }

    /// Adds a message to all queues in memory and all mailboxes of a topic.
    pub(crate) fn publish_ephemeral(&mut self, topic: &Topic, stored: &Arc<Stored>, touched: &mut Vec<u64>) {
        let Some(subscribers) = self.subscribers.get(topic) else { return };
        for number in &subscribers.queues {
            if let Some(queue) = self.queues.get_mut(number) {
                append_ephemeral(queue, stored);
                touched.push(*number);
            }
        }
        for mailbox in &subscribers.mailboxes {
            mailbox.push(&stored.message);
        }
    }
}

/// Adds a message to one queue in memory.
pub(super) fn append_ephemeral(queue: &mut QueueState, stored: &Arc<Stored>) {
    let entry = Entry {
        sequence: queue.assign(),
        position: LogPosition::default(),
        size_bytes: stored.size_bytes as u32,
        sharers: 1,
        deliveries: 0,
        counting: Counting::Lazy,
        stored: Some(stored.clone()),
    };
    queue.append(entry);
    while let Some(bound) = queue.overflow.drop_oldest_above_bytes()
        && queue.size_bytes() > bound
        && queue.ready_count() > 1
    {
        let Some(oldest) = queue.pop_ready() else { break };
        queue.forget(&oldest);
        queue.dropped_count += 1;
    }
}
