//! Consumers: who holds what, what comes next for whom, and what becomes of it when they go.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::queue::{Counting, Entry, Place, QueueState, Stored};
use super::queues::{State, not_found};
use super::window::{Load, Window};
use crate::backend::{ConsumerOptions, Sharing};
use crate::error::{PubsubError, Result};
use crate::topic::Queue;

/// Messages that a consumer takes at a time, at most: enough to make the lock cheap, few enough to share them fairly.
const BATCH_COUNT: usize = 64;

/// What a consumer shares with the state.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) bell: Notify,
    /// The queue was deleted or the broker closed: what is in `local` is void.
    pub(super) gone: AtomicBool,
    pub(super) local: Mutex<Local>,
}

/// What a consumer took but nobody received yet, and what was received since the log was last told.
#[derive(Debug, Default)]
pub(super) struct Local {
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) received: Vec<(u64, u64)>,
}

/// A message in a consumer's hands.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) sequence: u64,
    pub(super) size_bytes: u32,
    pub(super) deliveries: u32,
    pub(super) counted_ahead: bool,
    pub(super) body: Body,
}

impl Waiting {
    /// Whether it lies here for longer than anybody waits for an answer.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        matches!(&self.body, Body::Memory(stored) if stored.is_expired(now))
    }
}

/// The message itself, or where it is.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Memory(Arc<Stored>),
    Log(Place),
}

#[derive(Debug)]
pub(super) struct ConsumerState {
    pub(super) queue: u64,
    pub(super) window: Window,
    /// Settles of deliveries from memory queues that are on their way through the log: later ones wait behind them.
    pub(super) settling_count: u32,
    /// It was told why its queue hands out nothing.
    pub(super) is_told_blocked: bool,
    /// Deliveries whose settles were refused, in the order of the calls: until the first of them is repeated or given back, all others are
    /// refused too, so that none takes effect before it.
    pub(super) refused: VecDeque<u64>,
    pub(super) seat: Arc<Seat>,
}

/// Consumers to wake once the lock is free.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Wakes(Vec<Arc<Seat>>);

impl Wakes {
    pub(super) fn all(parts: Vec<Wakes>) -> Self {
        Wakes(parts.into_iter().flat_map(|part| part.0).collect())
    }

    pub(super) fn ring(self) {
        for seat in self.0 {
            seat.bell.notify_one();
        }
    }
}

/// What a consumer finds when it looks for messages.
#[derive(Debug)]
pub(super) enum Grab {
    /// Messages, perhaps none.
    Taken(Vec<Waiting>),
    /// These must be marked in the log before they are handed out.
    Mark { queue: u64, sequences: Vec<u64> },
    /// They cannot be marked: why, told to each consumer once for each time.
    Blocked(String),
    /// The queue was deleted.
    Gone,
}

impl State {
    /// Makes a consumer.
    pub(super) fn add_consumer(&mut self, queue: &Queue, options: ConsumerOptions) -> Result<(u64, u64, Arc<Seat>)> {
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
        let seat = Arc::new(Seat::default());
        let consumer = ConsumerState {
            queue: number,
            window: Window::new(options),
            settling_count: 0,
            is_told_blocked: false,
            refused: VecDeque::new(),
            seat: seat.clone(),
        };
        self.consumers.insert(id, consumer);
        Ok((id, number, seat))
    }

    /// A consumer takes no more and frees its place; `true` when it may have settles under way, so that [`State::finish_leaving`] must
    /// come behind them.
    pub(super) fn begin_leaving(&mut self, consumer: u64, local: Local) -> (bool, Wakes) {
        let Some(state) = self.consumers.get_mut(&consumer) else { return (false, Wakes::default()) };
        state.window.set_count(0);
        let number = state.queue;
        let Some(queue) = self.queues.get_mut(&number) else {
            self.consumers.remove(&consumer);
            return (false, Wakes::default());
        };
        queue.consumers.retain(|other| *other != consumer);
        queue.exclusive = false;
        let first = local.waiting.front().map(|waiting| waiting.sequence);
        local.waiting.into_iter().for_each(|waiting| unread(queue, &mut state.window, &waiting, consumer));
        note_received(queue, &mut self.uncounted, local.received);
        if state.window.held.count > 0 {
            queue.leaving_count += 1;
            return (true, Wakes::default());
        }
        self.consumers.remove(&consumer);
        if let Some(first) = first {
            self.recall(number, first);
        }
        (false, self.wake(&[number]))
    }

    /// Gives back what a consumer that left still holds.
    pub(super) fn finish_leaving(&mut self, consumer: u64) -> Wakes {
        let Some(state) = self.consumers.remove(&consumer) else { return Wakes::default() };
        let Some(queue) = self.queues.get_mut(&state.queue) else { return Wakes::default() };
        let held = queue.held_by(consumer);
        for sequence in &held {
            if let Some(entry) = queue.unhold(*sequence, consumer) {
                queue.put_back(received(entry));
            }
        }
        queue.leaving_count -= 1;
        // What it left unread was put back earlier, when it began to leave.
        let first = queue.first_ready().map(|entry| entry.sequence).into_iter().chain(held).min();
        if let Some(first) = first {
            self.recall(state.queue, first);
        }
        self.wake(&[state.queue])
    }

    pub(super) fn give_back(&mut self, queue: u64, sequence: u64, consumer: u64) -> Wakes {
        let Some(state) = self.queues.get_mut(&queue) else { return Wakes::default() };
        let Some(entry) = state.unhold(sequence, consumer) else { return Wakes::default() };
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            consumer.window.held.remove(entry.size_bytes);
            consumer.refused.retain(|other| *other != sequence);
        }
        state.put_back(received(entry));
        self.recall(queue, sequence);
        self.wake(&[queue])
    }

    /// Takes back what consumers took from a queue but nobody received yet, where it lies behind something that was given back: that comes
    /// first.
    pub(super) fn recall(&mut self, number: u64, behind: u64) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        for id in queue.consumers.clone() {
            let Some(consumer) = self.consumers.get_mut(&id) else { continue };
            let mut local = super::lock(&consumer.seat.local);
            let (recalled, kept) = std::mem::take(&mut local.waiting).into_iter().partition(|waiting: &Waiting| waiting.sequence > behind);
            local.waiting = kept;
            drop(local);
            for waiting in Vec::from(recalled) {
                unread(queue, &mut consumer.window, &waiting, id);
            }
        }
    }

    /// Notes which messages of a queue of the log were received, ranges of sequences with ends included, to be told to the log.
    pub(super) fn note_received(&mut self, queue: u64, received: Vec<(u64, u64)>) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            note_received(queue, &mut self.uncounted, received);
        }
    }

    pub(super) fn set_window(&mut self, consumer: u64, window: u64) -> Wakes {
        let Some(state) = self.consumers.get_mut(&consumer) else { return Wakes::default() };
        state.window.set_count(window);
        let queue = state.queue;
        self.wake(&[queue])
    }

    /// The consumers of these queues that have room, where there is something for them.
    pub(super) fn wake(&self, queues: &[u64]) -> Wakes {
        let mut seats = Vec::new();
        for queue in queues.iter().filter_map(|number| self.queues.get(number)) {
            if queue.leaving_count > 0 || !(queue.has_ready() || self.is_any_fetched_ahead(queue)) {
                continue;
            }
            let consumers = queue.consumers.iter().filter_map(|id| self.consumers.get(id));
            seats.extend(consumers.filter(|consumer| consumer.window.has_room()).map(|consumer| consumer.seat.clone()));
        }
        Wakes(seats)
    }

    /// Whether one of several consumers took messages that it did not begin, so that another may steal them.
    fn is_any_fetched_ahead(&self, queue: &QueueState) -> bool {
        let has_waiting = |consumer: &ConsumerState| !super::lock(&consumer.seat.local).waiting.is_empty();
        queue.consumers.len() > 1 && queue.consumers.iter().filter_map(|id| self.consumers.get(id)).any(has_waiting)
    }

    /// Takes what is next for a consumer: as much as fits its window, and no more than its share.
    pub(super) fn grab(&mut self, consumer: u64, now: Instant) -> Grab {
        let Some(state) = self.consumers.get_mut(&consumer) else { return Grab::Gone };
        let Some(queue) = self.queues.get_mut(&state.queue) else { return Grab::Gone };
        if queue.leaving_count > 0 {
            return Grab::Taken(Vec::new());
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
            Some(Counting::Suspect) => Grab::Mark { queue: queue.number, sequences: begin_marking(queue, &state.window) },
            Some(Counting::Marking) if !state.is_told_blocked => match &queue.blocked {
                Some(reason) => {
                    state.is_told_blocked = true;
                    Grab::Blocked(reason.clone())
                }
                None => Grab::Taken(taken),
            },
            _ => Grab::Taken(taken),
        }
    }

    /// Takes half of what other consumers of the same queue took but did not begin, for one that has nothing.
    pub(super) fn steal(&mut self, thief: u64) -> Vec<Waiting> {
        let Some(state) = self.consumers.get(&thief) else { return Vec::new() };
        let (number, window) = (state.queue, state.window);
        let Some(queue) = self.queues.get_mut(&number) else { return Vec::new() };
        if !window.has_room() || queue.leaving_count > 0 {
            return Vec::new();
        }
        for victim in queue.consumers.clone() {
            let Some(other) = self.consumers.get_mut(&victim).filter(|_| victim != thief) else { continue };
            let mut local = super::lock(&other.seat.local);
            let count = fitting_count(local.waiting.iter().rev().take(local.waiting.len().div_ceil(2)), &window);
            if count == 0 {
                continue;
            }
            let at = local.waiting.len() - count;
            let stolen: Vec<Waiting> =
                local.waiting.split_off(at).into_iter().filter(|waiting| queue.pass_on(waiting.sequence, victim, thief)).collect();
            drop(local);
            stolen.iter().for_each(|waiting| other.window.held.remove(waiting.size_bytes));
            if let Some(state) = self.consumers.get_mut(&thief) {
                stolen.iter().for_each(|waiting| state.window.held.add(waiting.size_bytes));
            }
            return stolen;
        }
        Vec::new()
    }
}

/// How many of these messages, from the first on, fit into a window.
fn fitting_count<'a>(messages: impl Iterator<Item = &'a Waiting>, window: &Window) -> usize {
    let mut taken = Load::default();
    messages
        .take_while(|waiting| {
            window.fits(taken, waiting.size_bytes) && {
                taken.add(waiting.size_bytes);
                true
            }
        })
        .count()
}

/// Puts back what a consumer took and did not receive: it was not delivered. What was set aside meanwhile is not held any more.
fn unread(queue: &mut QueueState, window: &mut Window, waiting: &Waiting, consumer: u64) {
    if let Some(mut entry) = queue.unhold(waiting.sequence, consumer) {
        window.held.remove(entry.size_bytes);
        entry.deliveries -= u32::from(!waiting.counted_ahead);
        queue.put_back(entry);
    }
}

/// An entry after somebody had it.
pub(super) fn received(mut entry: Entry) -> Entry {
    entry.counting = Counting::Lazy;
    entry
}

fn hand_out(queue: &mut QueueState, mut entry: Entry, consumer: u64) -> Waiting {
    let counted_ahead = entry.counting == Counting::Ahead;
    entry.deliveries = entry.deliveries.saturating_add(u32::from(!counted_ahead));
    let body = match &entry.stored {
        Some(stored) => Body::Memory(stored.clone()),
        None => Body::Log(entry.place),
    };
    let waiting = Waiting { sequence: entry.sequence, size_bytes: entry.size_bytes, deliveries: entry.deliveries, counted_ahead, body };
    queue.hold(entry, consumer);
    waiting
}

/// Picks what is to be marked before it can be handed out. What was never delivered is marked together; what was may be what ended the
/// last process, and is marked alone, so that those behind it are not counted with it each time.
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
