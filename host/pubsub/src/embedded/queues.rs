//! All queues, who reads them, and who hears of what is published: a state machine without files and without waiting.
//!
//! One lock guards it. What changes durable state goes through [`State::decide`], the log, and [`State::apply`] (decide.rs, apply.rs); everything
//! else happens at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::broadcast::Mailbox;
use super::decide::check_own_bound;
use super::group::Step;
use super::live::LiveSegments;
use super::log::{Definition, RecoveredQueue};
use super::numbers::NumberMap;
use super::options::EmbeddedOptions;
use super::queue::{Counting, Entry, Place, QueueState, Stored};
use super::seats::ConsumerState;
use crate::backend::{Overflow, QueueSpec};
use crate::error::{PubsubError, Result};
use crate::topic::{Queue, Topic};

/// Numbers from here on are queues that live in memory only; below, queues of the log.
pub(super) const FIRST_EPHEMERAL: u64 = 1 << 32;

/// Who hears of what is published on a topic.
#[derive(Debug, Default)]
pub(super) struct Audience {
    pub(super) queues: Vec<u64>,
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
}

/// Everything that the broker knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: EmbeddedOptions,
    pub(super) queues: NumberMap<QueueState>,
    pub(super) audiences: HashMap<Topic, Audience>,
    pub(super) consumers: NumberMap<ConsumerState>,
    pub(super) last_consumer: u64,
    pub(super) next_durable: u64,
    next_ephemeral: u64,
    /// What the messages of the log take that are kept in memory.
    pub(super) cached_bytes: u64,
    /// What the queues still hold of each segment.
    pub(super) live: LiveSegments,
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

/// Whether a queue got the refusing bound of a specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounded {
    /// It has it now.
    Done,
    /// It lives in the log, which has to be told.
    InLog,
    /// It is missing, has that bound, or must not get it.
    Not,
}

pub(super) fn closed() -> PubsubError {
    PubsubError::unavailable("the embedded broker is closed")
}

pub(super) fn not_found(queue: &Queue) -> PubsubError {
    PubsubError::no_queue(queue)
}

impl State {
    pub(super) fn new(options: EmbeddedOptions) -> Self {
        State {
            options,
            queues: NumberMap::default(),
            audiences: HashMap::new(),
            consumers: NumberMap::default(),
            last_consumer: 0,
            next_durable: 1,
            next_ephemeral: FIRST_EPHEMERAL,
            cached_bytes: 0,
            live: LiveSegments::default(),
            uncounted: Vec::new(),
            disk_full: None,
            closed: false,
        }
    }

    /// Takes in what the log had; everything in it may be what ended the last process.
    pub(super) fn restore(&mut self, recovered: BTreeMap<u64, RecoveredQueue>, segments: &[u32]) {
        segments.iter().for_each(|segment| self.live.begin(*segment));
        for (number, RecoveredQueue { definition, entries, missing_count, .. }) in recovered {
            let mut queue = QueueState::new(definition.queue, number, definition.overflow);
            queue.next_sequence = definition.next_sequence;
            queue.dropped_before_count = definition.dropped_count;
            queue.damaged_count = missing_count;
            for entry in entries.into_values() {
                self.live.add(&entry);
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

    /// Messages in all queues of the log.
    pub(super) fn messages_count(&self) -> u64 {
        self.queues.values().filter(|queue| queue.number < FIRST_EPHEMERAL).map(QueueState::depth_count).sum()
    }

    /// The same, as it was before these decided steps, which are not written yet.
    pub(super) fn definitions_before(&self, steps: &[Step]) -> Vec<Definition> {
        let mut definitions: BTreeMap<u64, Definition> = self.definitions().into_iter().map(|it| (it.number, it)).collect();
        for step in steps {
            match step {
                Step::Put { targets, .. } => {
                    for (queue, sequence) in targets {
                        if let Some(definition) = definitions.get_mut(queue) {
                            definition.next_sequence = definition.next_sequence.min(*sequence);
                        }
                    }
                }
                Step::DeleteEmpty { state } if state.number < FIRST_EPHEMERAL => {
                    definitions.insert(state.number, state.definition());
                }
                _ => {}
            }
        }
        definitions.into_values().collect()
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
        if state.overflow == spec.overflow {
            return Ok(true);
        }
        let difference = format!("it has {}, and {} was requested", state.overflow, spec.overflow);
        Err(PubsubError::QueueMismatch { queue: spec.queue.clone(), difference })
    }

    /// The number of the queue, where it is there and may get the refusing bound of the specification in place of what it has.
    pub(super) fn find_to_bound(&self, spec: &QueueSpec) -> Option<u64> {
        let number = self.find(&spec.queue)?;
        let is_adaptable = |overflow: Overflow| !matches!(overflow, Overflow::DropOldest { .. }) && overflow != spec.overflow;
        let state = self.queues.get(&number)?;
        (matches!(spec.overflow, Overflow::Refuse { .. }) && is_adaptable(state.overflow)).then_some(number)
    }

    /// Gives a queue of memory the refusing bound of a specification; one of the log gets it by an operation.
    pub(super) fn bound_at_once(&mut self, spec: &QueueSpec) -> Result<Bounded> {
        self.check_open()?;
        let Some(number) = self.find_to_bound(spec) else { return Ok(Bounded::Not) };
        match self.queues.get_mut(&number) {
            Some(queue) if number >= FIRST_EPHEMERAL => {
                queue.set_overflow(spec.overflow);
                Ok(Bounded::Done)
            }
            _ => Ok(Bounded::InLog),
        }
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
            self.insert_queue(QueueState::new(spec.queue.clone(), number, spec.overflow));
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
        self.cached_bytes -= entry.memory_bytes();
        self.live.remove(entry);
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
    pub(super) fn check_request_room(&mut self, number: u64, stored: &Stored, now: Instant) -> Result<()> {
        let (limit_bytes, limit_count) = (self.options.request_queue_bytes, self.options.request_queue_count);
        let Some(queue) = self.queues.get_mut(&number) else { return Ok(()) };
        check_own_bound(queue, stored.size_bytes, 0)?;
        let memory_bytes = stored.memory_bytes;
        let fits = |queue: &QueueState| queue.memory_bytes() + memory_bytes <= limit_bytes && queue.depth_count() < limit_count;
        if fits(queue) {
            return Ok(());
        }
        let is_over = |entry: &Entry| entry.stored.as_ref().is_some_and(|stored| stored.is_expired(now));
        while queue.first_ready().is_some_and(is_over) {
            if let Some(entry) = queue.pop_ready() {
                queue.forget(&entry);
            }
        }
        if fits(queue) {
            return Ok(());
        }
        Err(PubsubError::QueueFull { queue: format!("queue {}", queue.name), used_bytes: queue.memory_bytes(), limit_bytes })
    }

    /// The queues of a `request` topic that get a message of an outside sender: those that have room. Each reader of a topic is on its own: a
    /// full queue misses the message and counts it as dropped. The message is refused where no queue has room, or none of those whose consumer
    /// is exclusive, if there are any: they belong to the service that answers, and others only listen.
    pub(super) fn request_targets(&mut self, topic: &Topic, stored: &Stored, now: Instant) -> Result<Vec<u64>> {
        let numbers = self.audiences.get(topic).map(|audience| audience.queues.clone()).unwrap_or_default();
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

    /// Puts a message into these queues of memory and the mailboxes of their topic.
    pub(super) fn publish_to(&mut self, targets: &[u64], topic: &Topic, stored: &Arc<Stored>) {
        for number in targets {
            if let Some(queue) = self.queues.get_mut(number) {
                append_ephemeral(queue, stored);
            }
        }
        for mailbox in self.audiences.get(topic).iter().flat_map(|audience| &audience.mailboxes) {
            mailbox.push(&stored.message);
        }
    }

    /// Puts a message into all queues of memory and the mailboxes of a topic.
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
