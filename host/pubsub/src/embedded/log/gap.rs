//! Opening a log of which parts are lost: how reading goes on behind them, and what is known of what was in them.
//!
//! The first frame of each segment defines all queues, with the sequences that they used and the messages that they had. So behind a gap it shows which
//! queues went, which sequences were put in between, and how many of all those messages lived.

use std::ops::Range;
use std::path::Path;

use super::recovered::{Beginning, Lost, Recovered, RecoveredMessage, RecoveredQueue};
use crate::embedded::definition::Definition;
use crate::embedded::place::Place;

/// The format from which on a segment counts the messages of the segments before it.
const COUNTING_VERSION: u32 = 2;

impl Recovered {
    /// Notes that a part of a segment does not read.
    pub(super) fn lose(&mut self, path: &Path, number: u32, part: Range<usize>, detail: &'static str) {
        let place = Place { segment: number, offset: part.start as u32, length: part.len() as u32 };
        self.lost.push(Lost { path: path.to_owned(), place, detail });
        self.open_gap();
    }

    fn open_gap(&mut self) {
        self.has_gap = true;
        self.queues.values_mut().for_each(|queue| queue.is_behind_gap = true);
    }

    /// Goes on with the first frame of a segment, which may have frames missing before it.
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

    /// Takes in what the first frame of a segment says of everything before it.
    pub(super) fn close_gap(&mut self, beginning: Beginning, version: u32) {
        if !std::mem::take(&mut self.has_gap) {
            return;
        }
        // What was not defined by now was deleted in between.
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
            // Of a queue that was not known before, it is not known how many of its messages came in between.
            let missing_count = if is_known { queue.missing_count.min(live_count) } else { live_count.saturating_sub(there_count) };
            queue.missing_count = missing_count;
            queue.repeated_count = (there_count + missing_count).saturating_sub(live_count);
        }
    }

    pub(super) fn define(&mut self, definition: Definition) {
        let number = definition.number;
        let is_known = match self.queues.get_mut(&number) {
            Some(queue) if !queue.is_behind_gap => {
                queue.definition = definition;
                true
            }
            // A queue that was deleted and made again meanwhile, or another one that got its number, has nothing of it.
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

    /// A message that was copied forward, in place of its first copy, whose segment may be gone.
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
        // One of those that are missing is found here.
        queue.remove(sequence);
        queue.entries.insert(sequence, message);
        Ok(())
    }

    /// Keeps a message of a queue that may have been defined in a part that is lost.
    fn put_unnamed(&mut self, number: u64, sequence: u64, message: RecoveredMessage) -> Option<()> {
        if !self.has_gap {
            return None;
        }
        self.unnamed.entry(number).or_default().insert(sequence, message);
        Some(())
    }
}

impl RecoveredQueue {
    /// Counts the sequences that were put in a part that is lost, up to the next one that is known.
    fn pass_gap(&mut self, next_sequence: u64) {
        if std::mem::take(&mut self.is_behind_gap) && next_sequence > self.definition.next_sequence {
            self.missing_count += next_sequence - self.definition.next_sequence;
            self.missing_below = next_sequence;
        }
    }
}
