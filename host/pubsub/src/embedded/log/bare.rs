//! The log without a broker: the baseline for benchmarks of the broker.

use std::collections::VecDeque;
use std::path::Path;

use super::record::Record;
use super::segments::Log;
use crate::embedded::options::{EmbeddedOptions, OpenError};
use crate::error::Result;
use crate::message::Message;
use crate::message::size_of;

/// The number of the only queue.
const QUEUE: u64 = 1;

/// The broker's log with one queue, used by one thread: no waiting, sharing or ordering. It has the file format of the broker, but no broker can use
/// its folder.
#[derive(Debug)]
pub struct BareLog {
    log: Log,
    /// Messages appended and not removed: sequence and segment.
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
        let active_number = self.log.active_number();
        let mut frame = self.log.begin_frame().map_err(|failure| failure.to_error())?;
        for (sequence, _) in self.held.drain(..remove_count.min(self.held.len())) {
            frame.push(Record::Removed { queue: QUEUE, sequence });
        }
        for message in messages {
            let size_bytes = size_of(&message) as u32;
            frame.push(Record::Put { targets: &[(QUEUE, self.next_sequence)], size_bytes, message: &message });
            self.held.push_back((self.next_sequence, active_number));
            self.next_sequence += 1;
        }
        frame.write().map_err(|failure| failure.to_error())?;
        let oldest_needed = self.held.front().map_or(self.log.active_number(), |(_, segment)| *segment);
        for segment in self.log.segments() {
            if segment < oldest_needed {
                self.log.unlink(segment);
            }
        }
        Ok(())
    }
}
