//! What is committed together: operations are decided in order, written as one frame, and applied, or undone if the write failed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::broadcast::Mailbox;
use super::queue::{Counting, Entry, Place, QueueState, Stored};
use super::queues::{DiskFull, FIRST_EPHEMERAL, State, Wakes, append_ephemeral, not_found};
use crate::backend::{QueueSpec, Receipt, Routing, Settled};
use crate::error::{PubsubError, Result};
use crate::topic::{Queue, Topic};

pub(super) type Done<T> = oneshot::Sender<Result<T>>;

/// An output on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) topic: Topic,
    pub(super) stored: Arc<Stored>,
    pub(super) routing: Routing,
}

/// What is asked of the log.
#[derive(Debug)]
pub(super) enum Operation {
    Publish { topic: Topic, stored: Arc<Stored>, permit: OwnedSemaphorePermit, done: Done<()> },
    SendTo { queue: Queue, stored: Arc<Stored>, permit: OwnedSemaphorePermit, done: Done<()> },
    Settle { receipt: Receipt, outputs: Vec<Outgoing>, done: Done<Settled> },
    Take { queue: Queue, position: u64, done: Done<bool> },
    Mark { queue: u64, sequences: Vec<u64> },
    Leave { consumer: u64 },
    Create { spec: QueueSpec, done: Done<()> },
    Delete { queue: Queue, done: Done<()> },
}

impl Operation {
    /// Whether it changes which queues there are, so that it is committed alone.
    pub(super) fn is_structural(&self) -> bool {
        matches!(self, Operation::Create { .. } | Operation::Delete { .. })
    }

    /// About how much it adds to a frame.
    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Operation::Publish { stored, .. } | Operation::SendTo { stored, .. } => stored.size_bytes,
            Operation::Settle { outputs, .. } => outputs.iter().map(|output| output.stored.size_bytes).sum(),
            _ => 0,
        }
    }
}

/// Why a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was settled by this consumer.
    Settled(u64),
    Taken,
    Dropped,
}

/// One decided change.
#[derive(Debug)]
pub(super) enum Step {
    /// A message enters these durable queues (number, sequence); taps get a copy.
    Put {
        targets: Vec<(u64, u64)>,
        stored: Arc<Stored>,
        place: Place,
        taps: Vec<Arc<Mailbox>>,
    },
    /// A message leaves its queue.
    Remove {
        queue: u64,
        entry: Entry,
        reason: Reason,
    },
    /// Deliveries of these sequences, ends included, happened or are about to.
    Delivered {
        queue: u64,
        first: u64,
        last: u64,
    },
    /// Messages may be handed out now: their deliveries are counted.
    Marked {
        queue: u64,
        sequences: Vec<u64>,
    },
    Define {
        number: u64,
        spec: QueueSpec,
    },
    Delete {
        state: Box<QueueState>,
    },
    /// A message for a topic that lives in memory.
    Ephemeral {
        topic: Topic,
        stored: Arc<Stored>,
    },
    /// A message for one queue that lives in memory.
    EphemeralTo {
        queue: u64,
        stored: Arc<Stored>,
    },
    /// A settle of a delivery from memory that came through the log is done.
    Unblock {
        consumer: u64,
    },
    Leave {
        consumer: u64,
    },
}

impl Step {
    /// Whether the log has to know.
    pub(super) fn is_durable(&self) -> bool {
        match self {
            Step::Put { targets, .. } => !targets.is_empty(),
            Step::Remove { queue, .. } => *queue < FIRST_EPHEMERAL,
            Step::Delivered { .. } | Step::Define { .. } | Step::Delete { .. } => true,
            Step::Marked { .. } | Step::Ephemeral { .. } | Step::EphemeralTo { .. } | Step::Unblock { .. } | Step::Leave { .. } => false,
        }
    }
}

/// Who waits for what.
#[derive(Debug)]
enum Answer {
    Unit(Done<()>, Result<()>),
    Settled(Done<Settled>, Result<Settled>),
    Flag(Done<bool>, Result<bool>),
}

/// Why a group could not be written.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    DiskFull(DiskFull),
    Unavailable(String),
}

impl Failure {
    fn to_error(&self) -> PubsubError {
        match self {
            Failure::DiskFull(disk) => disk.to_error(),
            Failure::Unavailable(reason) => PubsubError::Unavailable { reason: reason.clone() },
        }
    }

    /// For settles, which no full queue refuses: all the same it could not be written.
    fn to_settle_error(&self) -> PubsubError {
        match self {
            Failure::DiskFull(disk) => PubsubError::Unavailable { reason: format!("{} is full: nothing can be written", disk.disk) },
            Failure::Unavailable(reason) => PubsubError::Unavailable { reason: reason.clone() },
        }
    }
}

/// Operations that are committed together.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) steps: Vec<Step>,
    answers: Vec<Answer>,
    permits: Vec<OwnedSemaphorePermit>,
    pub(super) operations_count: u64,
}

impl Group {
    /// Whether there is anything to write.
    pub(super) fn is_durable(steps: &[Step]) -> bool {
        steps.iter().any(Step::is_durable)
    }

    /// Tells everybody how it ended.
    pub(super) fn answer(self) {
        for answer in self.answers {
            // A caller that does not wait any more is no concern of the log's.
            match answer {
                Answer::Unit(done, outcome) => drop(done.send(outcome)),
                Answer::Settled(done, outcome) => drop(done.send(outcome)),
                Answer::Flag(done, outcome) => drop(done.send(outcome)),
            }
        }
    }

    /// Tells everybody that nothing was done.
    pub(super) fn fail(self, failure: &Failure) {
        for answer in self.answers {
            match answer {
                Answer::Unit(done, outcome) => drop(done.send(outcome.and_then(|()| Err(failure.to_error())))),
                Answer::Settled(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
                Answer::Flag(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
            }
        }
    }
}

impl State {
    /// Decides one operation and adds what follows from it to the group. Nothing is visible yet.
    pub(super) fn decide(&mut self, operation: Operation, group: &mut Group, now: Instant) {
        group.operations_count += 1;
        match operation {
            Operation::Publish { topic, stored, permit, done } => {
                let outcome = self.decide_publish(&topic, stored, group);
                group.permits.push(permit);
                group.answers.push(Answer::Unit(done, outcome));
            }
            Operation::SendTo { queue, stored, permit, done } => {
                let outcome = self.decide_send(&queue, stored, group, now);
                group.permits.push(permit);
                group.answers.push(Answer::Unit(done, outcome));
            }
            Operation::Settle { receipt, outputs, done } => {
                let outcome = self.decide_settle(&receipt, outputs, &mut group.steps);
                if receipt.queue >= FIRST_EPHEMERAL {
                    group.steps.push(Step::Unblock { consumer: receipt.consumer });
                }
                group.answers.push(Answer::Settled(done, outcome));
            }
            Operation::Take { queue, position, done } => {
                let outcome = self.decide_take(&queue, position, &mut group.steps);
                group.answers.push(Answer::Flag(done, outcome));
            }
            Operation::Mark { queue, sequences } => self.decide_mark(queue, sequences, group),
            Operation::Leave { consumer } => group.steps.push(Step::Leave { consumer }),
            Operation::Create { spec, done } => {
                let outcome = self.check_spec(&spec).map(|exists| {
                    if !exists {
                        group.steps.push(Step::Define { number: self.next_durable, spec });
                        self.next_durable += 1;
                    }
                });
                group.answers.push(Answer::Unit(done, outcome));
            }
            Operation::Delete { queue, done } => {
                if let Some(state) = self.find(&queue).and_then(|number| self.remove_queue(number)) {
                    group.steps.push(Step::Delete { state: Box::new(state) });
                }
                group.answers.push(Answer::Unit(done, Ok(())));
            }
        }
    }

    /// Adds the deliveries that the log does not know yet.
    pub(super) fn add_counts(&mut self, group: &mut Group) {
        for number in std::mem::take(&mut self.uncounted) {
            let Some(queue) = self.queues.get_mut(&number) else { continue };
            for (first, last) in queue.uncounted.drain(..) {
                group.steps.push(Step::Delivered { queue: number, first, last });
            }
        }
    }

    fn decide_publish(&mut self, topic: &Topic, stored: Arc<Stored>, group: &mut Group) -> Result<()> {
        let Some(audience) = self.audiences.get(topic).filter(|audience| !audience.queues.is_empty()) else {
            return Err(PubsubError::QueueNotFound { queue: topic.to_string() });
        };
        if let Some(disk) = &self.disk_full {
            return Err(disk.to_error());
        }
        for queue in audience.queues.iter().filter_map(|number| self.queues.get(number)) {
            check_room(queue, stored.size_bytes, self.options.queue_high_bytes)?;
        }
        self.put(topic, stored, &mut group.steps);
        Ok(())
    }

    fn decide_send(&mut self, name: &Queue, stored: Arc<Stored>, group: &mut Group, now: Instant) -> Result<()> {
        let number = self.find(name).ok_or_else(|| not_found(name))?;
        if number >= FIRST_EPHEMERAL {
            self.check_request_room(number, stored.size_bytes, now)?;
            group.steps.push(Step::EphemeralTo { queue: number, stored });
            return Ok(());
        }
        if let Some(disk) = &self.disk_full {
            return Err(disk.to_error());
        }
        let high = self.options.queue_high_bytes;
        let queue = self.queues.get_mut(&number).ok_or_else(|| not_found(name))?;
        check_room(queue, stored.size_bytes, high)?;
        queue.incoming_bytes += stored.size_bytes;
        let targets = vec![(number, queue.assign())];
        group.steps.push(Step::Put { targets, stored, place: Place::default(), taps: Vec::new() });
        drop_oldest(queue, &mut group.steps);
        Ok(())
    }

    /// Decides a settle; also used for those that never reach the log.
    pub(super) fn decide_settle(&mut self, receipt: &Receipt, outputs: Vec<Outgoing>, steps: &mut Vec<Step>) -> Result<Settled> {
        if !self.queues.get(&receipt.queue).is_some_and(|queue| queue.is_held(receipt.sequence, receipt.consumer)) {
            return Ok(Settled::NoLongerHeld);
        }
        for output in outputs.iter().filter(|output| output.routing == Routing::Required && output.topic.class().has_queues()) {
            if self.audiences.get(&output.topic).is_none_or(|audience| audience.queues.is_empty()) {
                return Err(PubsubError::QueueNotFound { queue: output.topic.to_string() });
            }
        }
        if let Some(queue) = self.queues.get_mut(&receipt.queue)
            && let Some(entry) = queue.unhold(receipt.sequence, receipt.consumer)
        {
            queue.outgoing_bytes += u64::from(entry.size_bytes);
            steps.push(Step::Remove { queue: receipt.queue, entry, reason: Reason::Settled(receipt.consumer) });
        }
        let mut dropped_count = 0;
        for output in outputs {
            if output.topic.class().is_durable() {
                dropped_count += u32::from(!self.put(&output.topic, output.stored, steps));
            } else {
                let unheard = output.topic.class().has_queues() && self.audiences.get(&output.topic).is_none_or(|a| a.queues.is_empty());
                dropped_count += u32::from(unheard);
                steps.push(Step::Ephemeral { topic: output.topic, stored: output.stored });
            }
        }
        Ok(Settled::Done { dropped_count })
    }

    /// Puts a message into all queues of a durable topic; `false` if there are none.
    fn put(&mut self, topic: &Topic, stored: Arc<Stored>, steps: &mut Vec<Step>) -> bool {
        let Some(audience) = self.audiences.get(topic) else { return false };
        let mut targets = Vec::with_capacity(audience.queues.len());
        let mut bounded = false;
        for number in &audience.queues {
            if let Some(queue) = self.queues.get_mut(number) {
                queue.incoming_bytes += stored.size_bytes;
                bounded |= queue.drop_oldest_above_bytes.is_some();
                targets.push((*number, queue.assign()));
            }
        }
        let numbers: Vec<u64> = if bounded { audience.queues.clone() } else { Vec::new() };
        let found = !targets.is_empty();
        steps.push(Step::Put { targets, stored, place: Place::default(), taps: audience.mailboxes.clone() });
        for number in numbers {
            if let Some(queue) = self.queues.get_mut(&number) {
                drop_oldest(queue, steps);
            }
        }
        found
    }

    fn decide_take(&mut self, name: &Queue, position: u64, steps: &mut Vec<Step>) -> Result<bool> {
        let number = self.find(name).ok_or_else(|| not_found(name))?;
        let queue = self.queues.get_mut(&number).ok_or_else(|| not_found(name))?;
        if queue.ready_mut(position).is_none_or(|entry| entry.counting == Counting::Marking) {
            return Ok(false);
        }
        let Some(entry) = queue.take_ready(position) else { return Ok(false) };
        queue.outgoing_bytes += u64::from(entry.size_bytes);
        steps.push(Step::Remove { queue: number, entry, reason: Reason::Taken });
        Ok(true)
    }

    fn decide_mark(&mut self, number: u64, mut sequences: Vec<u64>, group: &mut Group) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        sequences.retain(|sequence| queue.ready_mut(*sequence).is_some());
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for sequence in &sequences {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *sequence => *last = *sequence,
                _ => runs.push((*sequence, *sequence)),
            }
        }
        group.steps.extend(runs.into_iter().map(|(first, last)| Step::Delivered { queue: number, first, last }));
        group.steps.push(Step::Marked { queue: number, sequences });
    }

    /// Makes a committed group visible.
    pub(super) fn apply(&mut self, steps: Vec<Step>) -> Wakes {
        let mut touched = Vec::new();
        let mut wakes = Vec::new();
        for step in steps {
            match step {
                Step::Put { targets, stored, place, taps } => {
                    self.apply_put(&targets, &stored, place, &mut touched);
                    taps.iter().for_each(|tap| tap.push(&stored.message));
                }
                Step::Remove { queue, entry, reason } => self.apply_remove(queue, &entry, reason, &mut touched),
                Step::Delivered { .. } => {}
                Step::Marked { queue, sequences } => {
                    self.finish_marking(queue, &sequences, Counting::Ahead);
                    touched.push(queue);
                }
                Step::Define { number, spec } => self.insert_queue(QueueState::new(spec.queue, number, spec.drop_oldest_above_bytes)),
                Step::Delete { state } => self.bury(*state),
                Step::Ephemeral { topic, stored } => self.publish_ephemeral(&topic, &stored, &mut touched),
                Step::EphemeralTo { queue, stored } => {
                    if let Some(state) = self.queues.get_mut(&queue) {
                        append_ephemeral(state, &stored);
                        touched.push(queue);
                    }
                }
                Step::Unblock { consumer } => self.unblock(consumer),
                Step::Leave { consumer } => wakes.push(self.finish_leaving(consumer)),
            }
        }
        touched.sort_unstable();
        touched.dedup();
        wakes.push(self.wake(&touched));
        Wakes::all(wakes)
    }

    fn apply_put(&mut self, targets: &[(u64, u64)], stored: &Arc<Stored>, place: Place, touched: &mut Vec<u64>) {
        for (number, sequence) in targets {
            let Some(queue) = self.queues.get_mut(number) else { continue };
            // What is beyond the cache's bound is read back; without a log there is nothing to read it from.
            let cached = place.segment == 0 || self.cached_bytes + stored.size_bytes <= self.options.cached_bytes;
            if place.segment != 0 {
                *self.live_counts.entry(place.segment).or_default() += 1;
                self.cached_bytes += if cached { stored.size_bytes } else { 0 };
            }
            queue.incoming_bytes -= stored.size_bytes;
            queue.append(Entry {
                sequence: *sequence,
                place,
                size_bytes: stored.size_bytes as u32,
                deliveries: 0,
                counting: Counting::Lazy,
                stored: cached.then(|| stored.clone()),
            });
            if touched.last() != Some(number) {
                touched.push(*number);
            }
        }
    }

    fn apply_remove(&mut self, number: u64, entry: &Entry, reason: Reason, touched: &mut Vec<u64>) {
        if let Some(queue) = self.queues.get_mut(&number) {
            queue.outgoing_bytes -= u64::from(entry.size_bytes);
            queue.forget(entry);
            queue.dropped_count += u64::from(reason == Reason::Dropped);
            if touched.last() != Some(&number) {
                touched.push(number);
            }
        }
        self.release(entry);
        if let Reason::Settled(consumer) = reason
            && let Some(consumer) = self.consumers.get_mut(&consumer)
        {
            consumer.held_count -= 1;
        }
    }

    fn unblock(&mut self, consumer: u64) {
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            consumer.settling_count -= 1;
        }
    }

    fn finish_marking(&mut self, number: u64, sequences: &[u64], counting: Counting) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        for sequence in sequences {
            if let Some(entry) = queue.ready_mut(*sequence) {
                entry.counting = counting;
                entry.deliveries = entry.deliveries.saturating_add(u32::from(counting == Counting::Ahead));
            }
        }
    }

    /// Takes a group back that could not be written: everything is as it was before.
    pub(super) fn undo(&mut self, steps: Vec<Step>) -> Wakes {
        let mut touched = Vec::new();
        let mut wakes = Vec::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Put { targets, stored, .. } => {
                    for (number, _) in targets {
                        if let Some(queue) = self.queues.get_mut(&number) {
                            queue.incoming_bytes -= stored.size_bytes;
                        }
                    }
                }
                Step::Remove { queue, entry, reason } => {
                    self.undo_remove(queue, entry, reason);
                    touched.push(queue);
                }
                Step::Delivered { .. } | Step::Define { .. } | Step::Ephemeral { .. } | Step::EphemeralTo { .. } => {}
                Step::Marked { queue, sequences } => {
                    self.finish_marking(queue, &sequences, Counting::Suspect);
                    touched.push(queue);
                }
                Step::Delete { state } => self.insert_queue(*state),
                Step::Unblock { consumer } => self.unblock(consumer),
                Step::Leave { consumer } => wakes.push(self.finish_leaving(consumer)),
            }
        }
        touched.sort_unstable();
        touched.dedup();
        wakes.push(self.wake(&touched));
        Wakes::all(wakes)
    }

    fn undo_remove(&mut self, number: u64, entry: Entry, reason: Reason) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        queue.outgoing_bytes -= u64::from(entry.size_bytes);
        match reason {
            Reason::Settled(consumer) if self.consumers.contains_key(&consumer) => queue.hold(entry, consumer),
            _ => {
                let sequence = entry.sequence;
                queue.put_back(entry);
                self.recall(number, sequence);
            }
        }
    }
}

fn check_room(queue: &QueueState, size_bytes: u64, high_bytes: u64) -> Result<()> {
    let used_bytes = queue.coming_size_bytes();
    if queue.drop_oldest_above_bytes.is_some() || used_bytes + size_bytes <= high_bytes {
        return Ok(());
    }
    Err(PubsubError::QueueFull { queue: queue.name.to_string(), used_bytes, limit_bytes: high_bytes })
}

/// Removes the oldest ready messages of a bounded queue until what is coming fits.
fn drop_oldest(queue: &mut QueueState, steps: &mut Vec<Step>) {
    let Some(bound) = queue.drop_oldest_above_bytes else { return };
    while queue.coming_size_bytes() > bound && queue.first_ready().is_some_and(|first| first.counting != Counting::Marking) {
        let Some(entry) = queue.pop_ready() else { break };
        queue.outgoing_bytes += u64::from(entry.size_bytes);
        steps.push(Step::Remove { queue: queue.number, entry, reason: Reason::Dropped });
    }
}
