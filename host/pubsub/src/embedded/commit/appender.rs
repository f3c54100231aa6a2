//! Appending to the log, while the state keeps track of its segments.

use std::sync::Arc;

use super::records;
use super::shared::Shared;
use crate::embedded::log::Log;
use crate::embedded::refusal::WriteFailure;
use crate::embedded::state::{BrokerState, Group, StateChange};
use crate::lock::lock;

/// An active segment without live messages is replaced when idle if it is above this size; a new one costs three flushes.
const IDLE_SEGMENT_BYTES: u64 = 1 << 20;

/// The log with the state that is stored in it; used by the commit thread only.
pub(super) struct Appender {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    is_disk_full: bool,
    /// Whether the last attempt to replace a dead active segment while idle failed: the next one follows a commit.
    pub(super) is_emptying_futile: bool,
}

impl Appender {
    pub(super) fn new(shared: Arc<Shared>, log: Log) -> Self {
        Appender { shared, log, is_disk_full: false, is_emptying_futile: false }
    }

    /// Writes the mark of the log.
    pub(super) fn mark(&mut self) {
        let messages_count = lock(&self.shared.state).messages_count();
        self.log.mark(messages_count);
    }

    /// Adds the deliveries since the last commit.
    pub(super) fn add_counts(&self, state: &mut BrokerState, group: &mut Group) {
        // Not in the loop head, where the lock would be held until the loop ends.
        let slots = std::mem::take(&mut *lock(&self.shared.received));
        for (queue, slot) in slots {
            let received = std::mem::take(&mut lock(&slot.buffer).received);
            state.note_received(queue, received);
        }
        state.add_counts(group);
    }

    /// Writes the last deliveries on shutdown. A failure loses delivery counts only.
    pub(super) fn commit_counts(&mut self) {
        let mut group = Group::default();
        self.add_counts(&mut lock(&self.shared.state), &mut group);
        if !group.steps.is_empty() {
            let _ = records::write(&mut self.log, &mut group.steps);
        }
    }

    /// Writes steps; on a full disk, into the reserved space.
    pub(super) fn write(&mut self, steps: &mut [StateChange]) -> Result<u64, WriteFailure> {
        match records::write(&mut self.log, steps) {
            Err(WriteFailure::DiskFull(_)) if self.log.held_reserve_bytes() > 0 => {
                let definitions = lock(&self.shared.state).definitions_before(steps);
                self.log.rotate_into_reserve(&definitions)?;
                lock(&self.shared.state).live.begin(self.log.active_number());
                records::write(&mut self.log, steps)
            }
            outcome => outcome,
        }
    }

    /// Measures the disk if due, and updates the state when the disk becomes full or has space again.
    pub(super) fn look_at_disk(&mut self) {
        self.log.look_at_disk();
        let full = self.log.disk_full();
        if full.is_some() != self.is_disk_full {
            self.is_disk_full = full.is_some();
            lock(&self.shared.state).disk_full = full.cloned();
        }
    }

    /// Begins a new segment; on a full disk, in the reserved space, or not at all while the active one may grow.
    pub(super) fn rotate(&mut self) -> Result<(), WriteFailure> {
        let definitions = lock(&self.shared.state).definitions();
        match self.log.rotate(&definitions) {
            // The active segment grows until there is space for another one. If it is dead, replacing it is the best use of the reserve.
            Err(WriteFailure::DiskFull(_)) if self.log.may_grow() && !self.should_rotate_dead() => return Ok(()),
            Err(WriteFailure::DiskFull(_)) if self.log.held_reserve_bytes() > 0 => self.log.rotate_into_reserve(&definitions)?,
            outcome => outcome?,
        }
        lock(&self.shared.state).live.begin(self.log.active_number());
        self.mark();
        Ok(())
    }

    /// Whether the active segment is the only one, dead and large.
    pub(super) fn should_rotate_dead(&self) -> bool {
        !self.is_emptying_futile && self.log.active_bytes() > IDLE_SEGMENT_BYTES && lock(&self.shared.state).live.is_empty()
    }
}
