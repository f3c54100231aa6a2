//! Making a committed group visible, or taking back one that could not be written.

use std::sync::Arc;

use super::group::{Reason, Step};
use super::queue::{Counting, Entry, Place, QueueState, Stored, sharers};
use super::queues::{State, append_ephemeral};
use super::seats::Wakes;

impl State {
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
                Step::Move { targets, place, .. } => self.apply_move(&targets, place),
                Step::Marked { queue, sequences } => {
                    self.finish_marking(queue, &sequences, Counting::Ahead);
                    touched.push(queue);
                }
                Step::Define { number, spec } => self.insert_queue(QueueState::new(spec.queue, number, spec.overflow)),
                Step::Bound { definition } => {
                    if let Some(queue) = self.queues.get_mut(&definition.number) {
                        queue.set_overflow(definition.overflow);
                    }
                }
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
        let sharers = sharers(targets.len());
        for (number, sequence) in targets {
            let Some(queue) = self.queues.get_mut(number) else { continue };
            // What is beyond the cache's bound is read back; without a log there is nothing to read it from.
            let cached = place.segment == 0 || self.cached_bytes + stored.size_bytes <= self.options.cached_bytes;
            let entry = Entry {
                sequence: *sequence,
                place,
                size_bytes: stored.size_bytes as u32,
                sharers,
                deliveries: 0,
                counting: Counting::Lazy,
                stored: cached.then(|| stored.clone()),
            };
            if place.segment != 0 {
                self.live.add(&entry);
                self.cached_bytes += if cached { stored.size_bytes } else { 0 };
            }
            queue.incoming_bytes -= stored.size_bytes;
            queue.append(entry);
            if touched.last() != Some(number) {
                touched.push(*number);
            }
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
                Step::Move { .. } | Step::Delivered { .. } | Step::Define { .. } | Step::Bound { .. } => {}
                Step::Ephemeral { .. } | Step::EphemeralTo { .. } => {}
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
