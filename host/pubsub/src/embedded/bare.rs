//! The log without a broker: what the benches hold the broker against.

use std::collections::VecDeque;
use std::path::Path;

use super::group::{Reason, Step};
use super::log::Log;
use super::options::{EmbeddedOptions, OpenError};
use super::queue::{Counting, Entry, Place, Stored};
use crate::error::Result;
use crate::message::Message;

/// The number of the only queue.
const QUEUE: u64 = 1;

/// The same log as the broker's, with one queue, driven by one thread: no waiting, no sharing, no order to keep. It has the file format of
/// the broker, but its folder is of no use to one.
#[derive(Debug)]
pub struct BareLog {
    log: Log,
    /// What was appended and not removed: sequence and segment.
    held: VecDeque<(u64, u32)>,
    next_sequence: u64,
}

impl BareLog {
    /// Opens an empty folder.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &Path, options: &EmbeddedOptions) -> std::result::Result<Self, OpenError> {
        Ok(BareLog { log: Log::open(folder, options)?.log, held: VecDeque::new(), next_sequence: 1 })
    }

    /// Appends messages and removes this many of the oldest, as one durable frame.
    ///
    /// # Errors
    /// `QueueFull` when the disk is full, `Unavailable`.
    pub fn commit(&mut self, messages: Vec<Message>, remove_count: usize) -> Result<()> {
        if self.log.is_active_full() {
            self.log.rotate(&[]).map_err(|failure| failure.to_error())?;
        }
        let mut steps: Vec<Step> = Vec::with_capacity(messages.len() + remove_count);
        let removed = remove_count.min(self.held.len());
        for (sequence, _) in self.held.drain(..removed) {
            steps.push(Step::Remove { queue: QUEUE, entry: entry(sequence), reason: Reason::Settled(0) });
        }
        for message in messages {
            let targets = vec![(QUEUE, self.next_sequence)];
            steps.push(Step::Put { targets, stored: Stored::new(message), place: Place::default(), taps: Vec::new() });
            self.held.push_back((self.next_sequence, self.log.active_number()));
            self.next_sequence += 1;
        }
        self.log.write(&mut steps).map_err(|failure| failure.to_error())?;
        let oldest_needed = self.held.front().map_or(self.log.active_number(), |(_, segment)| *segment);
        for segment in self.log.segments() {
            if segment < oldest_needed {
                self.log.unlink(segment);
            }
        }
        Ok(())
    }
}

fn entry(sequence: u64) -> Entry {
    Entry { sequence, place: Place::default(), size_bytes: 0, sharers: 1, deliveries: 0, counting: Counting::Lazy, stored: None }
}
