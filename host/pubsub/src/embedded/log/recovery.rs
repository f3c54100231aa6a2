//! Opening: what the segments hold, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::confined::damaged_messages;
use super::frame::{Definition, FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, Record, Records};
use super::mark::{self, Mark};
use super::segment::{self, BadHeader, FORMAT_VERSION, HEADER_BYTES, Header};
use crate::embedded::group::Moved;
use crate::embedded::options::{OpenError, OpeningReport, SyncMode, TornTail};
use crate::embedded::queue::{Counting, Entry, Place, sharers};

/// A queue as the log has it.
#[derive(Debug)]
pub(in crate::embedded) struct RecoveredQueue {
    pub(in crate::embedded) definition: Definition,
    pub(in crate::embedded) entries: BTreeMap<u64, Entry>,
    /// Messages that it should have and that are in segments that are gone.
    pub(in crate::embedded) missing_count: u64,
    /// The first sequence that cannot be one of those.
    missing_below: u64,
}

impl RecoveredQueue {
    /// Takes a message out, here or from where it is missing.
    fn remove(&mut self, sequence: u64) {
        if self.entries.remove(&sequence).is_none() && sequence < self.missing_below {
            self.missing_count = self.missing_count.saturating_sub(1);
        }
    }
}

/// The segment to go on with.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) number: u32,
    pub(super) length: u64,
    pub(super) seed: u32,
    /// The format that the segment was begun in.
    pub(super) version: u32,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) queues: BTreeMap<u64, RecoveredQueue>,
    /// All segments with their lengths, the last one too.
    pub(super) sealed: BTreeMap<u32, u64>,
    pub(super) last: Option<Last>,
    pub(super) next_frame: u64,
    /// How far the log was whole for certain.
    pub(super) mark: Mark,
    torn: Option<TornTail>,
    /// Segments and offsets of messages that do not read.
    damaged: BTreeSet<(u32, u32)>,
}

impl Recovered {
    pub(super) fn report(&self) -> OpeningReport {
        OpeningReport {
            queues_count: self.queues.len() as u64,
            messages_count: self.queues.values().map(|queue| queue.entries.len() as u64).sum(),
            segments_count: self.sealed.len() as u64,
            log_bytes: self.sealed.values().sum(),
            torn_tail: self.torn.clone(),
            missing_count: self.queues.values().map(|queue| queue.missing_count).sum(),
            damaged_count: self.queues.values().map(|queue| self.damaged_count(queue)).sum(),
        }
    }

    fn damaged_count(&self, queue: &RecoveredQueue) -> u64 {
        if self.damaged.is_empty() {
            return 0;
        }
        queue.entries.values().filter(|entry| self.damaged.contains(&(entry.place.segment, entry.place.offset))).count() as u64
    }

    /// Tells of what is lost, queue by queue.
    fn tell(&self) {
        for queue in self.queues.values() {
            let (topic, subscription) = (queue.definition.queue.topic(), queue.definition.queue.subscription());
            let (missing_count, damaged_count) = (queue.missing_count, self.damaged_count(queue));
            if missing_count > 0 {
                tracing::error!(%topic, %subscription, missing_count, "messages are missing: segments that held them are gone");
            }
            if damaged_count > 0 {
                tracing::error!(%topic, %subscription, damaged_count, "messages are damaged, and are set aside when they are reached");
            }
        }
    }
}

/// Where reading a segment stopped.
struct Stop {
    offset: usize,
    detail: &'static str,
}

/// Reads all segments. Only when all is well but a torn tail, that is set aside and cut.
pub(super) fn recover(folder: &Path, sync: SyncMode) -> Result<Recovered, OpenError> {
    let numbers = segment::list(folder)?;
    let mark = mark::read(folder).map_err(|source| OpenError::Io { action: "read the mark of", path: folder.to_owned(), source })?;
    if numbers.last().copied().unwrap_or(0) < mark.segment {
        let detail = format!("it is missing, and so is all behind it; {}", held(&mark));
        return Err(damaged(&segment::path(folder, mark.segment), 0, &detail));
    }
    let mut found = Recovered { mark, ..Recovered::default() };
    for (at, number) in numbers.iter().copied().enumerate() {
        let path = segment::path(folder, number);
        if at > 0 && numbers[at - 1] + 1 != number {
            return Err(damaged(&path, 0, "the segment before it is missing"));
        }
        let bytes = std::fs::read(&path).map_err(|source| OpenError::Io { action: "read", path: path.clone(), source })?;
        // What has a segment behind it was whole before that was made.
        let committed_bytes = if at + 1 == numbers.len() { mark.committed_bytes(number) } else { u64::MAX };
        let stop = found.read_segment(&path, number, &bytes, committed_bytes)?.err();
        let end = found.sealed.get(&number).copied();
        match stop {
            Some(stop) if end.unwrap_or(0) >= committed_bytes && is_torn(&bytes, &stop, end.is_some(), number, at) => {
                found.torn = Some(set_aside(folder, sync, number, &bytes, end.map_or(0, |_| stop.offset))?);
            }
            Some(stop) => return Err(damaged(&path, stop.offset as u64, stop.detail)),
            None if committed_bytes != u64::MAX && end.unwrap_or(0) < committed_bytes => {
                let detail = format!("the file ends here, and had {committed_bytes} bytes; {}", held(&mark));
                return Err(damaged(&path, end.unwrap_or(0), &detail));
            }
            None => {}
        }
    }
    found.tell();
    Ok(found)
}

/// What was there when the mark was written, for people.
fn held(mark: &Mark) -> String {
    format!("the queues held {} messages when that was last noted", mark.messages_count)
}

/// Whether what stopped the reading of the last segment is a write that was never finished.
fn is_torn(bytes: &[u8], stop: &Stop, has_frames: bool, number: u32, segments_before: usize) -> bool {
    // A segment begins with its first frame, before anything is unlinked for it. So without a whole one it is new: it has a predecessor, or
    // it is the very first, in which there is nothing yet.
    let is_new = segments_before > 0 || (number == 1 && bytes.len() <= HEADER_BYTES + FRAME_HEADER_BYTES);
    (has_frames || is_new) && !has_frame_behind(bytes, stop.offset)
}

/// Whether a valid frame lies behind an offset: then something before it was lost that had been committed.
fn has_frame_behind(bytes: &[u8], offset: usize) -> bool {
    // With a header that does not read there is no salt to check frames with: what looks like one counts then.
    let seed = Header::decode(bytes).ok().map(|header| header.seed());
    let mut at = offset + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.windows(FRAME_MAGIC.len()).position(|four| four == FRAME_MAGIC)) {
        at += found;
        if seed.is_none_or(|seed| Frame::decode(&bytes[at..], seed).is_ok()) {
            return true;
        }
        at += 1;
    }
    false
}

/// Keeps the torn end of a segment in a file of its own and cuts it off; a segment of which nothing is left goes.
fn set_aside(folder: &Path, sync: SyncMode, number: u32, bytes: &[u8], from: usize) -> Result<TornTail, OpenError> {
    let path = segment::path(folder, number);
    let kept_in = free_name(&path);
    let tail = &bytes[from..];
    let sync_file = |file: &File| if sync == SyncMode::Data { file.sync_all() } else { Ok(()) };
    let keep = || -> std::io::Result<()> {
        let mut file = File::create_new(&kept_in)?;
        file.write_all(tail)?;
        sync_file(&file)?;
        segment::sync_folder(folder, sync)?;
        if from == 0 {
            std::fs::remove_file(&path)?;
        } else {
            let file = File::options().write(true).open(&path)?;
            file.set_len(from as u64)?;
            sync_file(&file)?;
        }
        segment::sync_folder(folder, sync)
    };
    keep().map_err(|source| OpenError::Io { action: "set the torn end aside of", path: path.clone(), source })?;
    let bytes = tail.len() as u64;
    tracing::warn!(path = %path.display(), offset = from, bytes, kept_in = %kept_in.display(), "end of the log does not read, by a crash or by damage: it is cut off and kept");
    Ok(TornTail { bytes, kept_in })
}

fn free_name(path: &Path) -> PathBuf {
    let mut name = path.with_extension("log.torn");
    let mut count = 1;
    while name.exists() {
        count += 1;
        name = path.with_extension(format!("log.torn-{count}"));
    }
    name
}

fn damaged(path: &Path, offset: u64, detail: &str) -> OpenError {
    OpenError::Damaged { segment: path.to_owned(), offset, detail: detail.to_owned() }
}

impl Recovered {
    /// Reads one segment, which was whole up to `committed_bytes` for certain; inside, where it had to stop.
    fn read_segment(&mut self, path: &Path, number: u32, bytes: &[u8], committed_bytes: u64) -> Result<Result<(), Stop>, OpenError> {
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(BadHeader::Newer(found)) => {
                return Err(OpenError::NewerFormat { segment: path.to_owned(), found, known: FORMAT_VERSION });
            }
            Err(BadHeader::Damaged(detail)) => return Ok(Err(Stop { offset: 0, detail })),
        };
        if header.number != u64::from(number) {
            return Err(damaged(path, 16, "its number is not that of its name"));
        }
        if self.last.is_none() {
            self.next_frame = header.first_frame;
        }
        if header.first_frame != self.next_frame {
            return Err(damaged(path, 24, "frames are missing before it"));
        }
        let mut offset = HEADER_BYTES;
        while offset < bytes.len() || offset == HEADER_BYTES {
            let frame = match Frame::decode(&bytes[offset..], header.seed()) {
                Ok(frame) if frame.number == self.next_frame => frame,
                Ok(_) => return Err(damaged(path, offset as u64, "frames are missing before it")),
                Err(detail) => match self.read_damaged(number, bytes, offset, header.seed(), committed_bytes) {
                    Some(frame) => frame,
                    None => return Ok(Err(Stop { offset, detail })),
                },
            };
            self.replay(frame.payload, number, offset + FRAME_HEADER_BYTES).map_err(|detail| damaged(path, offset as u64, detail))?;
            offset += FRAME_HEADER_BYTES + frame.payload.len();
            self.next_frame += 1;
            self.sealed.insert(number, offset as u64);
            self.last = Some(Last { number, length: offset as u64, seed: header.seed(), version: header.version });
        }
        Ok(Ok(()))
    }

    /// A frame in which messages are damaged and nothing else is, if it was committed; the messages are noted.
    fn read_damaged<'a>(&mut self, number: u32, bytes: &'a [u8], offset: usize, seed: u32, committed_bytes: u64) -> Option<Frame<'a>> {
        let frame = Frame::unchecked(&bytes[offset..]).filter(|frame| frame.number == self.next_frame)?;
        let start = offset + FRAME_HEADER_BYTES;
        let end = start + frame.payload.len();
        let messages = damaged_messages(&bytes[offset..end], seed)?;
        if end as u64 > committed_bytes && !has_frame_behind(bytes, offset) {
            return None;
        }
        self.damaged.extend(messages.into_iter().map(|at| (number, (start + at) as u32)));
        Some(frame)
    }

    fn replay(&mut self, payload: &[u8], segment: u32, start: usize) -> Result<(), &'static str> {
        // Whatever is found may be what ended the last process.
        let counting = Counting::Suspect;
        let mut records = Records::new(payload);
        while let Some(record) = records.next() {
            match record? {
                Record::Defined(definition) => self.define(definition),
                Record::Deleted { queue } => drop(self.queues.remove(&queue)),
                Record::Put { targets, size_bytes, offset, length } => {
                    let place = Place { segment, offset: (start + offset) as u32, length };
                    let sharers = sharers(targets.len());
                    for (queue, sequence) in targets {
                        self.put(queue, Entry { sequence, place, size_bytes, sharers, deliveries: 0, counting, stored: None })?;
                    }
                }
                Record::Moved { targets, size_bytes, offset, length } => {
                    let place = Place { segment, offset: (start + offset) as u32, length };
                    let sharers = sharers(targets.len());
                    for Moved { queue, sequence, deliveries } in targets {
                        self.put_again(queue, Entry { sequence, place, size_bytes, sharers, deliveries, counting, stored: None })?;
                    }
                }
                // What speaks of a message of a segment that is gone only tells that it is not missing.
                Record::Removed { queue, sequence } | Record::SetAside { queue, sequence } => {
                    if let Some(queue) = self.queues.get_mut(&queue) {
                        queue.remove(sequence);
                    }
                }
                Record::Dropped { queue, sequence } => {
                    if let Some(queue) = self.queues.get_mut(&queue) {
                        queue.remove(sequence);
                        queue.definition.dropped_count += 1;
                    }
                }
                Record::Live { queue, count } => self.expect(queue, count),
                Record::Delivered { queue, first, last } if first <= last => {
                    let entries = self.queues.get_mut(&queue).map(|queue| queue.entries.range_mut(first..=last));
                    entries.into_iter().flatten().for_each(|(_, entry)| entry.deliveries = entry.deliveries.saturating_add(1));
                }
                Record::Delivered { .. } => return Err("a range of deliveries ends before it begins"),
            }
        }
        Ok(())
    }

    fn define(&mut self, definition: Definition) {
        match self.queues.get_mut(&definition.number) {
            Some(queue) => queue.definition = definition,
            None => {
                let queue = RecoveredQueue { definition, entries: BTreeMap::new(), missing_count: 0, missing_below: 0 };
                self.queues.insert(queue.definition.number, queue);
            }
        }
    }

    /// Takes note of how many messages a queue had before the oldest segment that is there: they are missing unless they go later on.
    fn expect(&mut self, queue: u64, count: u64) {
        if self.last.is_none()
            && let Some(queue) = self.queues.get_mut(&queue)
        {
            (queue.missing_count, queue.missing_below) = (count, queue.definition.next_sequence);
        }
    }

    fn put(&mut self, queue: u64, entry: Entry) -> Result<(), &'static str> {
        let queue = self.queues.get_mut(&queue).ok_or("a message enters a queue that does not exist")?;
        if entry.sequence < queue.definition.next_sequence {
            return Err("a sequence was used twice");
        }
        queue.definition.next_sequence = entry.sequence + 1;
        queue.entries.insert(entry.sequence, entry);
        Ok(())
    }

    /// A message that was copied forward, in place of its first copy, whose segment may be gone.
    fn put_again(&mut self, queue: u64, entry: Entry) -> Result<(), &'static str> {
        let queue = self.queues.get_mut(&queue).ok_or("a message is moved in a queue that does not exist")?;
        if entry.sequence >= queue.definition.next_sequence {
            return Err("a message is moved that never entered its queue");
        }
        // One of those before the oldest segment is found here.
        queue.remove(entry.sequence);
        queue.entries.insert(entry.sequence, entry);
        Ok(())
    }
}
