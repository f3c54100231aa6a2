//! What still lives of each segment of the log.

use std::collections::BTreeMap;

use super::entry::Entry;

/// What the queues still hold of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    count: u64,
    bytes: u64,
}

/// Messages and bytes that live, by segment. The segment that is written to is among them.
#[derive(Debug, Default)]
pub(crate) struct LiveSegments {
    segments: BTreeMap<u32, Held>,
    bytes: u64,
    died_bytes: u64,
}

impl LiveSegments {
    /// Begins a segment, which holds nothing yet.
    pub(crate) fn begin(&mut self, segment: u32) {
        self.segments.entry(segment).or_default();
    }

    /// Counts a message in.
    pub(super) fn add(&mut self, entry: &Entry) {
        let bytes = entry.disk_bytes();
        let held = self.segments.entry(entry.place.segment).or_default();
        held.count += 1;
        held.bytes += bytes;
        self.bytes += bytes;
    }

    /// Counts a message out.
    pub(super) fn remove(&mut self, entry: &Entry) {
        let bytes = entry.disk_bytes();
        if let Some(held) = self.segments.get_mut(&entry.place.segment) {
            held.count -= 1;
            held.bytes -= bytes;
            self.bytes -= bytes;
            self.died_bytes += bytes;
        }
    }

    /// Counts a message at another place than before.
    pub(super) fn shift(&mut self, before: &Entry, after: &Entry) {
        let died_bytes = self.died_bytes;
        self.remove(before);
        self.add(after);
        self.died_bytes = died_bytes;
    }

    /// Takes the oldest segment out if nothing of it lives and it is not the active one.
    pub(crate) fn pop_dead(&mut self, active: u32) -> Option<u32> {
        let oldest = self.segments.first_entry()?;
        let is_dead = oldest.get().count == 0 && *oldest.key() != active;
        is_dead.then(|| oldest.remove_entry().0)
    }

    /// The oldest segment, and the bytes that live of it.
    pub(crate) fn oldest(&self) -> Option<(u32, u64)> {
        self.segments.first_key_value().map(|(segment, held)| (*segment, held.bytes))
    }

    /// Whether no queue holds anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.values().all(|held| held.count == 0)
    }

    /// Bytes that live, all segments together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that died since the last call.
    pub(crate) fn take_died_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.died_bytes)
    }
}
