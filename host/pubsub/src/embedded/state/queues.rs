//! All queues, their consumers, and the subscribers of each topic.
//!
//! One lock guards it. Changes of durable state go through [`BrokerState::decide`], the log, and [`BrokerState::apply`] (`decide.rs`, `apply.rs`); all others
//! take effect immediately.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::consumer::ConsumerState;
use super::entry::Entry;
use super::live::LiveSegments;
use super::queue::QueueState;
use super::step::StateChange;
use crate::backend::{Overflow, QueueSpec};
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::LogPosition;
use crate::embedded::numbers::{FIRST_EPHEMERAL, NumberMap};
use crate::embedded::options::EmbeddedOptions;
use crate::embedded::refusal::{DiskFull, closed, not_found};
use crate::error::{PubsubError, Result};
use crate::mailbox::Mailbox;
use crate::topic::{Queue, Topic};

/// The queues and mailboxes that receive the messages of a topic.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    pub(super) queues: Vec<u64>,
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
}

/// The state of the broker.
#[derive(Debug)]
pub(crate) struct BrokerState {
    pub(super) options: EmbeddedOptions,
    pub(crate) queues: NumberMap<QueueState>,
    pub(super) subscribers: HashMap<Topic, Subscribers>,
    pub(crate) consumers: NumberMap<ConsumerState>,
    pub(super) last_consumer: u64,
    pub(super) next_durable: u64,
    next_ephemeral: u64,
    /// The memory of cached messages of durable queues, in bytes.
    pub(super) cached_bytes: u64,
    /// Live messages of each segment.
    pub(crate) live: LiveSegments,
    /// Queues with deliveries that are not recorded in the log yet.
    pub(super) uncounted: Vec<u64>,
    /// Why publishers are refused although their queue has room: the disk is nearly full.
    pub(crate) disk_full: Option<DiskFull>,
    pub(crate) closed: bool,
}

/// The result of giving a queue the refusing bound of a specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounded {
    /// The queue has the bound now.
    Done,
    /// Not yet: it is durable, so the log must record the change.
    InLog,
    /// No: the queue is missing, already had that bound, or must not get it.
    Not,
}

impl BrokerState {
    pub(crate) fn new(options: EmbeddedOptions) -> Self {
        BrokerState {
            options,
            queues: NumberMap::default(),
            subscribers: HashMap::new(),
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

    /// Restores a queue of the log with its messages, in order of sequence.
    pub(crate) fn restore_queue(&mut self, definition: QueueDefinition, missing_count: u64, entries: impl Iterator<Item = Entry>) {
        let number = definition.number;
        let mut queue = QueueState::new(definition.queue, number, definition.overflow);
        queue.next_sequence = definition.next_sequence;
        queue.dropped_before_count = definition.dropped_count;
        queue.damaged_count = missing_count;
        for entry in entries {
            self.live.add(&entry);
            queue.append(entry);
        }
        self.next_durable = self.next_durable.max(number + 1);
        self.insert_queue(queue);
    }

    /// All queues of the log, for the first frame of a new segment.
    pub(crate) fn definitions(&self) -> Vec<QueueDefinition> {
        let durable = self.queues.values().filter(|queue| queue.number < FIRST_EPHEMERAL);
        let mut definitions: Vec<_> = durable.map(QueueState::definition).collect();
        definitions.sort_by_key(|definition| definition.number);
        definitions
    }

    /// The number of messages in all queues of the log.
    pub(crate) fn messages_count(&self) -> u64 {
        self.queues.values().filter(|queue| queue.number < FIRST_EPHEMERAL).map(QueueState::depth_count).sum()
    }

    /// The definitions before these steps, which are decided but not written yet.
    pub(crate) fn definitions_before(&self, steps: &[StateChange]) -> Vec<QueueDefinition> {
        let mut definitions: BTreeMap<u64, QueueDefinition> = self.definitions().into_iter().map(|it| (it.number, it)).collect();
        for step in steps {
            match step {
                StateChange::Put { targets, .. } => {
                    for (queue, sequence) in targets {
                        if let Some(definition) = definitions.get_mut(queue) {
                            definition.next_sequence = definition.next_sequence.min(*sequence);
                        }
                    }
                }
                StateChange::DeleteEmpty { state } if state.number < FIRST_EPHEMERAL => {
                    definitions.insert(state.number, state.definition());
                }
                _ => {}
            }
        }
        definitions.into_values().collect()
    }

    /// Fails if the broker is closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed { Err(closed()) } else { Ok(()) }
    }

    /// Closes all consumers and mailboxes; nothing more is accepted.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for consumer in self.consumers.values() {
            consumer.slot.gone.store(true, Ordering::Release);
            consumer.slot.wakeup.notify_one();
        }
        for mailbox in self.subscribers.values().flat_map(|subscribers| &subscribers.mailboxes) {
            mailbox.close();
        }
    }

    /// The number of a queue, if it exists.
    pub(crate) fn find(&self, queue: &Queue) -> Option<u64> {
        let subscribers = self.subscribers.get(queue.topic())?;
        subscribers.queues.iter().copied().find(|number| self.queues.get(number).is_some_and(|state| state.name == *queue))
    }

    /// A queue; `QueueNotFound` if it does not exist.
    pub(crate) fn get(&self, queue: &Queue) -> Result<&QueueState> {
        self.find(queue).and_then(|number| self.queues.get(&number)).ok_or_else(|| not_found(queue))
    }

    /// The current position of a message, if its queue still has it.
    pub(crate) fn place_of(&self, queue: u64, sequence: u64) -> Option<LogPosition> {
        self.queues.get(&queue)?.entry(sequence).map(|entry| entry.position)
    }

    /// Whether the queue exists; an error if its properties differ.
    pub(crate) fn check_spec(&self, spec: &QueueSpec) -> Result<bool> {
        let Some(state) = self.find(&spec.queue).and_then(|number| self.queues.get(&number)) else { return Ok(false) };
        if state.overflow == spec.overflow {
            return Ok(true);
        }
        let difference = format!("it has {}, but {} was requested", state.overflow, spec.overflow);
        Err(PubsubError::QueueMismatch { queue: spec.queue.clone(), difference })
    }

    /// The number of the queue, if it exists and may get the refusing bound of the specification in place of its own.
    pub(super) fn find_boundable(&self, spec: &QueueSpec) -> Option<u64> {
        let number = self.find(&spec.queue)?;
        let is_adaptable = |overflow: Overflow| !matches!(overflow, Overflow::DropOldest { .. }) && overflow != spec.overflow;
        let state = self.queues.get(&number)?;
        (matches!(spec.overflow, Overflow::Refuse { .. }) && is_adaptable(state.overflow)).then_some(number)
    }

    /// Changes the bound of a queue in memory to the refusing one of a specification; a durable queue requires an operation.
    pub(crate) fn apply_bound_in_memory(&mut self, spec: &QueueSpec) -> Result<Bounded> {
        self.check_open()?;
        let Some(number) = self.find_boundable(spec) else { return Ok(Bounded::Not) };
        match self.queues.get_mut(&number) {
            Some(queue) if number >= FIRST_EPHEMERAL => {
                queue.set_overflow(spec.overflow);
                Ok(Bounded::Done)
            }
            _ => Ok(Bounded::InLog),
        }
    }

    /// Adds a queue that does not exist.
    pub(super) fn insert_queue(&mut self, state: QueueState) {
        self.subscribers.entry(state.name.topic().clone()).or_default().queues.push(state.number);
        self.queues.insert(state.number, state);
    }

    /// Adds a queue in memory.
    pub(crate) fn create_ephemeral(&mut self, spec: &QueueSpec) -> Result<()> {
        if !self.check_spec(spec)? {
            let number = self.next_ephemeral;
            self.next_ephemeral += 1;
            self.insert_queue(QueueState::new(spec.queue.clone(), number, spec.overflow));
        }
        Ok(())
    }

    /// Removes a queue; its messages still count as live.
    pub(crate) fn remove_queue(&mut self, number: u64) -> Option<QueueState> {
        let state = self.queues.remove(&number)?;
        if let Some(subscribers) = self.subscribers.get_mut(state.name.topic()) {
            subscribers.queues.retain(|other| *other != number);
        }
        self.remove_unsubscribed(state.name.topic());
        Some(state)
    }

    /// Releases the messages of a removed queue and wakes its consumers, which then end.
    pub(crate) fn discard(&mut self, state: QueueState) {
        for consumer in &state.consumers {
            if let Some(consumer) = self.consumers.get(consumer) {
                consumer.slot.gone.store(true, Ordering::Release);
                consumer.slot.wakeup.notify_one();
            }
        }
        for entry in state.into_entries() {
            self.release(&entry);
        }
    }

    /// Subtracts a message of the log from its segment and from the cache.
    pub(super) fn release(&mut self, entry: &Entry) {
        if entry.position.segment == 0 {
            return;
        }
        self.cached_bytes -= entry.memory_bytes();
        self.live.remove(entry);
    }

    /// Adds a subscriber that receives everything published on a topic.
    pub(crate) fn add_mailbox(&mut self, topic: &Topic, mailbox: Arc<Mailbox>) -> Result<()> {
        self.check_open()?;
        self.subscribers.entry(topic.clone()).or_default().mailboxes.push(mailbox);
        Ok(())
    }

    pub(crate) fn remove_mailbox(&mut self, topic: &Topic, mailbox: &Arc<Mailbox>) {
        if let Some(subscribers) = self.subscribers.get_mut(topic) {
            subscribers.mailboxes.retain(|other| !Arc::ptr_eq(other, mailbox));
        }
        self.remove_unsubscribed(topic);
    }

    fn remove_unsubscribed(&mut self, topic: &Topic) {
        if self.subscribers.get(topic).is_some_and(|subscribers| subscribers.queues.is_empty() && subscribers.mailboxes.is_empty()) {
            self.subscribers.remove(topic);
        }
    }
}
