//! Opening a log of which parts are lost: how reading goes on behind them, and what is known of what was in them.
//!
//! The first frame of each segment defines all queues, with the sequences that they used and the messages that they had. So behind a gap it shows which
//! queues went, which sequences were put in between, and how many of all those messages lived.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::damage::Keep;
use super::frame::Definition;
use super::recovery::{Recovered, RecoveredQueue};
use crate::embedded::queue::{Entry, Place};

/// The format from which on a segment counts the messages of the segments before it.
const COUNTING_VERSION: u32 = 2;

/// A part of a segment that does not read.
#[derive(Debug)]
pub(super) struct Lost {
    path: PathBuf,
    place: Place,
    detail: &'static str,
}

/// What the first frame of a segment says.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// Queues that exist, and whether an earlier segment defined them.
    defined: BTreeMap<u64, bool>,
    /// How many messages they have.
    pub(super) live: BTreeMap<u64, u64>,
}

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

    pub(super) fn put(&mut self, number: u64, entry: Entry) -> Result<(), &'static str> {
        let Some(queue) = self.queues.get_mut(&number) else {
            return self.put_unnamed(number, entry).ok_or("a message enters a queue that does not exist");
        };
        if entry.sequence < queue.definition.next_sequence {
            return Err("a sequence was used twice");
        }
        queue.pass_gap(entry.sequence);
        queue.definition.next_sequence = entry.sequence + 1;
        queue.entries.insert(entry.sequence, entry);
        Ok(())
    }

    /// A message that was copied forward, in place of its first copy, whose segment may be gone.
    pub(super) fn put_again(&mut self, number: u64, entry: Entry) -> Result<(), &'static str> {
        let Some(queue) = self.queues.get_mut(&number) else {
            return self.put_unnamed(number, entry).ok_or("a message is moved in a queue that does not exist");
        };
        if entry.sequence >= queue.definition.next_sequence {
            if !queue.is_behind_gap {
                return Err("a message is moved that never entered its queue");
            }
            queue.pass_gap(entry.sequence + 1);
            queue.definition.next_sequence = entry.sequence + 1;
        }
        // One of those that are missing is found here.
        queue.remove(entry.sequence);
        queue.entries.insert(entry.sequence, entry);
        Ok(())
    }

    /// Keeps a message of a queue that may have been defined in a part that is lost.
    fn put_unnamed(&mut self, number: u64, entry: Entry) -> Option<()> {
        self.has_gap.then(|| drop(self.unnamed.entry(number).or_default().insert(entry.sequence, entry)))
    }

    /// Reports the parts that do not read, and keeps their bytes for people.
    pub(super) fn keep_lost(&self, folder: &Path) {
        let keep = Keep::default();
        for Lost { path, place, detail } in &self.lost {
            let kept_in = read_part(path, *place).and_then(|bytes| keep.keep(folder, *place, &bytes.into()));
            let kept_in = kept_in.as_ref().map(|path| tracing::field::display(path.display()));
            let (offset, length) = (place.offset, place.length);
            tracing::error!(segment = %path.display(), offset, length, error = detail, kept_in, "part of the log does not read, its records are lost");
        }
        let unnamed_count: usize = self.unnamed.values().map(BTreeMap::len).sum();
        if unnamed_count > 0 {
            tracing::error!(messages_count = unnamed_count, "messages are lost whose queues were defined in a lost part of the log");
        }
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

/// The bytes of a part, unless there is nothing in it.
fn read_part(path: &Path, place: Place) -> Option<Vec<u8>> {
    let mut bytes = vec![0; place.length as usize];
    File::open(path).and_then(|file| file.read_exact_at(&mut bytes, u64::from(place.offset))).ok()?;
    bytes.iter().any(|byte| *byte != 0).then_some(bytes)
}
