//! Live messages and bytes of each segment of the log: those that are still in some queue.

use std::collections::BTreeMap;

use super::entry::Entry;

/// Live messages of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SegmentLoad {
    count: u64,
    bytes: u64,
}

/// Live messages and bytes by segment, the active one included.
#[derive(Debug, Default)]
pub(crate) struct LiveSegments {
    segments: BTreeMap<u32, SegmentLoad>,
    bytes: u64,
    dead_bytes: u64,
}

impl LiveSegments {
    /// Adds a segment without live messages.
    pub(crate) fn begin(&mut self, segment: u32) {
        self.segments.entry(segment).or_default();
    }

    /// Adds a message.
    pub(super) fn add(&mut self, entry: &Entry) {
        let bytes = entry.disk_bytes();
        let held = self.segments.entry(entry.position.segment).or_default();
        held.count += 1;
        held.bytes += bytes;
        self.bytes += bytes;
    }

    /// Removes a message.
    pub(super) fn remove(&mut self, entry: &Entry) {
        let bytes = entry.disk_bytes();
        if let Some(held) = self.segments.get_mut(&entry.position.segment) {
            held.count -= 1;
            held.bytes -= bytes;
            self.bytes -= bytes;
            self.dead_bytes += bytes;
        }
    }

    /// Moves a message to another segment.
    pub(super) fn shift(&mut self, before: &Entry, after: &Entry) {
        let dead_bytes = self.dead_bytes;
        self.remove(before);
        self.add(after);
        self.dead_bytes = dead_bytes;
    }

    /// Removes the oldest segment if it is dead and not the active one.
    pub(crate) fn pop_dead(&mut self, active: u32) -> Option<u32> {
        let oldest = self.segments.first_entry()?;
        let is_dead = oldest.get().count == 0 && *oldest.key() != active;
        is_dead.then(|| oldest.remove_entry().0)
    }

    /// The oldest segment and its live bytes.
    pub(crate) fn oldest(&self) -> Option<(u32, u64)> {
        self.segments.first_key_value().map(|(segment, held)| (*segment, held.bytes))
    }

    /// Whether nothing is live.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.values().all(|held| held.count == 0)
    }

    /// Live bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that died since the last call.
    pub(crate) fn take_dead_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.dead_bytes)
    }
}
