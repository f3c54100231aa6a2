//! Compaction: the live messages of the oldest segment are copied to the end of the log, so that this segment and the dead ones after it can be
//! removed. This file decides which messages are copied and when; `commit/maintenance.rs` copies them.

use super::entry::Located;
use super::group::Group;
use super::queue::QueueState;
use super::queues::BrokerState;
use super::step::{CopySource, StateChange};
use crate::embedded::damage::Damage;
use crate::embedded::log_position::{LogPosition, Moved};
use crate::embedded::numbers::FIRST_EPHEMERAL;
use crate::lock::lock;

/// The log may take this many times the live bytes, plus one segment. At a factor of three, half a byte is copied for each byte written.
const LOG_PER_LIVE: u64 = 3;
/// Maximum number of messages in one portion: bounds how long the lock is held.
const PORTION_COUNT: usize = 4096;

/// Whether the log exceeds its live bytes so much that its oldest segment should be copied.
pub(crate) fn is_due(log_bytes: u64, live_bytes: u64, segment_bytes: u64) -> bool {
    log_bytes > live_bytes.saturating_mul(LOG_PER_LIVE).saturating_add(segment_bytes)
}

/// The compaction of one segment: all queues are searched for its messages, which are then copied in the order of their offsets.
#[derive(Debug)]
pub(crate) struct Compaction {
    segment: u32,
    /// Queues still to be searched, in reverse order.
    queues: Vec<u64>,
    /// The sequence to continue after in the last of them.
    after: Option<u64>,
    found: Vec<Located>,
    /// The number of these that were copied or are gone.
    done_count: usize,
}

impl Compaction {
    pub(crate) fn new(state: &BrokerState, segment: u32) -> Self {
        let queues = state.queues.keys().copied().filter(|number| *number < FIRST_EPHEMERAL).collect();
        Compaction { segment, queues, after: None, found: Vec::new(), done_count: 0 }
    }

    /// The segment being compacted.
    pub(crate) fn segment(&self) -> u32 {
        self.segment
    }

    /// Examines about `limit_count` messages; `true` once all are done. Messages that change hands concurrently may be missed; a later compaction of
    /// the same segment finds them.
    pub(crate) fn look(&mut self, state: &BrokerState, limit_count: usize) -> bool {
        let mut left_count = limit_count;
        while let Some(number) = self.queues.last() {
            if left_count == 0 {
                return false;
            }
            let looked = state.queues.get(number).map(|queue| queue.locate(self.segment, self.after, left_count, &mut self.found));
            let (looked_count, next) = looked.unwrap_or_default();
            left_count = left_count.saturating_sub(looked_count);
            self.after = next;
            if next.is_none() {
                self.queues.pop();
                if self.queues.is_empty() {
                    self.found.sort_unstable();
                }
            }
        }
        true
    }

    /// Whether all messages found were copied.
    pub(crate) fn is_done(&self) -> bool {
        self.done_count == self.found.len()
    }

    /// The next messages to copy, up to about `limit_bytes`.
    ///
    /// Earlier deliveries must be recorded in the log before or by this commit: the returned delivery counts assume that.
    pub(crate) fn next_portion(&mut self, state: &BrokerState, limit_bytes: u64) -> Vec<Copied> {
        let mut portion = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        while bytes < limit_bytes && count < PORTION_COUNT {
            let rest = &self.found[self.done_count..];
            let Some(first) = rest.first() else { break };
            let same = rest.iter().take_while(|located| located.offset == first.offset);
            let (mut targets, mut copied) = (Vec::new(), None);
            for located in same {
                self.done_count += 1;
                count += 1;
                let Some(queue) = state.queues.get(&located.queue) else { continue };
                let Some(entry) = queue.entry(located.sequence).filter(|entry| entry.position.segment == self.segment) else { continue };
                let deliveries = entry.deliveries.saturating_sub(u32::from(is_delivery_unknown(state, queue, located.sequence)));
                targets.push(Moved { queue: located.queue, sequence: located.sequence, deliveries });
                copied = Some((entry.position, entry.size_bytes));
            }
            if let Some((position, size_bytes)) = copied {
                bytes += u64::from(position.length);
                portion.push(Copied { targets, size_bytes, position });
            }
        }
        portion
    }
}

/// Whether the last delivery of a message, which is counted in memory, is not recorded in the log yet: its consumer has prefetched it, or has just
/// received it.
fn is_delivery_unknown(state: &BrokerState, queue: &QueueState, sequence: u64) -> bool {
    let Some(consumer) = queue.holder(sequence).and_then(|id| state.consumers.get(&id)) else { return false };
    // Under one lock: on receipt a message moves from one list to the other.
    let buffer = lock(&consumer.slot.buffer);
    buffer.messages.iter().any(|prefetched| prefetched.sequence == sequence && !prefetched.counted_ahead)
        || buffer.received.iter().any(|(first, last)| (*first..=*last).contains(&sequence))
}

/// A message to be copied: its position, and the queues that have it.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) targets: Vec<Moved>,
    pub(crate) size_bytes: u32,
    pub(crate) position: LogPosition,
}

impl BrokerState {
    /// Decides how to treat a message whose source is damaged: it is written from memory if it is cached, and set aside otherwise. Returns `Some` if
    /// it stays because a consumer has received it.
    pub(crate) fn rescue(&mut self, copied: Copied, damage: Box<Damage>, steps: &mut Vec<StateChange>) -> Option<()> {
        let Copied { mut targets, size_bytes, position } = copied;
        // Some may have left their queues since they were found.
        targets.retain(|target| self.place_of(target.queue, target.sequence) == Some(position));
        let stored = targets.iter().find_map(|target| self.queues.get(&target.queue)?.entry(target.sequence)?.stored.clone());
        if let Some(stored) = stored {
            steps.push(StateChange::Move { targets, size_bytes, content: CopySource::Memory(stored), position });
            return None;
        }
        let mut stays = None;
        for Moved { queue, sequence, .. } in targets {
            let holder = self.queues.get(&queue).and_then(|queue| queue.holder(sequence));
            if holder.is_some_and(|holder| !self.is_waiting(holder, sequence)) {
                stays = Some(());
                continue;
            }
            let mut group = Group::default();
            self.decide_set_aside(queue, sequence, holder, damage.clone(), &mut group);
            steps.append(&mut group.steps);
        }
        stays
    }

    /// Whether a consumer that holds a message has not received it yet.
    fn is_waiting(&self, consumer: u64, sequence: u64) -> bool {
        let consumer = self.consumers.get(&consumer);
        consumer.is_some_and(|consumer| lock(&consumer.slot.buffer).messages.iter().any(|prefetched| prefetched.sequence == sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_begins_at_three_times_the_live_bytes_plus_a_segment() {
        assert!(!is_due(0, 0, 100));
        assert!(!is_due(100, 0, 100));
        assert!(is_due(101, 0, 100));
        assert!(!is_due(400, 100, 100));
        assert!(is_due(401, 100, 100));
        assert!(!is_due(u64::MAX, u64::MAX, 100));
    }
}
