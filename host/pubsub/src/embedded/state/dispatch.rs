//! Dispatch: which consumer gets which message, and what happens to its messages when it requeues them or leaves.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::consumer::{Body, ConsumerState, Prefetch, PrefetchBuffer, Prefetched, Slot, Wakeups};
use super::entry::{Counting, Entry};
use super::queue::QueueState;
use super::queues::BrokerState;
use super::window::{Load, Window};
use crate::backend::{ConsumerOptions, Sharing};
use crate::embedded::refusal::not_found;
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::topic::Queue;

/// Maximum number of messages in one prefetch: large enough to keep locking cheap, small enough to share messages fairly.
const BATCH_COUNT: usize = 64;

impl BrokerState {
    /// Adds a consumer to a queue.
    pub(crate) fn add_consumer(&mut self, queue: &Queue, options: ConsumerOptions) -> Result<(u64, u64, Arc<Slot>)> {
        self.check_open()?;
        let number = self.find(queue).ok_or_else(|| not_found(queue))?;
        let state = self.queues.get_mut(&number).ok_or_else(|| not_found(queue))?;
        let exclusive = options.sharing == Sharing::Exclusive;
        if state.exclusive || (exclusive && !state.consumers.is_empty()) {
            return Err(PubsubError::QueueHeld { queue: queue.clone() });
        }
        self.last_consumer += 1;
        let id = self.last_consumer;
        state.consumers.push(id);
        state.exclusive = exclusive;
        let slot = Arc::new(Slot::default());
        let consumer = ConsumerState {
            queue: number,
            window: Window::new(options),
            settling_count: 0,
            has_block_reason: false,
            refused: VecDeque::new(),
            slot: slot.clone(),
        };
        self.consumers.insert(id, consumer);
        Ok((id, number, slot))
    }

    /// Stops a consumer: it gets no more messages and no longer counts as one of its queue. Returns `true` if it may have settles in flight, which
    /// [`BrokerState::finish_leaving`] must then follow.
    pub(crate) fn begin_leaving(&mut self, consumer: u64, buffer: PrefetchBuffer) -> (bool, Wakeups) {
        let Some(state) = self.consumers.get_mut(&consumer) else { return (false, Wakeups::default()) };
        state.window.set_count(0);
        let number = state.queue;
        let Some(queue) = self.queues.get_mut(&number) else {
            self.consumers.remove(&consumer);
            return (false, Wakeups::default());
        };
        queue.consumers.retain(|other| *other != consumer);
        queue.exclusive = false;
        let first = buffer.messages.front().map(|prefetched| prefetched.sequence);
        buffer.messages.into_iter().for_each(|prefetched| unread(queue, &mut state.window, &prefetched, consumer));
        note_received(queue, &mut self.uncounted, buffer.received);
        if state.window.held.count > 0 {
            queue.leaving_count += 1;
            return (true, Wakeups::default());
        }
        self.consumers.remove(&consumer);
        if let Some(first) = first {
            self.recall(number, first);
        }
        (false, self.wake(&[number]))
    }

    /// Requeues the messages that a consumer still holds after it left.
    pub(crate) fn finish_leaving(&mut self, consumer: u64) -> Wakeups {
        let Some(state) = self.consumers.remove(&consumer) else { return Wakeups::default() };
        let Some(queue) = self.queues.get_mut(&state.queue) else { return Wakeups::default() };
        let held = queue.held_by(consumer);
        for sequence in &held {
            if let Some(entry) = queue.unhold(*sequence, consumer) {
                queue.put_back(received(entry));
            }
        }
        queue.leaving_count -= 1;
        // Unread messages were already put back when it began to leave.
        let first = queue.first_ready().map(|entry| entry.sequence).into_iter().chain(held).min();
        if let Some(first) = first {
            self.recall(state.queue, first);
        }
        self.wake(&[state.queue])
    }

    /// Requeues a message that a consumer holds: it is redelivered first.
    pub(crate) fn requeue(&mut self, queue: u64, sequence: u64, consumer: u64) -> Wakeups {
        let Some(state) = self.queues.get_mut(&queue) else { return Wakeups::default() };
        let Some(entry) = state.unhold(sequence, consumer) else { return Wakeups::default() };
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            consumer.window.held.remove(entry.size_bytes);
            consumer.refused.retain(|other| *other != sequence);
        }
        state.put_back(received(entry));
        self.recall(queue, sequence);
        self.wake(&[queue])
    }

    /// Takes back prefetched messages that are not received yet and follow a requeued message, which must come first.
    pub(super) fn recall(&mut self, number: u64, behind: u64) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        for id in queue.consumers.clone() {
            let Some(consumer) = self.consumers.get_mut(&id) else { continue };
            let mut buffer = lock(&consumer.slot.buffer);
            let (recalled, kept) =
                std::mem::take(&mut buffer.messages).into_iter().partition(|prefetched: &Prefetched| prefetched.sequence > behind);
            buffer.messages = kept;
            drop(buffer);
            for prefetched in Vec::from(recalled) {
                unread(queue, &mut consumer.window, &prefetched, id);
            }
        }
    }

    /// Records which messages of a durable queue were received (ranges of sequences, ends included), for the log.
    pub(crate) fn note_received(&mut self, queue: u64, received: Vec<(u64, u64)>) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            note_received(queue, &mut self.uncounted, received);
        }
    }

    /// Changes the maximum number of messages that a consumer may hold.
    pub(crate) fn set_window(&mut self, consumer: u64, window: u64) -> Wakeups {
        let Some(state) = self.consumers.get_mut(&consumer) else { return Wakeups::default() };
        state.window.set_count(window);
        let queue = state.queue;
        self.wake(&[queue])
    }

    /// The consumers of these queues that have room, if there is a message for them.
    pub(crate) fn wake(&self, queues: &[u64]) -> Wakeups {
        let mut slots = Vec::new();
        for queue in queues.iter().filter_map(|number| self.queues.get(number)) {
            if queue.leaving_count > 0 || !(queue.has_ready() || self.is_any_fetched_ahead(queue)) {
                continue;
            }
            let consumers = queue.consumers.iter().filter_map(|id| self.consumers.get(id));
            slots.extend(consumers.filter(|consumer| consumer.window.has_room()).map(|consumer| consumer.slot.clone()));
        }
        Wakeups(slots)
    }

    /// Whether one of several consumers has unread messages that another may steal.
    fn is_any_fetched_ahead(&self, queue: &QueueState) -> bool {
        let has_waiting = |consumer: &ConsumerState| !lock(&consumer.slot.buffer).messages.is_empty();
        queue.consumers.len() > 1 && queue.consumers.iter().filter_map(|id| self.consumers.get(id)).any(has_waiting)
    }

    /// Takes the next messages for a consumer: as many as fit its window, but no more than its share.
    pub(crate) fn prefetch(&mut self, consumer: u64, now: Instant) -> Prefetch {
        let Some(state) = self.consumers.get_mut(&consumer) else { return Prefetch::Gone };
        let Some(queue) = self.queues.get_mut(&state.queue) else { return Prefetch::Gone };
        if queue.leaving_count > 0 {
            return Prefetch::Taken(Vec::new());
        }
        let share = queue.ready_count().div_ceil(queue.consumers.len().max(1));
        let mut taken = Vec::new();
        while taken.len() < share.min(BATCH_COUNT) {
            match queue.first_ready() {
                Some(first)
                    if matches!(first.counting, Counting::Lazy | Counting::Ahead)
                        && state.window.fits(Load::default(), first.size_bytes) => {}
                _ => break,
            }
            let Some(entry) = queue.pop_ready() else { break };
            if entry.stored.as_ref().is_some_and(|stored| stored.is_expired(now)) {
                queue.forget(&entry);
                continue;
            }
            state.window.held.add(entry.size_bytes);
            taken.push(hand_out(queue, entry, consumer));
        }
        let is_next = |first: &&Entry| taken.is_empty() && state.window.fits(Load::default(), first.size_bytes);
        match queue.first_ready().filter(is_next).map(|first| first.counting) {
            Some(Counting::Suspect) => Prefetch::Mark { queue: queue.number, sequences: begin_marking(queue, &state.window) },
            Some(Counting::Marking) if !state.has_block_reason => match &queue.blocked {
                Some(reason) => {
                    state.has_block_reason = true;
                    Prefetch::Blocked(reason.clone())
                }
                None => Prefetch::Taken(taken),
            },
            _ => Prefetch::Taken(taken),
        }
    }

    /// Takes half of the unread messages of another consumer of the same queue, for a consumer without any.
    pub(crate) fn steal(&mut self, thief: u64) -> Vec<Prefetched> {
        let Some(state) = self.consumers.get(&thief) else { return Vec::new() };
        let (number, window) = (state.queue, state.window);
        let Some(queue) = self.queues.get_mut(&number) else { return Vec::new() };
        if !window.has_room() || queue.leaving_count > 0 {
            return Vec::new();
        }
        for victim in queue.consumers.clone() {
            let Some(other) = self.consumers.get_mut(&victim).filter(|_| victim != thief) else { continue };
            let mut buffer = lock(&other.slot.buffer);
            let count = fitting_count(buffer.messages.iter().rev().take(buffer.messages.len().div_ceil(2)), &window);
            if count == 0 {
                continue;
            }
            let at = buffer.messages.len() - count;
            let stolen: Vec<Prefetched> =
                buffer.messages.split_off(at).into_iter().filter(|prefetched| queue.pass_on(prefetched.sequence, victim, thief)).collect();
            drop(buffer);
            stolen.iter().for_each(|prefetched| other.window.held.remove(prefetched.size_bytes));
            if let Some(state) = self.consumers.get_mut(&thief) {
                stolen.iter().for_each(|prefetched| state.window.held.add(prefetched.size_bytes));
            }
            return stolen;
        }
        Vec::new()
    }
}

/// How many of these messages, from the first, fit into a window.
fn fitting_count<'a>(messages: impl Iterator<Item = &'a Prefetched>, window: &Window) -> usize {
    let mut taken = Load::default();
    messages
        .take_while(|prefetched| {
            window.fits(taken, prefetched.size_bytes) && {
                taken.add(prefetched.size_bytes);
                true
            }
        })
        .count()
}

/// Puts back a message that a consumer did not receive, which does not count as delivered. A message set aside in the meantime is no longer held.
fn unread(queue: &mut QueueState, window: &mut Window, prefetched: &Prefetched, consumer: u64) {
    if let Some(mut entry) = queue.unhold(prefetched.sequence, consumer) {
        window.held.remove(entry.size_bytes);
        entry.deliveries -= u32::from(!prefetched.counted_ahead);
        queue.put_back(entry);
    }
}

/// An entry after its delivery.
pub(super) fn received(mut entry: Entry) -> Entry {
    entry.counting = Counting::Lazy;
    entry
}

fn hand_out(queue: &mut QueueState, mut entry: Entry, consumer: u64) -> Prefetched {
    let counted_ahead = entry.counting == Counting::Ahead;
    entry.deliveries = entry.deliveries.saturating_add(u32::from(!counted_ahead));
    let body = match &entry.stored {
        Some(stored) => Body::Memory(stored.clone()),
        None => Body::Log(entry.position),
    };
    let prefetched =
        Prefetched { sequence: entry.sequence, size_bytes: entry.size_bytes, deliveries: entry.deliveries, counted_ahead, body };
    queue.hold(entry, consumer);
    prefetched
}

/// Selects the messages to mark before they are delivered. Messages that were never delivered are marked together. One that was delivered before may
/// have crashed the last process; it is marked alone, so that the delivery counts of those after it do not increase.
fn begin_marking(queue: &mut QueueState, window: &Window) -> Vec<u64> {
    let mut taken = Load::default();
    let is_fresh = |entry: &&mut Entry| {
        let is_fresh = entry.counting == Counting::Suspect && entry.deliveries == 0 && window.fits(taken, entry.size_bytes);
        taken.add(entry.size_bytes);
        is_fresh
    };
    let mut chosen: Vec<&mut Entry> = queue.iter_ready_mut().take_while(is_fresh).collect();
    if chosen.is_empty() {
        chosen = queue.iter_ready_mut().take(1).collect();
    }
    let mark = |entry: &mut Entry| {
        entry.counting = Counting::Marking;
        entry.sequence
    };
    chosen.into_iter().map(mark).collect()
}

fn note_received(queue: &mut QueueState, uncounted: &mut Vec<u64>, received: Vec<(u64, u64)>) {
    if received.is_empty() {
        return;
    }
    if queue.uncounted.is_empty() {
        uncounted.push(queue.number);
    }
    queue.uncounted.extend(received);
}
