//! All queues, who reads them, and who hears of what is published: a state machine without files and without waiting.
//!
//! One lock guards it. What changes durable state goes through [`State::decide`], the log, and [`State::apply`] (group.rs); everything
//! else happens at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::broadcast::Mailbox;
use super::log::{Definition, RecoveredQueue};
use super::options::EmbeddedOptions;
use super::queue::{Counting, Entry, Place, QueueState, Stored};
use crate::backend::{ConsumerOptions, QueueSpec, Sharing};
use crate::error::{PubsubError, Result};
use crate::topic::{Queue, Topic};

/// Numbers from here on are queues that live in memory only; below, queues of the log.
pub(super) const FIRST_EPHEMERAL: u64 = 1 << 32;
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
    pub(super) waiting: std::collections::VecDeque<Waiting>,
    pub(super) received: Vec<(u64, u64)>,
}

/// A message in a consumer's hands.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) sequence: u64,
    pub(super) deliveries: u32,
    pub(super) counted_ahead: bool,
    pub(super) body: Body,
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
    pub(super) window: u64,
    pub(super) held_count: u64,
    /// Settles of deliveries from memory queues that are on their way through the log: later ones wait behind them.
    pub(super) settling_count: u32,
    pub(super) seat: Arc<Seat>,
}

/// Who hears of what is published on a topic.
#[derive(Debug, Default)]
pub(super) struct Audience {
    pub(super) queues: Vec<u64>,
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
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
    /// The queue was deleted.
    Gone,
}

/// Everything that the broker knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: EmbeddedOptions,
    pub(super) queues: HashMap<u64, QueueState>,
    pub(super) audiences: HashMap<Topic, Audience>,
    pub(super) consumers: HashMap<u64, ConsumerState>,
    last_consumer: u64,
    pub(super) next_durable: u64,
    next_ephemeral: u64,
    pub(super) cached_bytes: u64,
    /// Messages in each segment that some queue still has.
    pub(super) live_counts: BTreeMap<u32, u64>,
    /// Queues with deliveries that the log does not know yet.
    pub(super) uncounted: Vec<u64>,
    /// Why publishers are refused although their queue has room: the disk is nearly full.
    pub(super) disk_full: Option<DiskFull>,
    pub(super) closed: bool,
}

/// The disk, when it has too little room.
#[derive(Clone, Debug)]
pub(super) struct DiskFull {
    pub(super) disk: String,
    pub(super) used_bytes: u64,
    pub(super) limit_bytes: u64,
}

impl DiskFull {
    pub(super) fn to_error(&self) -> PubsubError {
        PubsubError::QueueFull { queue: self.disk.clone(), used_bytes: self.used_bytes, limit_bytes: self.limit_bytes }
    }
}

pub(super) fn closed() -> PubsubError {
    PubsubError::Unavailable { reason: "the embedded broker is closed".to_owned() }
}

pub(super) fn not_found(queue: &Queue) -> PubsubError {
    PubsubError::QueueNotFound { queue: queue.to_string() }
}

impl State {
    pub(super) fn new(options: EmbeddedOptions) -> Self {
        State {
            options,
            queues: HashMap::new(),
            audiences: HashMap::new(),
            consumers: HashMap::new(),
            last_consumer: 0,
            next_durable: 1,
            next_ephemeral: FIRST_EPHEMERAL,
            cached_bytes: 0,
            live_counts: BTreeMap::new(),
            uncounted: Vec::new(),
            disk_full: None,
            closed: false,
        }
    }

    /// Takes in what the log had; everything in it may be what ended the last process.
    pub(super) fn restore(&mut self, recovered: BTreeMap<u64, RecoveredQueue>, segments: &[u32]) {
        self.live_counts.extend(segments.iter().map(|segment| (*segment, 0)));
        for (number, RecoveredQueue { definition, entries }) in recovered {
            let mut queue = QueueState::new(definition.queue, number, definition.drop_oldest_above_bytes);
            queue.next_sequence = definition.next_sequence;
            queue.dropped_before_count = definition.dropped_count;
            for entry in entries.into_values() {
                *self.live_counts.entry(entry.place.segment).or_default() += 1;
                queue.append(entry);
            }
            self.next_durable = self.next_durable.max(number + 1);
            self.insert_queue(queue);
        }
    }

    /// All queues of the log, as a new segment defines them.
    pub(super) fn definitions(&self) -> Vec<Definition> {
        let durable = self.queues.values().filter(|queue| queue.number < FIRST_EPHEMERAL);
        let mut definitions: Vec<_> = durable.map(QueueState::definition).collect();
        definitions.sort_by_key(|definition| definition.number);
        definitions
    }

    /// The oldest segment, if no queue has anything of it any more and it is not the one that is written to.
    pub(super) fn next_dead_segment(&self, active: u32) -> Option<u32> {
        let (segment, count) = self.live_counts.first_key_value()?;
        (*count == 0 && *segment != active).then_some(*segment)
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed { Err(closed()) } else { Ok(()) }
    }

    /// Ends everything: readers are told, nothing is done any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for consumer in self.consumers.values() {
            consumer.seat.gone.store(true, Ordering::Release);
            consumer.seat.bell.notify_one();
        }
        for mailbox in self.audiences.values().flat_map(|audience| &audience.mailboxes) {
            mailbox.close();
        }
    }

    /// The number of a queue, if it exists.
    pub(super) fn find(&self, queue: &Queue) -> Option<u64> {
        let audience = self.audiences.get(queue.topic())?;
        audience.queues.iter().copied().find(|number| self.queues.get(number).is_some_and(|state| state.name == *queue))
    }

    pub(super) fn get(&self, queue: &Queue) -> Result<&QueueState> {
        self.find(queue).and_then(|number| self.queues.get(&number)).ok_or_else(|| not_found(queue))
    }

    /// Whether the queue is there; an error when it is there with other properties.
    pub(super) fn check_spec(&self, spec: &QueueSpec) -> Result<bool> {
        let Some(state) = self.find(&spec.queue).and_then(|number| self.queues.get(&number)) else { return Ok(false) };
        if state.drop_oldest_above_bytes == spec.drop_oldest_above_bytes {
            return Ok(true);
        }
        let bound = |bytes: Option<u64>| bytes.map_or("no bound".to_owned(), |bytes| format!("a bound of {bytes} bytes"));
        let difference =
            format!("it has {}, and {} was asked for", bound(state.drop_oldest_above_bytes), bound(spec.drop_oldest_above_bytes));
        Err(PubsubError::QueueMismatch { queue: spec.queue.clone(), difference })
    }

    /// Adds a queue that is not there.
    pub(super) fn insert_queue(&mut self, state: QueueState) {
        self.audiences.entry(state.name.topic().clone()).or_default().queues.push(state.number);
        self.queues.insert(state.number, state);
    }

    /// Adds a queue of memory.
    pub(super) fn create_ephemeral(&mut self, spec: &QueueSpec) -> Result<()> {
        if !self.check_spec(spec)? {
            let number = self.next_ephemeral;
            self.next_ephemeral += 1;
            self.insert_queue(QueueState::new(spec.queue.clone(), number, spec.drop_oldest_above_bytes));
        }
        Ok(())
    }

    /// Takes a queue away; its messages are not counted out yet.
    pub(super) fn remove_queue(&mut self, number: u64) -> Option<QueueState> {
        let state = self.queues.remove(&number)?;
        if let Some(audience) = self.audiences.get_mut(state.name.topic()) {
            audience.queues.retain(|other| *other != number);
        }
        self.drop_unheard(state.name.topic());
        Some(state)
    }

    /// Counts out what was in a queue that is gone, and tells its consumers.
    pub(super) fn bury(&mut self, state: QueueState) {
        for consumer in &state.consumers {
            if let Some(consumer) = self.consumers.get(consumer) {
                consumer.seat.gone.store(true, Ordering::Release);
                consumer.seat.bell.notify_one();
            }
        }
        for entry in state.into_entries() {
            self.release(&entry);
        }
    }

    /// Counts a message of the log out of its segment and out of the cache.
    pub(super) fn release(&mut self, entry: &Entry) {
        if entry.place.segment == 0 {
            return;
        }
        if entry.stored.is_some() {
            self.cached_bytes -= u64::from(entry.size_bytes);
        }
        if let Some(count) = self.live_counts.get_mut(&entry.place.segment) {
            *count -= 1;
        }
    }

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
        let window = u64::from(options.window.get());
        self.consumers.insert(id, ConsumerState { queue: number, window, held_count: 0, settling_count: 0, seat: seat.clone() });
        Ok((id, number, seat))
    }

    /// A consumer takes no more and frees its place; `true` when it may have settles under way, so that [`State::finish_leaving`] must
    /// come behind them.
    pub(super) fn begin_leaving(&mut self, consumer: u64, local: Local) -> (bool, Wakes) {
        let Some(state) = self.consumers.get_mut(&consumer) else { return (false, Wakes::default()) };
        state.window = 0;
        state.held_count -= (local.waiting.len() as u64).min(state.held_count);
        let (number, holds) = (state.queue, state.held_count > 0);
        let Some(queue) = self.queues.get_mut(&number) else {
            self.consumers.remove(&consumer);
            return (false, Wakes::default());
        };
        queue.consumers.retain(|other| *other != consumer);
        queue.exclusive = false;
        let first = local.waiting.front().map(|waiting| waiting.sequence);
        local.waiting.into_iter().for_each(|waiting| unread(queue, &waiting, consumer));
        note_received(queue, &mut self.uncounted, local.received);
        if holds {
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
        state.put_back(received(entry));
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            consumer.held_count -= 1;
        }
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
                unread(queue, &waiting, id);
                consumer.held_count -= 1;
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
        state.window = window;
        let queue = state.queue;
        self.wake(&[queue])
    }

    /// The consumers of these queues that have room, where there is something for them.
    pub(super) fn wake(&self, queues: &[u64]) -> Wakes {
        let mut seats = Vec::new();
        for queue in queues.iter().filter_map(|number| self.queues.get(number)) {
            if !queue.has_ready() || queue.leaving_count > 0 {
                continue;
            }
            let consumers = queue.consumers.iter().filter_map(|id| self.consumers.get(id));
            seats.extend(consumers.filter(|consumer| consumer.held_count < consumer.window).map(|consumer| consumer.seat.clone()));
        }
        Wakes(seats)
    }

    /// Takes what is next for a consumer: as much as fits its window, and no more than its share.
    pub(super) fn grab(&mut self, consumer: u64, now: Instant) -> Grab {
        let Some(state) = self.consumers.get_mut(&consumer) else { return Grab::Gone };
        let Some(queue) = self.queues.get_mut(&state.queue) else { return Grab::Gone };
        if queue.leaving_count > 0 {
            return Grab::Taken(Vec::new());
        }
        let room = state.window.saturating_sub(state.held_count) as usize;
        let share = queue.ready_count().div_ceil(queue.consumers.len().max(1));
        let mut taken = Vec::new();
        while taken.len() < room.min(share).min(BATCH_COUNT) {
            match queue.first_ready() {
                Some(first) if matches!(first.counting, Counting::Lazy | Counting::Ahead) => {}
                _ => break,
            }
            let Some(entry) = queue.pop_ready() else { break };
            if entry.stored.as_ref().is_some_and(|stored| stored.expires_at.is_some_and(|at| at <= now)) {
                queue.forget(&entry);
                continue;
            }
            taken.push(hand_out(queue, entry, consumer));
        }
        state.held_count += taken.len() as u64;
        if taken.is_empty() && room > 0 && queue.first_ready().is_some_and(|first| first.counting == Counting::Suspect) {
            return Grab::Mark { queue: queue.number, sequences: begin_marking(queue, room) };
        }
        Grab::Taken(taken)
    }

    /// Takes half of what other consumers of the same queue took but did not begin, for one that has nothing.
    pub(super) fn steal(&mut self, thief: u64) -> Vec<Waiting> {
        let Some(state) = self.consumers.get(&thief) else { return Vec::new() };
        let (number, room) = (state.queue, state.window.saturating_sub(state.held_count) as usize);
        let Some(queue) = self.queues.get_mut(&number) else { return Vec::new() };
        if room == 0 || queue.leaving_count > 0 {
            return Vec::new();
        }
        for victim in queue.consumers.clone() {
            let Some(other) = self.consumers.get_mut(&victim).filter(|_| victim != thief) else { continue };
            let mut local = super::lock(&other.seat.local);
            let count = local.waiting.len().div_ceil(2).min(room);
            if count == 0 {
                continue;
            }
            let at = local.waiting.len() - count;
            let stolen: Vec<Waiting> =
                local.waiting.split_off(at).into_iter().filter(|waiting| queue.pass_on(waiting.sequence, victim, thief)).collect();
            drop(local);
            other.held_count -= stolen.len() as u64;
            if let Some(state) = self.consumers.get_mut(&thief) {
                state.held_count += stolen.len() as u64;
            }
            return stolen;
        }
        Vec::new()
    }

    /// Adds a reader that hears of everything published on a topic.
    pub(super) fn add_mailbox(&mut self, topic: &Topic, mailbox: Arc<Mailbox>) -> Result<()> {
        self.check_open()?;
        self.audiences.entry(topic.clone()).or_default().mailboxes.push(mailbox);
        Ok(())
    }

    pub(super) fn remove_mailbox(&mut self, topic: &Topic, mailbox: &Arc<Mailbox>) {
        if let Some(audience) = self.audiences.get_mut(topic) {
            audience.mailboxes.retain(|other| !Arc::ptr_eq(other, mailbox));
        }
        self.drop_unheard(topic);
    }

    fn drop_unheard(&mut self, topic: &Topic) {
        if self.audiences.get(topic).is_some_and(|audience| audience.queues.is_empty() && audience.mailboxes.is_empty()) {
            self.audiences.remove(topic);
        }
    }

    /// Refuses what an outside sender may not add to a queue of memory; what has expired makes room first.
    pub(super) fn check_request_room(&mut self, number: u64, size_bytes: u64, now: Instant) -> Result<()> {
        let (limit_bytes, limit_count) = (self.options.request_queue_bytes, self.options.request_queue_count);
        let Some(queue) = self.queues.get_mut(&number) else { return Ok(()) };
        let fits = |queue: &QueueState| queue.size_bytes() + size_bytes <= limit_bytes && queue.depth_count() < limit_count;
        if fits(queue) {
            return Ok(());
        }
        let is_over = |entry: &Entry| entry.stored.as_ref().is_some_and(|stored| stored.expires_at.is_some_and(|at| at <= now));
        while queue.first_ready().is_some_and(is_over) {
            if let Some(entry) = queue.pop_ready() {
                queue.forget(&entry);
            }
        }
        if fits(queue) {
            return Ok(());
        }
        Err(PubsubError::QueueFull { queue: queue.name.to_string(), used_bytes: queue.size_bytes(), limit_bytes })
    }

    /// Puts a message into queues of memory and the mailboxes of a topic.
    pub(super) fn publish_ephemeral(&mut self, topic: &Topic, stored: &Arc<Stored>, touched: &mut Vec<u64>) {
        let Some(audience) = self.audiences.get(topic) else { return };
        for number in &audience.queues {
            if let Some(queue) = self.queues.get_mut(number) {
                append_ephemeral(queue, stored);
                touched.push(*number);
            }
        }
        for mailbox in &audience.mailboxes {
            mailbox.push(&stored.message);
        }
    }
}

/// Puts a message into one queue of memory.
pub(super) fn append_ephemeral(queue: &mut QueueState, stored: &Arc<Stored>) {
    let entry = Entry {
        sequence: queue.assign(),
        place: Place::default(),
        size_bytes: stored.size_bytes as u32,
        deliveries: 0,
        counting: Counting::Lazy,
        stored: Some(stored.clone()),
    };
    queue.append(entry);
    while let Some(bound) = queue.drop_oldest_above_bytes
        && queue.size_bytes() > bound
        && queue.ready_count() > 1
    {
        let Some(oldest) = queue.pop_ready() else { break };
        queue.forget(&oldest);
        queue.dropped_count += 1;
    }
}

/// Puts back what a consumer took but nobody received: it was not delivered.
fn unread(queue: &mut QueueState, waiting: &Waiting, consumer: u64) {
    if let Some(mut entry) = queue.unhold(waiting.sequence, consumer) {
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
    let waiting = Waiting { sequence: entry.sequence, deliveries: entry.deliveries, counted_ahead, body };
    queue.hold(entry, consumer);
    waiting
}

/// Picks what is to be marked before it can be handed out. What was never delivered is marked together; what was may be what ended the
/// last process, and is marked alone, so that those behind it are not counted with it each time.
fn begin_marking(queue: &mut QueueState, limit: usize) -> Vec<u64> {
    let is_fresh = |entry: &&mut Entry| entry.counting == Counting::Suspect && entry.deliveries == 0;
    let mut chosen: Vec<&mut Entry> = queue.iter_ready_mut().take(limit).take_while(is_fresh).collect();
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
