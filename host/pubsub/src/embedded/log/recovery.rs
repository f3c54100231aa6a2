//! Recovery: reading all segments when the log is opened.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::confined::damaged_messages;
use super::frame::{FRAME_HEADER_BYTES, FRAME_MAGIC, Frame};
use super::mark::{self, Mark};
use super::record::{ReadRecord, Records};
use super::recovered::{LastSegment, Recovered, RecoveredMessage, SegmentStart};
use super::segment::{self, BadHeader, FORMAT_VERSION, HEADER_BYTES, Header};
use crate::embedded::log_position::{LogPosition, Moved};
use crate::embedded::options::{OpenError, SyncMode, TornTail};

/// Where reading a segment stopped.
struct ReadStop {
    offset: usize,
    detail: &'static str,
}

/// Reads all segments. Lost parts of all but the last one are skipped and recorded; the last one must be whole except for a torn tail,
/// which is kept aside and cut off.
pub(super) fn recover(folder: &Path, sync: SyncMode) -> Result<Recovered, OpenError> {
    let numbers = segment::list(folder)?;
    let file = mark::read(folder).map_err(|source| OpenError::Io { action: "read the mark of", path: folder.to_owned(), source })?;
    let mark = file.mark();
    if numbers.last().copied().unwrap_or(0) < mark.segment {
        let detail = format!("it is missing, and so are all segments after it; {}", held(&mark));
        return Err(damaged(&segment::path(folder, mark.segment), 0, &detail));
    }
    let mut found = Recovered { mark, ..Recovered::default() };
    let Some((last, sealed)) = numbers.split_last() else {
        return Ok(found);
    };
    for number in sealed {
        found.read_sealed(folder, *number)?;
    }
    found.read_last(folder, sync, *last, sealed.len())?;
    found.lost_mark = file.lost(found.last.as_ref().map(|last| (last.number, last.version, last.length)));
    found.log_losses(folder);
    found.keep_lost(folder);
    Ok(found)
}

fn read_file(path: &Path) -> Result<Vec<u8>, OpenError> {
    std::fs::read(path).map_err(|source| OpenError::Io { action: "read", path: path.to_owned(), source })
}

/// The content at the time of the mark, for display.
fn held(mark: &Mark) -> String {
    format!("the queues held {} messages when last recorded", mark.messages_count)
}

/// Whether reading the last segment stopped at an unfinished write.
fn is_torn(bytes: &[u8], stop: &ReadStop, has_frames: bool, number: u32, segments_before: usize) -> bool {
    // The first frame of a segment is written before anything is unlinked because of it. So without a whole frame the segment is new: it has a
    // predecessor, or it is the very first and empty.
    let is_new = segments_before > 0 || (number == 1 && bytes.len() <= HEADER_BYTES + FRAME_HEADER_BYTES);
    (has_frames || is_new) && !has_frame_behind(bytes, stop.offset)
}

/// Whether a valid frame follows an offset, in which case a committed frame before it is lost.
fn has_frame_behind(bytes: &[u8], offset: usize) -> bool {
    // Without a readable header there is no salt to verify frames with: anything that looks like a frame counts.
    match Header::decode(bytes) {
        Ok(header) => frame_behind(bytes, offset, header.seed(), 0).is_some(),
        Err(_) => magics_after(bytes, offset).next().is_some(),
    }
}

/// The offset of the next valid frame with at least this number.
fn frame_behind(bytes: &[u8], offset: usize, seed: u32, least_number: u64) -> Option<usize> {
    // The number is checked first: messages may contain many frame magics.
    let is_likely = |at: &usize| Frame::unchecked(&bytes[*at..]).is_some_and(|frame| frame.number >= least_number);
    magics_after(bytes, offset).filter(is_likely).find(|at| Frame::decode(&bytes[*at..], seed).is_ok())
}

fn magics_after(bytes: &[u8], offset: usize) -> impl Iterator<Item = usize> {
    let behind = bytes.get(offset + 1..).unwrap_or_default().windows(FRAME_MAGIC.len()).enumerate();
    behind.filter(|(_, four)| *four == FRAME_MAGIC).map(move |(at, _)| offset + 1 + at)
}

/// Saves the torn end of a segment to another file and cuts it off; removes a segment of which nothing is left.
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
    keep().map_err(|source| OpenError::Io { action: "set aside the torn end of", path: path.clone(), source })?;
    let bytes = tail.len() as u64;
    tracing::warn!(path = %path.display(), offset = from, bytes, kept_in = %kept_in.display(), "end of the log unreadable because of a \
         crash or damage: truncated, the bytes are kept");
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
    /// Reads a segment that others follow: it was whole before they were created, so unreadable parts are losses.
    fn read_sealed(&mut self, folder: &Path, number: u32) -> Result<(), OpenError> {
        let path = segment::path(folder, number);
        let bytes = read_file(&path)?;
        self.sealed.insert(number, bytes.len() as u64);
        if let Err(stop) = self.read_segment(&path, number, &bytes, u64::MAX)? {
            self.lose(&path, number, stop.offset..bytes.len(), stop.detail);
        }
        self.sealed.insert(number, bytes.len() as u64);
        Ok(())
    }

    /// Reads the segment that is being written.
    fn read_last(&mut self, folder: &Path, sync: SyncMode, number: u32, segments_before: usize) -> Result<(), OpenError> {
        let path = segment::path(folder, number);
        let bytes = read_file(&path)?;
        let committed_bytes = self.mark.committed_bytes(number);
        let stop = self.read_segment(&path, number, &bytes, committed_bytes)?.err();
        let end = self.sealed.get(&number).copied();
        match stop {
            Some(stop) if end.unwrap_or(0) >= committed_bytes && is_torn(&bytes, &stop, end.is_some(), number, segments_before) => {
                if end.is_none() {
                    // The segment before it will be written to again, which requires that it is whole.
                    self.check_whole(folder)?;
                }
                self.torn = Some(set_aside(folder, sync, number, &bytes, end.map_or(0, |_| stop.offset))?);
            }
            Some(stop) => return Err(damaged(&path, stop.offset as u64, stop.detail)),
            None if committed_bytes != u64::MAX && end.unwrap_or(0) < committed_bytes => {
                let detail = format!("the file ends here, and had {committed_bytes} bytes; {}", held(&self.mark));
                return Err(damaged(&path, end.unwrap_or(0), &detail));
            }
            None => {}
        }
        Ok(())
    }

    /// Fails if the newest readable segment is not whole.
    fn check_whole(&self, folder: &Path) -> Result<(), OpenError> {
        let Some((number, length)) = self.sealed.last_key_value() else { return Ok(()) };
        if self.last.as_ref().is_some_and(|last| (last.number, last.length) == (*number, *length)) {
            return Ok(());
        }
        let offset = self.last.as_ref().filter(|last| last.number == *number).map_or(0, |last| last.length);
        Err(damaged(&segment::path(folder, *number), offset, "it is unreadable before its end, and so is the segment after it"))
    }

    /// Reads one segment, which was certainly whole up to `committed_bytes`; the inner error is where reading stopped.
    fn read_segment(&mut self, path: &Path, number: u32, bytes: &[u8], committed_bytes: u64) -> Result<Result<(), ReadStop>, OpenError> {
        let is_sealed = committed_bytes == u64::MAX;
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(BadHeader::Newer(found)) => {
                return Err(OpenError::NewerFormat { segment: path.to_owned(), found, known: FORMAT_VERSION });
            }
            Err(BadHeader::Damaged(detail)) => return Ok(Err(ReadStop { offset: 0, detail })),
        };
        if header.number != u64::from(number) {
            let detail = "its number does not match its name";
            return if is_sealed { Ok(Err(ReadStop { offset: 0, detail })) } else { Err(damaged(path, 16, detail)) };
        }
        self.begin_segment(header.first_frame).map_err(|detail| damaged(path, 24, detail))?;
        let mut offset = HEADER_BYTES;
        while offset < bytes.len() || offset == HEADER_BYTES {
            let frame = match Frame::decode(&bytes[offset..], header.seed()) {
                Ok(frame) if frame.number == self.next_frame => frame,
                Ok(_) if !is_sealed => return Err(damaged(path, offset as u64, "frames are missing before it")),
                bad => match self.read_damaged(number, bytes, offset, header.seed(), committed_bytes) {
                    Some(frame) => frame,
                    None => {
                        let detail = bad.err().unwrap_or("frames are missing before it");
                        let behind = is_sealed.then(|| frame_behind(bytes, offset, header.seed(), self.next_frame)).flatten();
                        let Some(next) = behind else { return Ok(Err(ReadStop { offset, detail })) };
                        self.lose(path, number, offset..next, detail);
                        self.next_frame = Frame::unchecked(&bytes[next..]).map_or(self.next_frame, |frame| frame.number);
                        offset = next;
                        continue;
                    }
                },
            };
            self.replay_frame(&frame, number, offset, &header).map_err(|detail| damaged(path, offset as u64, detail))?;
            offset += FRAME_HEADER_BYTES + frame.payload.len();
        }
        Ok(Ok(()))
    }

    fn replay_frame(&mut self, frame: &Frame<'_>, number: u32, offset: usize, header: &Header) -> Result<(), &'static str> {
        self.beginning = (frame.number == header.first_frame).then(SegmentStart::default);
        self.replay(frame.payload, number, offset + FRAME_HEADER_BYTES)?;
        if let Some(beginning) = self.beginning.take() {
            self.close_gap(beginning, header.version);
        }
        self.next_frame = frame.number + 1;
        let length = (offset + FRAME_HEADER_BYTES + frame.payload.len()) as u64;
        self.sealed.insert(number, length);
        self.last = Some(LastSegment { number, length, seed: header.seed(), version: header.version });
        Ok(())
    }

    /// A committed frame in which only messages are damaged; the messages are recorded.
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
        let mut records = Records::new(payload);
        while let Some(record) = records.next() {
            match record? {
                ReadRecord::Defined(definition) => self.define(definition),
                ReadRecord::Deleted { queue } => {
                    self.queues.remove(&queue);
                    self.unnamed.remove(&queue);
                }
                ReadRecord::Put { targets, size_bytes, offset, length } => {
                    let position = LogPosition { segment, offset: (start + offset) as u32, length };
                    let targets_count = targets.len() as u32;
                    for (queue, sequence) in targets {
                        self.put(queue, sequence, RecoveredMessage { position, size_bytes, targets_count, deliveries: 0 })?;
                    }
                }
                ReadRecord::Moved { targets, size_bytes, offset, length } => {
                    let position = LogPosition { segment, offset: (start + offset) as u32, length };
                    let targets_count = targets.len() as u32;
                    for Moved { queue, sequence, deliveries } in targets {
                        self.put_again(queue, sequence, RecoveredMessage { position, size_bytes, targets_count, deliveries })?;
                    }
                }
                // A record about a message whose segment is gone shows only that the message is not missing.
                ReadRecord::Removed { queue, sequence } | ReadRecord::SetAside { queue, sequence } => {
                    if let Some(messages) = self.unnamed.get_mut(&queue) {
                        messages.remove(&sequence);
                    }
                    if let Some(queue) = self.queues.get_mut(&queue) {
                        queue.remove(sequence);
                    }
                }
                ReadRecord::Dropped { queue, sequence } => {
                    if let Some(messages) = self.unnamed.get_mut(&queue) {
                        messages.remove(&sequence);
                    }
                    if let Some(queue) = self.queues.get_mut(&queue) {
                        queue.remove(sequence);
                        queue.definition.dropped_count += 1;
                    }
                }
                ReadRecord::Live { queue, count } => {
                    if let Some(beginning) = &mut self.beginning {
                        beginning.live.insert(queue, count);
                    }
                }
                ReadRecord::Delivered { queue, first, last } if first <= last => {
                    let entries = self.queues.get_mut(&queue).map(|queue| queue.entries.range_mut(first..=last));
                    entries.into_iter().flatten().for_each(|(_, entry)| entry.deliveries = entry.deliveries.saturating_add(1));
                }
                ReadRecord::Delivered { .. } => return Err("a range of deliveries ends before it begins"),
            }
        }
        Ok(())
    }
}
