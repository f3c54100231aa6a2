//! Gaps: how recovery continues after lost parts of the log, and what it infers about them.
//!
//! The first frame of each segment defines all queues, with their next sequences and the number of their messages. So after a gap it shows which
//! queues were deleted, which sequences were put in the gap, and how many of all earlier messages are live.

use std::ops::Range;
use std::path::Path;

use super::recovered::{LostPart, Recovered, RecoveredMessage, RecoveredQueue, SegmentStart};
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::LogPosition;

/// The first format in which a segment counts the messages of earlier segments.
const COUNTING_VERSION: u32 = 2;

impl Recovered {
    /// Records an unreadable part of a segment.
    pub(super) fn lose(&mut self, path: &Path, number: u32, part: Range<usize>, detail: &'static str) {
        let position = LogPosition { segment: number, offset: part.start as u32, length: part.len() as u32 };
        self.lost.push(LostPart { path: path.to_owned(), position, detail });
        self.open_gap();
    }

    fn open_gap(&mut self) {
        self.has_gap = true;
        self.queues.values_mut().for_each(|queue| queue.is_behind_gap = true);
    }

    /// Continues with the first frame of a segment; frames before it may be missing.
    pub(super) fn begin_segment(&mut self, first_frame: u64) -> Result<(), &'static str> {
        if self.last.is_some() && first_frame < self.next_frame {
            return Err("its frames are older than those before it");
        }
        if self.last.is_none() || first_frame > self.next_frame {
            self.open_gap();
        }
        self.next_frame = first_frame;
        Ok(())
    }

    /// Applies what the first frame of a segment states about everything before it.
    pub(super) fn close_gap(&mut self, beginning: SegmentStart, version: u32) {
        if !std::mem::take(&mut self.has_gap) {
            return;
        }
        // A queue not defined by now was deleted in the gap.
        self.unnamed.clear();
        self.queues.retain(|number, _| beginning.defined.contains_key(number));
        if version < COUNTING_VERSION {
            return;
        }
        for (number, queue) in &mut self.queues {
            let live_count = beginning.live.get(number).copied().unwrap_or(0);
            if live_count == 0 {
                queue.entries.clear();
            }
            let is_known = beginning.defined.get(number) == Some(&true);
            let there_count = queue.entries.len() as u64;
            // For a queue that was unknown before, the number of messages put in the gap is unknown.
            let missing_count = if is_known { queue.missing_count.min(live_count) } else { live_count.saturating_sub(there_count) };
            queue.missing_count = missing_count;
            queue.repeated_count = (there_count + missing_count).saturating_sub(live_count);
        }
    }

    pub(super) fn define(&mut self, definition: QueueDefinition) {
        let number = definition.number;
        let is_known = match self.queues.get_mut(&number) {
            Some(queue) if !queue.is_behind_gap => {
                queue.definition = definition;
                true
            }
            // A queue that was deleted and created again in the gap, or another queue with the same number, has none of these messages.
            Some(queue) if queue.definition.queue == definition.queue && queue.definition.next_sequence <= definition.next_sequence => {
                queue.pass_gap(definition.next_sequence);
                queue.definition = definition;
                true
            }
            _ => {
                let mut queue = RecoveredQueue::new(definition);
                queue.entries = self.unnamed.remove(&number).unwrap_or_default();
                queue.missing_below = queue.definition.next_sequence;
                self.queues.insert(number, queue);
                false
            }
        };
        if let Some(beginning) = &mut self.beginning {
            beginning.defined.insert(number, is_known);
        }
    }

    pub(super) fn put(&mut self, number: u64, sequence: u64, message: RecoveredMessage) -> Result<(), &'static str> {
        let Some(queue) = self.queues.get_mut(&number) else {
            return self.put_unnamed(number, sequence, message).ok_or("a message enters a queue that does not exist");
        };
        if sequence < queue.definition.next_sequence {
            return Err("a sequence was used twice");
        }
        queue.pass_gap(sequence);
        queue.definition.next_sequence = sequence + 1;
        queue.entries.insert(sequence, message);
        Ok(())
    }

    /// A message that was copied forward replaces its first copy, whose segment may be gone.
    pub(super) fn put_again(&mut self, number: u64, sequence: u64, message: RecoveredMessage) -> Result<(), &'static str> {
        let Some(queue) = self.queues.get_mut(&number) else {
            return self.put_unnamed(number, sequence, message).ok_or("a message is moved in a queue that does not exist");
        };
        if sequence >= queue.definition.next_sequence {
            if !queue.is_behind_gap {
                return Err("a message is moved that never entered its queue");
            }
            queue.pass_gap(sequence + 1);
            queue.definition.next_sequence = sequence + 1;
        }
        // The message may have counted as missing.
        queue.remove(sequence);
        queue.entries.insert(sequence, message);
        Ok(())
    }

    /// Keeps a message of a queue that may have been defined in a lost part.
    fn put_unnamed(&mut self, number: u64, sequence: u64, message: RecoveredMessage) -> Option<()> {
        if !self.has_gap {
            return None;
        }
        self.unnamed.entry(number).or_default().insert(sequence, message);
        Some(())
    }
}

impl RecoveredQueue {
    /// Counts the sequences put in a lost part, up to the next known one.
    fn pass_gap(&mut self, next_sequence: u64) {
        if std::mem::take(&mut self.is_behind_gap) && next_sequence > self.definition.next_sequence {
            self.missing_count += next_sequence - self.definition.next_sequence;
            self.missing_below = next_sequence;
        }
    }
}
