//! Deciding operations: which steps follow from each, before anything is visible.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::entry::Counting;
use super::group::{Completion, Group};
use super::operation::{Operation, Outgoing, Redriven};
use super::queue::QueueState;
use super::queues::BrokerState;
use super::step::{Reason, StateChange};
use super::stored::Stored;
use crate::backend::{Backlog, Deletion, Overflow, QueueSpec, Receipt, Routing, Settled};
use crate::embedded::damage::Damage;
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::LogPosition;
use crate::embedded::numbers::FIRST_EPHEMERAL;
use crate::embedded::refusal::not_found;
use crate::error::{PubsubError, Result};
use crate::topic::{Queue, Topic};

impl BrokerState {
    /// Decides one operation and adds its steps to the group. Nothing is visible yet.
    pub(crate) fn decide(&mut self, operation: Operation, group: &mut Group, now: Instant) {
        group.operations_count += 1;
        match operation {
            Operation::Publish { topic, stored, permit, done } => {
                let outcome = self.decide_publish(&topic, stored, group);
                group.permits.push(permit);
                group.answers.push(Completion::Unit(done, outcome));
            }
            Operation::Settle { receipt, outputs, done } => {
                let outcome = self.decide_settle(&receipt, outputs, &mut group.steps);
                if receipt.origin >= FIRST_EPHEMERAL {
                    group.steps.push(StateChange::Unblock { consumer: receipt.consumer });
                }
                group.answers.push(Completion::Settled(done, outcome));
            }
            Operation::Take { queue, position, done } => {
                let outcome = self.decide_take(&queue, position, &mut group.steps);
                group.answers.push(Completion::Flag(done, outcome));
            }
            Operation::Redrive { moved, stored, permit, done } => {
                let outcome = self.decide_redrive(&moved, stored, group, now);
                group.permits.push(permit);
                group.answers.push(Completion::Flag(done, outcome));
            }
            Operation::Mark { queue, sequences } => self.decide_mark(queue, sequences, group),
            Operation::SetAside { queue, sequence, holder, damage } => self.decide_set_aside(queue, sequence, holder, damage, group),
            Operation::Leave { consumer } => group.steps.push(StateChange::Leave { consumer }),
            Operation::Create { spec, done } => {
                let outcome = self.check_spec(&spec).map(|exists| {
                    if !exists {
                        group.steps.push(StateChange::Define { number: self.next_durable, spec });
                        self.next_durable += 1;
                    }
                });
                group.answers.push(Completion::Unit(done, outcome));
            }
            Operation::Bound { spec, done } => {
                let outcome = self.decide_bound(spec, &mut group.steps);
                group.answers.push(Completion::Unit(done, outcome));
            }
            Operation::Delete { queue, done } => {
                // The queue stays until the deletion is durable: a consumer that leaves or requeues in the meantime finds it, and there is nothing to
                // undo.
                group.steps.extend(self.find(&queue).map(|number| StateChange::Delete { number }));
                group.answers.push(Completion::Unit(done, Ok(())));
            }
            Operation::DeleteIfEmpty { queues, done } => {
                let outcome = self.decide_delete_if_empty(&queues, &mut group.steps, now);
                group.answers.push(Completion::Deletion(done, Ok(outcome)));
            }
        }
    }

    fn decide_delete_if_empty(&mut self, names: &[Queue], steps: &mut Vec<StateChange>, now: Instant) -> Deletion {
        let numbers: BTreeSet<u64> = names.iter().filter_map(|name| self.find(name)).collect();
        let queues = numbers.iter().filter_map(|number| self.queues.get(number));
        let counted = queues.map(|queue| Backlog { queue: queue.name.clone(), count: Some(queue.unexpired_count(now)) });
        let holding: Vec<Backlog> = counted.filter(|backlog| backlog.count != Some(0)).collect();
        if !holding.is_empty() {
            return Deletion::NotEmpty(holding);
        }
        let gone = numbers.into_iter().filter_map(|number| self.remove_queue(number));
        steps.extend(gone.map(|state| StateChange::DeleteEmpty { state: Box::new(state) }));
        Deletion::Deleted
    }

    /// Adds the deliveries that are not recorded in the log yet.
    pub(crate) fn add_counts(&mut self, group: &mut Group) {
        for number in std::mem::take(&mut self.uncounted) {
            let Some(queue) = self.queues.get_mut(&number) else { continue };
            for (first, last) in queue.uncounted.drain(..) {
                group.steps.push(StateChange::Delivered { queue: number, first, last });
            }
        }
    }

    fn decide_publish(&mut self, topic: &Topic, stored: Arc<Stored>, group: &mut Group) -> Result<()> {
        let Some(subscribers) = self.subscribers.get(topic).filter(|subscribers| !subscribers.queues.is_empty()) else {
            return Err(PubsubError::no_queue_of(topic));
        };
        if let Some(disk) = &self.disk_full {
            return Err(disk.to_error());
        }
        for number in &subscribers.queues {
            if let Some(queue) = self.queues.get_mut(number) {
                check_room(queue, stored.size_bytes, self.options.queue_high_bytes)?;
            }
        }
        self.put(topic, stored, &mut group.steps);
        Ok(())
    }

    fn decide_send(&mut self, name: &Queue, stored: Arc<Stored>, group: &mut Group, now: Instant) -> Result<()> {
        let number = self.find(name).ok_or_else(|| not_found(name))?;
        if number >= FIRST_EPHEMERAL {
            self.check_request_room(number, &stored, now)?;
            group.steps.push(StateChange::EphemeralTo { queue: number, stored });
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
        group.steps.push(StateChange::Put { targets, stored, position: LogPosition::default(), taps: Vec::new() });
        drop_oldest(queue, &mut group.steps);
        Ok(())
    }

    /// Decides a settle; also used for settles that do not reach the log.
    pub(crate) fn decide_settle(&mut self, receipt: &Receipt, outputs: Vec<Outgoing>, steps: &mut Vec<StateChange>) -> Result<Settled> {
        if !self.queues.get(&receipt.origin).is_some_and(|queue| queue.is_held(receipt.delivery, receipt.consumer)) {
            return Ok(Settled::NoLongerHeld);
        }
        self.check_settle_order(receipt)?;
        if let Err(error) = self.check_outputs(&outputs) {
            // A full output queue affects this delivery only: later ones need not wait.
            if !matches!(error, PubsubError::QueueFull { .. }) {
                self.refuse(receipt.consumer, receipt.delivery);
            }
            return Err(error);
        }
        if let Some(queue) = self.queues.get_mut(&receipt.origin)
            && let Some(entry) = queue.unhold(receipt.delivery, receipt.consumer)
        {
            queue.outgoing_bytes += u64::from(entry.size_bytes);
            steps.push(StateChange::Remove { queue: receipt.origin, entry, reason: Reason::Settled(receipt.consumer) });
        }
        let mut dropped_count = 0;
        for output in outputs {
            if output.topic.class().is_durable() {
                dropped_count += u32::from(!self.put(&output.topic, output.stored, steps));
            } else {
                let unrouted = output.topic.class().has_queues() && self.subscribers.get(&output.topic).is_none_or(|a| a.queues.is_empty());
                dropped_count += u32::from(unrouted);
                steps.push(StateChange::Ephemeral { topic: output.topic, stored: output.stored });
            }
        }
        Ok(Settled::Done { dropped_count })
    }

    /// Refuses outputs whose required queue is missing, or that would exceed the bound of a queue.
    fn check_outputs(&mut self, outputs: &[Outgoing]) -> Result<()> {
        // Bytes that earlier outputs add to each refusing queue. Few settles have any.
        let mut added: Vec<(u64, u64)> = Vec::new();
        for output in outputs.iter().filter(|output| output.topic.class().has_queues()) {
            let subscribers = self.subscribers.get(&output.topic).filter(|subscribers| !subscribers.queues.is_empty());
            let Some(subscribers) = subscribers else {
                if output.routing == Routing::Required {
                    return Err(PubsubError::no_queue_of(&output.topic));
                }
                continue;
            };
            for number in &subscribers.queues {
                let Some(queue) = self.queues.get_mut(number) else { continue };
                if queue.overflow.refuse_above_bytes().is_none() {
                    continue;
                }
                let more_bytes = added.iter().filter(|(other, _)| other == number).map(|(_, bytes)| bytes).sum();
                queue.check_own_bound(output.stored.size_bytes, more_bytes)?;
                added.push((*number, output.stored.size_bytes));
            }
        }
        Ok(())
    }

    /// Refuses a settle if an earlier one of the same consumer was refused and not repeated, since it would take effect first.
    fn check_settle_order(&mut self, receipt: &Receipt) -> Result<()> {
        let Some(consumer) = self.consumers.get_mut(&receipt.consumer) else { return Ok(()) };
        match consumer.refused.front() {
            None => return Ok(()),
            Some(first) if *first == receipt.delivery => {
                consumer.refused.pop_front();
                return Ok(());
            }
            Some(_) => {}
        }
        if !consumer.refused.contains(&receipt.delivery) {
            consumer.refused.push_back(receipt.delivery);
        }
        Err(PubsubError::unavailable("an earlier settle of this consumer failed: repeat that one first, or requeue its message"))
    }

    /// Records that the settle whose turn it was did not take effect.
    pub(super) fn refuse(&mut self, consumer: u64, sequence: u64) {
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            consumer.refused.push_front(sequence);
        }
    }

    /// Puts a message into all queues of a durable topic; `false` if it has none.
    fn put(&mut self, topic: &Topic, stored: Arc<Stored>, steps: &mut Vec<StateChange>) -> bool {
        let Some(subscribers) = self.subscribers.get(topic) else { return false };
        let mut targets = Vec::with_capacity(subscribers.queues.len());
        let mut bounded = false;
        for number in &subscribers.queues {
            if let Some(queue) = self.queues.get_mut(number) {
                queue.incoming_bytes += stored.size_bytes;
                bounded |= queue.overflow.drop_oldest_above_bytes().is_some();
                targets.push((*number, queue.assign()));
            }
        }
        let numbers: Vec<u64> = if bounded { subscribers.queues.clone() } else { Vec::new() };
        let found = !targets.is_empty();
        steps.push(StateChange::Put { targets, stored, position: LogPosition::default(), taps: subscribers.mailboxes.clone() });
        for number in numbers {
            if let Some(queue) = self.queues.get_mut(&number) {
                drop_oldest(queue, steps);
            }
        }
        found
    }

    fn decide_take(&mut self, name: &Queue, position: u64, steps: &mut Vec<StateChange>) -> Result<bool> {
        let number = self.find(name).ok_or_else(|| not_found(name))?;
        let queue = self.queues.get_mut(&number).ok_or_else(|| not_found(name))?;
        if queue.ready_mut(position).is_none_or(|entry| entry.counting == Counting::Marking) {
            return Ok(false);
        }
        let Some(entry) = queue.take_ready(position) else { return Ok(false) };
        queue.outgoing_bytes += u64::from(entry.size_bytes);
        steps.push(StateChange::Remove { queue: number, entry, reason: Reason::Taken });
        Ok(true)
    }

    /// Removes one message and puts another into a queue, atomically.
    fn decide_redrive(&mut self, moved: &Redriven, stored: Arc<Stored>, group: &mut Group, now: Instant) -> Result<bool> {
        let Redriven { from, position, to } = moved;
        let number = self.find(from).ok_or_else(|| not_found(from))?;
        let queue = self.queues.get_mut(&number).ok_or_else(|| not_found(from))?;
        if queue.ready_mut(*position).is_none_or(|entry| entry.counting == Counting::Marking) {
            return Ok(false);
        }
        self.decide_send(to, stored, group, now)?;
        self.decide_take(from, *position, &mut group.steps)
    }

    /// Changes the bound of a queue to the refusing one of a specification, unless another caller has done so in the meantime.
    fn decide_bound(&mut self, spec: QueueSpec, steps: &mut Vec<StateChange>) -> Result<()> {
        match self.find_boundable(&spec).and_then(|number| self.queues.get(&number)) {
            Some(queue) => {
                let definition = QueueDefinition { overflow: spec.overflow, ..queue.definition() };
                steps.push(StateChange::Bound { definition });
                Ok(())
            }
            None => match self.check_spec(&spec)? {
                true => Ok(()),
                false => Err(not_found(&spec.queue)),
            },
        }
    }

    /// Sets a damaged message aside, unless it is gone or was moved in the meantime.
    pub(super) fn decide_set_aside(&mut self, number: u64, sequence: u64, holder: Option<u64>, damage: Box<Damage>, group: &mut Group) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        let held_at = holder.and_then(|consumer| queue.held_position(sequence, consumer));
        let entry = match (holder, held_at) {
            (Some(consumer), Some(position)) if position == damage.position => queue.unhold(sequence, consumer),
            (Some(consumer), Some(_)) => {
                group.steps.push(StateChange::Return { queue: number, sequence, consumer });
                None
            }
            _ if queue.ready_mut(sequence).is_some_and(|entry| entry.position == damage.position) => queue.take_ready(sequence),
            _ => None,
        };
        let Some(entry) = entry else { return };
        queue.outgoing_bytes += u64::from(entry.size_bytes);
        let holder = holder.filter(|_| held_at.is_some());
        group.steps.push(StateChange::SetAside { queue: number, entry, holder, damage });
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
        group.steps.extend(runs.into_iter().map(|(first, last)| StateChange::Delivered { queue: number, first, last }));
        group.steps.push(StateChange::Marked { queue: number, sequences });
    }
}

fn check_room(queue: &mut QueueState, size_bytes: u64, high_bytes: u64) -> Result<()> {
    let used_bytes = queue.projected_size_bytes();
    match queue.overflow {
        Overflow::DropOldest { .. } => Ok(()),
        Overflow::Refuse { .. } => queue.check_own_bound(size_bytes, 0),
        Overflow::None if used_bytes + size_bytes <= high_bytes => Ok(()),
        Overflow::None => Err(PubsubError::full(format!("queue {}", queue.name), used_bytes, high_bytes)),
    }
}

/// Drops the oldest ready messages of a bounded queue until the incoming ones fit.
fn drop_oldest(queue: &mut QueueState, steps: &mut Vec<StateChange>) {
    let Some(bound) = queue.overflow.drop_oldest_above_bytes() else { return };
    while queue.projected_size_bytes() > bound && queue.first_ready().is_some_and(|first| first.counting != Counting::Marking) {
        let Some(entry) = queue.pop_ready() else { break };
        queue.outgoing_bytes += u64::from(entry.size_bytes);
        steps.push(StateChange::Remove { queue: queue.number, entry, reason: Reason::Dropped });
    }
}
