//! Applying a committed group, or undoing one that could not be written.

use std::sync::Arc;

use super::consumer::Wakeups;
use super::entry::{Counting, Entry, sharers};
use super::in_memory::append_ephemeral;
use super::queue::QueueState;
use super::queues::BrokerState;
use super::step::{Reason, StateChange};
use super::stored::Stored;
use crate::embedded::damage::Damage;
use crate::embedded::log_position::{LogPosition, Moved};
use crate::embedded::refusal::WriteFailure;

impl BrokerState {
    /// Makes the steps of a committed group visible.
    pub(crate) fn apply(&mut self, steps: Vec<StateChange>) -> Wakeups {
        let mut touched = Vec::new();
        let mut wakeups = Vec::new();
        for step in steps {
            match step {
                StateChange::Put { targets, stored, position, taps } => {
                    self.apply_put(&targets, &stored, position, &mut touched);
                    taps.iter().for_each(|tap| tap.push(&stored.message));
                }
                StateChange::Remove { queue, entry, reason } => self.apply_remove(queue, &entry, reason, &mut touched),
                StateChange::Delivered { .. } => {}
                StateChange::Move { targets, position, .. } => self.apply_move(&targets, position),
                StateChange::Marked { queue, sequences } => {
                    self.finish_marking(queue, &sequences);
                    touched.push(queue);
                }
                StateChange::Return { queue, sequence, consumer } => wakeups.push(self.requeue(queue, sequence, consumer)),
                StateChange::SetAside { queue, entry, holder, damage } => {
                    self.apply_set_aside(queue, &entry, holder, &damage);
                    touched.push(queue);
                }
                StateChange::Define { number, spec } => self.insert_queue(QueueState::new(spec.queue, number, spec.overflow)),
                StateChange::Bound { definition } => {
                    if let Some(queue) = self.queues.get_mut(&definition.number) {
                        queue.set_overflow(definition.overflow);
                    }
                }
                StateChange::Delete { number } => {
                    if let Some(gone) = self.remove_queue(number) {
                        self.discard(gone);
                    }
                }
                StateChange::DeleteEmpty { state } => self.discard(*state),
                StateChange::Ephemeral { topic, stored } => self.publish_ephemeral(&topic, &stored, &mut touched),
                StateChange::EphemeralTo { queue, stored } => {
                    if let Some(state) = self.queues.get_mut(&queue) {
                        append_ephemeral(state, &stored);
                        touched.push(queue);
                    }
                }
                StateChange::Unblock { consumer } => self.unblock(consumer),
                StateChange::Leave { consumer } => wakeups.push(self.finish_leaving(consumer)),
            }
        }
        self.collect_wakeups(touched, wakeups)
    }

    /// The wake-ups of steps, with those of the queues that they touched.
    fn collect_wakeups(&mut self, mut touched: Vec<u64>, mut wakeups: Vec<Wakeups>) -> Wakeups {
        touched.sort_unstable();
        touched.dedup();
        wakeups.push(self.wake(&touched));
        Wakeups::all(wakeups)
    }

    fn apply_put(&mut self, targets: &[(u64, u64)], stored: &Arc<Stored>, position: LogPosition, touched: &mut Vec<u64>) {
        let sharers = sharers(targets.len());
        for (number, sequence) in targets {
            let Some(queue) = self.queues.get_mut(number) else { continue };
            // Above the limit of the cache, messages are read back from the log; a message without a position in the log must stay in memory.
            let cached = position.segment == 0 || self.cached_bytes + stored.memory_bytes <= self.options.cached_bytes;
            let entry = Entry {
                sequence: *sequence,
                position,
                size_bytes: stored.size_bytes as u32,
                sharers,
                deliveries: 0,
                counting: Counting::Lazy,
                stored: cached.then(|| stored.clone()),
            };
            if position.segment != 0 {
                self.live.add(&entry);
                self.cached_bytes += if cached { stored.memory_bytes } else { 0 };
            }
            queue.incoming_bytes -= stored.size_bytes;
            queue.append(entry);
            if touched.last() != Some(number) {
                touched.push(*number);
            }
        }
    }

    /// Sets the new position of a message that was copied forward.
    fn apply_move(&mut self, targets: &[Moved], position: LogPosition) {
        let sharers = sharers(targets.len());
        for moved in targets {
            let queue = self.queues.get_mut(&moved.queue);
            let Some(entry) = queue.and_then(|queue| queue.entry_mut(moved.sequence)) else { continue };
            let before = entry.clone();
            (entry.position, entry.sharers) = (position, sharers);
            self.live.shift(&before, entry);
        }
    }

    fn apply_remove(&mut self, number: u64, entry: &Entry, reason: Reason, touched: &mut Vec<u64>) {
        if let Some(queue) = self.queues.get_mut(&number) {
            queue.outgoing_bytes -= u64::from(entry.size_bytes);
            queue.forget(entry);
            if reason == Reason::Dropped {
                queue.count_drop();
            }
            if touched.last() != Some(&number) {
                touched.push(number);
            }
        }
        self.release(entry);
        if let Reason::Settled(consumer) = reason
            && let Some(consumer) = self.consumers.get_mut(&consumer)
        {
            consumer.window.held.remove(entry.size_bytes);
        }
    }

    fn unblock(&mut self, consumer: u64) {
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            consumer.settling_count -= 1;
        }
    }

    fn finish_marking(&mut self, number: u64, sequences: &[u64]) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        for sequence in sequences {
            if let Some(entry) = queue.ready_mut(*sequence) {
                entry.counting = Counting::Ahead;
                entry.deliveries = entry.deliveries.saturating_add(1);
            }
        }
        if queue.blocked.take().is_some() {
            for consumer in &queue.consumers {
                if let Some(consumer) = self.consumers.get_mut(consumer) {
                    consumer.has_block_reason = false;
                }
            }
        }
    }

    fn apply_set_aside(&mut self, number: u64, entry: &Entry, holder: Option<u64>, damage: &Damage) {
        if let Some(queue) = self.queues.get_mut(&number) {
            queue.outgoing_bytes -= u64::from(entry.size_bytes);
            queue.forget(entry);
            queue.damaged_count += 1;
            tracing::error!(
                topic = %queue.name.topic(),
                subscription = %queue.name.subscription(),
                sequence = entry.sequence,
                segment = %damage.path.display(),
                offset = damage.position.offset,
                error = damage.detail,
                kept_in = damage.kept_in.as_ref().map(|path| tracing::field::display(path.display())),
                "damaged message set aside"
            );
        }
        self.release(entry);
        if let Some(consumer) = holder.and_then(|consumer| self.consumers.get_mut(&consumer)) {
            consumer.window.held.remove(entry.size_bytes);
        }
    }

    /// Undoes the steps of a group that could not be written, which restores the state before. The broker's own operations are repeated later
    /// ([`StateChange::to_repeat`]): messages to be marked stay in that state, and their consumers get the reason.
    pub(crate) fn undo(&mut self, steps: Vec<StateChange>, failure: &WriteFailure) -> Wakeups {
        let mut touched = Vec::new();
        let mut wakeups = Vec::new();
        for step in steps.into_iter().rev() {
            match step {
                StateChange::Put { targets, stored, .. } => {
                    for (number, _) in targets {
                        if let Some(queue) = self.queues.get_mut(&number) {
                            queue.incoming_bytes -= stored.size_bytes;
                        }
                    }
                }
                StateChange::Remove { queue, entry, reason } => {
                    self.undo_remove(queue, entry, reason);
                    touched.push(queue);
                }
                StateChange::Move { .. }
                | StateChange::Delivered { .. }
                | StateChange::Define { .. }
                | StateChange::Bound { .. }
                | StateChange::Delete { .. } => {}
                StateChange::Ephemeral { .. } | StateChange::EphemeralTo { .. } => {}
                StateChange::DeleteEmpty { state } => self.undo_delete(*state),
                StateChange::Marked { queue: number, .. } => {
                    if let Some(queue) = self.queues.get_mut(&number) {
                        queue.blocked = Some(failure.clone());
                        touched.push(number);
                    }
                }
                StateChange::Return { queue, sequence, consumer } => wakeups.push(self.requeue(queue, sequence, consumer)),
                StateChange::SetAside { queue, entry, holder, .. } => self.undo_set_aside(queue, entry, holder),
                StateChange::Unblock { consumer } => self.unblock(consumer),
                StateChange::Leave { consumer } => wakeups.push(self.finish_leaving(consumer)),
            }
        }
        self.collect_wakeups(touched, wakeups)
    }

    /// Restores an empty queue; its consumers may have left in the meantime.
    fn undo_delete(&mut self, mut state: QueueState) {
        state.consumers.retain(|consumer| self.consumers.contains_key(consumer));
        state.exclusive &= !state.consumers.is_empty();
        self.insert_queue(state);
    }

    fn undo_set_aside(&mut self, number: u64, entry: Entry, holder: Option<u64>) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        queue.outgoing_bytes -= u64::from(entry.size_bytes);
        match holder {
            Some(consumer) if self.consumers.contains_key(&consumer) => queue.hold(entry, consumer),
            _ => queue.put_back(entry),
        }
    }

    fn undo_remove(&mut self, number: u64, entry: Entry, reason: Reason) {
        let Some(queue) = self.queues.get_mut(&number) else { return };
        queue.outgoing_bytes -= u64::from(entry.size_bytes);
        match reason {
            Reason::Settled(consumer) if self.consumers.contains_key(&consumer) => {
                let sequence = entry.sequence;
                queue.hold(entry, consumer);
                self.refuse(consumer, sequence);
            }
            _ => {
                let sequence = entry.sequence;
                queue.put_back(entry);
                self.recall(number, sequence);
            }
        }
    }
}
