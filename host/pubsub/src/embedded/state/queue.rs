//! One queue: its messages, their order, and which consumer holds which. It does no IO; the time is passed in.

use std::collections::hash_map;
use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::entry::{Entry, Located};
use crate::backend::{Overflow, QueueStats};
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::LogPosition;
use crate::embedded::numbers::{FIRST_EPHEMERAL, NumberMap};
use crate::embedded::refusal::WriteFailure;
use crate::error::{PubsubError, Result};
use crate::topic::Queue;

#[derive(Debug)]
struct HeldMessage {
    entry: Entry,
    consumer: u64,
}

/// One queue. Its messages are ready, held by a consumer, or part of a commit in progress; the counters include all three.
#[derive(Debug)]
pub(crate) struct QueueState {
    pub(crate) name: Queue,
    pub(crate) number: u64,
    pub(super) overflow: Overflow,
    pub(super) next_sequence: u64,
    /// Never delivered, or requeued before the broker was opened: in order of sequence; delivered after all of `returned`.
    ready: VecDeque<Entry>,
    /// Requeued: redelivered first, in order of sequence.
    returned: BTreeMap<u64, Entry>,
    held: NumberMap<HeldMessage>,
    pub(super) consumers: Vec<u64>,
    pub(super) exclusive: bool,
    /// Consumers that left with settles possibly on the way to the log: until these are decided, nothing is delivered, so that the messages they
    /// requeue come first.
    pub(super) leaving_count: u32,
    depth_count: u64,
    size_bytes: u64,
    /// The memory of its cached messages, in bytes.
    memory_bytes: u64,
    pub(super) dropped_count: u64,
    /// Messages dropped because of the bound before the broker was opened.
    pub(super) dropped_before_count: u64,
    /// Messages refused because of the queue's own bound.
    refused_count: u64,
    /// Whether a message was refused, and none was accepted or removed since.
    is_refusing: bool,
    /// Messages that were missing when the broker was opened or were found damaged since.
    pub(super) damaged_count: u64,
    /// Why deliveries that must be recorded first cannot be recorded, as of the last attempt.
    pub(super) blocked: Option<WriteFailure>,
    /// Bytes added by the commit in progress.
    pub(super) incoming_bytes: u64,
    /// Bytes removed by the commit in progress.
    pub(super) outgoing_bytes: u64,
    /// Deliveries not recorded in the log yet: ranges of sequences, ends included.
    pub(super) uncounted: Vec<(u64, u64)>,
}

impl QueueState {
    pub(super) fn new(name: Queue, number: u64, overflow: Overflow) -> Self {
        QueueState {
            name,
            number,
            overflow,
            next_sequence: 1,
            ready: VecDeque::new(),
            returned: BTreeMap::new(),
            held: NumberMap::default(),
            consumers: Vec::new(),
            exclusive: false,
            leaving_count: 0,
            depth_count: 0,
            size_bytes: 0,
            memory_bytes: 0,
            dropped_count: 0,
            dropped_before_count: 0,
            refused_count: 0,
            is_refusing: false,
            damaged_count: 0,
            blocked: None,
            incoming_bytes: 0,
            outgoing_bytes: 0,
            uncounted: Vec::new(),
        }
    }

    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            depth_count: Some(self.depth_count),
            ready_count: Some(self.depth_count.saturating_sub(self.held.len() as u64)),
            unsettled_count: Some(self.held.len() as u64),
            size_bytes: Some(self.size_bytes),
            consumer_count: Some(self.consumers.len() as u64),
            dropped_count: Some(self.dropped_count),
            damaged_count: Some(self.damaged_count),
            refuse_above_bytes: self.overflow.refuse_above_bytes(),
            refused_count: Some(self.refused_count),
            is_refusing: Some(self.is_refusing),
        }
    }

    /// Its definition for the log.
    pub(super) fn definition(&self) -> QueueDefinition {
        QueueDefinition {
            number: self.number,
            queue: self.name.clone(),
            overflow: self.overflow,
            next_sequence: self.next_sequence,
            dropped_count: self.dropped_before_count + self.dropped_count,
            live_count: self.depth_count,
        }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(super) fn depth_count(&self) -> u64 {
        self.depth_count
    }

    /// The number of messages, excluding expired requests.
    pub(super) fn unexpired_count(&self, now: Instant) -> u64 {
        // Durable queues may be long, and their messages do not expire.
        if self.number < FIRST_EPHEMERAL {
            return self.depth_count;
        }
        let is_expired = |entry: &&Entry| entry.stored.as_ref().is_some_and(|stored| stored.is_expired(now));
        self.depth_count - self.returned.values().chain(&self.ready).filter(is_expired).count() as u64
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.returned.is_empty()
    }

    pub(super) fn ready_count(&self) -> usize {
        self.ready.len() + self.returned.len()
    }

    /// Its size after the commit in progress.
    pub(crate) fn projected_size_bytes(&self) -> u64 {
        (self.size_bytes + self.incoming_bytes).saturating_sub(self.outgoing_bytes)
    }

    /// Assigns the next sequence.
    pub(super) fn assign(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        sequence
    }

    /// Adds a message after all others.
    pub(super) fn append(&mut self, entry: Entry) {
        debug_assert!(self.ready.back().is_none_or(|last| last.sequence < entry.sequence));
        self.depth_count += 1;
        self.size_bytes += u64::from(entry.size_bytes);
        self.memory_bytes += entry.memory_bytes();
        self.is_refusing = false;
        self.ready.push_back(entry);
    }

    /// Counts a message that was dropped because of the queue's own bound. Logs the first, the tenth, the hundredth and so on, since nothing else may
    /// show that a consumer is missing.
    pub(super) fn count_drop(&mut self) {
        self.dropped_count += 1;
        let (topic, subscription, dropped_count) = (self.name.topic(), self.name.subscription(), self.dropped_count);
        if 10_u64.pow(dropped_count.ilog10()) == dropped_count {
            tracing::warn!(%topic, %subscription, dropped_count, "queue limit reached, dropping the oldest messages");
        }
    }

    /// Counts a message of the topic that this queue did not get because it is full, although others did. Logged like drops.
    pub(super) fn count_missed(&mut self) {
        self.dropped_count += 1;
        let (topic, subscription, dropped_count) = (self.name.topic(), self.name.subscription(), self.dropped_count);
        if 10_u64.pow(dropped_count.ilog10()) == dropped_count {
            tracing::warn!(%topic, %subscription, dropped_count, "queue limit reached, dropping requests for this subscription only");
        }
    }

    /// The queue's own bound, if the message would exceed it.
    fn refuses(&self, size_bytes: u64, more_bytes: u64) -> Option<u64> {
        let bound = self.overflow.refuse_above_bytes()?;
        let used_bytes = self.projected_size_bytes() + more_bytes;
        (used_bytes > 0 && used_bytes + size_bytes > bound).then_some(bound)
    }

    /// Refuses a message, and counts that, if it would exceed the queue's own bound together with the messages in the queue and
    /// `more_bytes`.
    pub(super) fn check_own_bound(&mut self, size_bytes: u64, more_bytes: u64) -> Result<()> {
        let Some(limit_bytes) = self.refuses(size_bytes, more_bytes) else { return Ok(()) };
        self.count_refusal();
        let used_bytes = self.projected_size_bytes() + more_bytes;
        Err(PubsubError::full(format!("queue {}", self.name), used_bytes, limit_bytes))
    }

    /// Counts a message that was refused because of the queue's own bound. Logs the first one in a row.
    fn count_refusal(&mut self) {
        self.refused_count += 1;
        if !std::mem::replace(&mut self.is_refusing, true) {
            let (topic, subscription, size_bytes) = (self.name.topic(), self.name.subscription(), self.size_bytes);
            let limit_bytes = self.overflow.refuse_above_bytes();
            tracing::warn!(%topic, %subscription, size_bytes, limit_bytes, "queue limit reached, refusing messages");
        }
    }

    /// The sequence of the newest message ever committed to it.
    pub(crate) fn newest(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Changes the queue's own bound.
    pub(super) fn set_overflow(&mut self, overflow: Overflow) {
        self.overflow = overflow;
        self.is_refusing = false;
    }

    /// Takes the next message, to hold or drop it; the counters are unchanged.
    pub(super) fn pop_ready(&mut self) -> Option<Entry> {
        match self.returned.pop_first() {
            Some((_, entry)) => Some(entry),
            None => self.ready.pop_front(),
        }
    }

    /// The next message.
    pub(super) fn first_ready(&self) -> Option<&Entry> {
        self.returned.first_key_value().map(|(_, entry)| entry).or_else(|| self.ready.front())
    }

    /// All ready messages, in order.
    pub(super) fn iter_ready_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.returned.values_mut().chain(&mut self.ready)
    }

    /// One ready message.
    pub(super) fn ready_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        if let Some(entry) = self.returned.get_mut(&sequence) {
            return Some(entry);
        }
        let at = self.ready.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?;
        self.ready.get_mut(at)
    }

    /// One message, ready or held.
    pub(super) fn entry(&self, sequence: u64) -> Option<&Entry> {
        if let Some(held) = self.held.get(&sequence) {
            return Some(&held.entry);
        }
        if let Some(entry) = self.returned.get(&sequence) {
            return Some(entry);
        }
        let at = self.ready.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?;
        self.ready.get(at)
    }

    /// One message, ready or held, for changing its position.
    pub(super) fn entry_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        if self.held.contains_key(&sequence) {
            return self.held.get_mut(&sequence).map(|held| &mut held.entry);
        }
        self.ready_mut(sequence)
    }

    /// The consumer that holds a message.
    pub(super) fn holder(&self, sequence: u64) -> Option<u64> {
        self.held.get(&sequence).map(|held| held.consumer)
    }

    /// Searches for messages of a segment. The first call searches all held and requeued messages; each call searches up to `limit_count` of those
    /// never delivered. Returns how many it examined, and the sequence to continue after; `None` when all are done.
    pub(super) fn locate(&self, segment: u32, after: Option<u64>, limit_count: usize, found: &mut Vec<Located>) -> (usize, Option<u64>) {
        let located = |entry: &Entry| Located { offset: entry.position.offset, queue: self.number, sequence: entry.sequence };
        let is_there = |entry: &&Entry| entry.position.segment == segment;
        let mut looked_count = 0;
        if after.is_none() {
            let moving = self.held.values().map(|held| &held.entry).chain(self.returned.values());
            found.extend(moving.filter(is_there).map(located));
            looked_count += self.held.len() + self.returned.len();
        }
        let start = after.map_or(0, |after| self.ready.partition_point(|entry| entry.sequence <= after));
        let end = (start + limit_count.max(1)).min(self.ready.len());
        found.extend(self.ready.range(start..end).filter(is_there).map(located));
        let next = if end == self.ready.len() { None } else { self.ready.get(end - 1).map(|last| last.sequence) };
        (looked_count + end - start, next)
    }

    /// Takes one ready message; the counters are unchanged.
    pub(super) fn take_ready(&mut self, sequence: u64) -> Option<Entry> {
        if let Some(entry) = self.returned.remove(&sequence) {
            return Some(entry);
        }
        let at = self.ready.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?;
        self.ready.remove(at)
    }

    /// Ready messages after a sequence, in order of sequence.
    pub(crate) fn ready_after(&self, after: u64, limit: usize) -> Vec<Entry> {
        // Requeued messages normally precede the others, but the result must be in order of sequence in any case.
        let start = self.ready.partition_point(|entry| entry.sequence <= after);
        let mut found: Vec<Entry> = self
            .returned
            .range(after.saturating_add(1)..)
            .map(|(_, entry)| entry)
            .take(limit)
            .chain(self.ready.range(start..).take(limit))
            .cloned()
            .collect();
        found.sort_by_key(|entry| entry.sequence);
        found.truncate(limit);
        found
    }

    /// Gives a message to a consumer.
    pub(super) fn hold(&mut self, entry: Entry, consumer: u64) {
        self.held.insert(entry.sequence, HeldMessage { entry, consumer });
    }

    /// Whether that consumer holds it.
    pub(super) fn is_held(&self, sequence: u64, consumer: u64) -> bool {
        self.held.get(&sequence).is_some_and(|held| held.consumer == consumer)
    }

    /// The position of a message that this consumer holds.
    pub(super) fn held_position(&self, sequence: u64, consumer: u64) -> Option<LogPosition> {
        self.held.get(&sequence).filter(|held| held.consumer == consumer).map(|held| held.entry.position)
    }

    /// Takes a message from the consumer that holds it; the counters are unchanged.
    pub(super) fn unhold(&mut self, sequence: u64, consumer: u64) -> Option<Entry> {
        match self.held.entry(sequence) {
            hash_map::Entry::Occupied(held) if held.get().consumer == consumer => Some(held.remove().entry),
            _ => None,
        }
    }

    /// Transfers a held message to another consumer.
    pub(super) fn pass_on(&mut self, sequence: u64, from: u64, to: u64) -> bool {
        match self.held.get_mut(&sequence) {
            Some(held) if held.consumer == from => {
                held.consumer = to;
                true
            }
            _ => false,
        }
    }

    /// Puts a message back in its original order.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.returned.insert(entry.sequence, entry);
    }

    /// Sequences that a consumer holds.
    pub(super) fn held_by(&self, consumer: u64) -> Vec<u64> {
        self.held.iter().filter(|(_, held)| held.consumer == consumer).map(|(sequence, _)| *sequence).collect()
    }

    /// Subtracts a message that was already taken from the counters.
    pub(super) fn forget(&mut self, entry: &Entry) {
        self.depth_count -= 1;
        self.size_bytes -= u64::from(entry.size_bytes);
        self.memory_bytes -= entry.memory_bytes();
        self.is_refusing = false;
    }

    /// All entries, when the queue is deleted.
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.ready.into_iter().chain(self.returned.into_values()).chain(self.held.into_values().map(|held| held.entry))
    }
}
