//! Frames and records: how they are written and read.

use std::sync::Arc;

use bytes::Bytes;

use crate::backend::Overflow;
use crate::embedded::group::{Moved, Reason, Step};
use crate::embedded::queue::{Place, Stored};
use crate::message::{Message, MessageId, Properties};
use crate::topic::Queue;

pub(super) const FRAME_MAGIC: [u8; 4] = *b"WFRM";
pub(super) const FRAME_HEADER_BYTES: usize = 20;
/// Before the bytes of a message: its length and its checksum.
pub(super) const MESSAGE_HEADER_BYTES: usize = 8;
/// A buffer that grew beyond this is given back after the frame.
const KEPT_BUFFER_BYTES: usize = 8 << 20;

const DEFINED: u8 = 1;
const DELETED: u8 = 2;
const PUT: u8 = 3;
const REMOVED: u8 = 4;
const DROPPED: u8 = 5;
const DELIVERED: u8 = 6;
const MOVED: u8 = 7;
const SET_ASIDE: u8 = 16;
const LIVE: u8 = 17;

/// The bound field of a queue without a bound of its own.
const NO_BOUND: u64 = u64::MAX;
/// Set in the bound field of a queue that refuses what is above it.
const REFUSING: u64 = 1 << 63;

/// A queue as the log defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::embedded) struct Definition {
    pub(in crate::embedded) number: u64,
    pub(in crate::embedded) queue: Queue,
    pub(in crate::embedded) overflow: Overflow,
    pub(in crate::embedded) next_sequence: u64,
    pub(in crate::embedded) dropped_count: u64,
    /// Messages that it has at that moment, all of them before this definition. Not in the record, but in one of its own.
    pub(in crate::embedded) live_count: u64,
}

/// A frame in the making.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
}

impl FrameBuffer {
    /// Begins a frame.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.resize(FRAME_HEADER_BYTES, 0);
    }

    /// Adds what the log has to know of a step; a put learns where it will be, in a frame that begins at `start` of that segment.
    pub(super) fn push(&mut self, step: &mut Step, segment: u32, start: u64) {
        match step {
            Step::Put { targets, .. } if targets.is_empty() => {}
            Step::Put { targets, stored, place, .. } => *place = self.put(targets, stored, segment, start),
            Step::Move { targets, size_bytes, block, place } => *place = self.moved(targets, *size_bytes, block, segment, start),
            Step::Remove { queue, entry, reason } if step_is_durable(*queue) => {
                self.byte(if *reason == Reason::Dropped { DROPPED } else { REMOVED });
                self.queue(*queue);
                self.long(entry.sequence);
            }
            Step::Delivered { queue, first, last } => {
                self.byte(DELIVERED);
                self.queue(*queue);
                self.long(*first);
                self.long(*last);
            }
            Step::SetAside { queue, entry, .. } => {
                self.byte(SET_ASIDE);
                self.queue(*queue);
                self.long(entry.sequence);
            }
            Step::Define { number, spec } => self.define(&Definition {
                number: *number,
                queue: spec.queue.clone(),
                overflow: spec.overflow,
                next_sequence: 1,
                dropped_count: 0,
                live_count: 0,
            }),
            Step::Bound { definition } => self.define(definition),
            Step::DeleteEmpty { state } if step_is_durable(state.number) => {
                self.byte(DELETED);
                self.queue(state.number);
            }
            Step::Delete { number } => {
                self.byte(DELETED);
                self.queue(*number);
            }
            Step::Remove { .. } | Step::DeleteEmpty { .. } | Step::Marked { .. } | Step::Return { .. } => {}
            Step::Ephemeral { .. } | Step::EphemeralTo { .. } | Step::Unblock { .. } | Step::Leave { .. } => {}
        }
    }

    /// Adds a queue with what is known of it.
    pub(super) fn define(&mut self, queue: &Definition) {
        self.byte(DEFINED);
        self.queue(queue.number);
        self.text(queue.queue.topic().as_str());
        self.text(queue.queue.subscription().as_str());
        self.long(bound_of(queue.overflow));
        self.long(queue.next_sequence);
        self.long(queue.dropped_count);
        if queue.live_count > 0 {
            self.byte(LIVE);
            self.queue(queue.number);
            self.long(queue.live_count);
        }
    }

    /// Ends the frame and returns it.
    pub(super) fn finish(&mut self, number: u64, seed: u32) -> &[u8] {
        let length = (self.bytes.len() - FRAME_HEADER_BYTES) as u32;
        self.bytes[..4].copy_from_slice(&FRAME_MAGIC);
        self.bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&number.to_le_bytes());
        let sum = checksum(seed, &self.bytes);
        self.bytes[16..20].copy_from_slice(&sum.to_le_bytes());
        &self.bytes
    }

    /// Gives back what an unusually large frame took.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > KEPT_BUFFER_BYTES {
            self.bytes = Vec::new();
        }
    }

    fn put(&mut self, targets: &[(u64, u64)], stored: &Arc<Stored>, segment: u32, start: u64) -> Place {
        self.byte(PUT);
        self.word(targets.len() as u32);
        for (queue, sequence) in targets {
            self.queue(*queue);
            self.long(*sequence);
        }
        self.word(stored.size_bytes as u32);
        let (at, length) = self.block(&stored.message);
        Place { segment, offset: start as u32 + at as u32, length }
    }

    /// Adds a message with its length and checksum; where, and how long its content is.
    fn block(&mut self, message: &Message) -> (usize, u32) {
        let at = self.bytes.len();
        self.bytes.resize(at + MESSAGE_HEADER_BYTES, 0);
        self.message(message);
        let content = at + MESSAGE_HEADER_BYTES;
        let length = (self.bytes.len() - content) as u32;
        let sum = crc32c::crc32c(&self.bytes[content..]);
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[at + 4..content].copy_from_slice(&sum.to_le_bytes());
        (at, length)
    }

    fn moved(&mut self, targets: &[Moved], size_bytes: u32, block: &[u8], segment: u32, start: u64) -> Place {
        self.byte(MOVED);
        self.word(targets.len() as u32);
        for target in targets {
            self.queue(target.queue);
            self.long(target.sequence);
            self.word(target.deliveries);
        }
        self.word(size_bytes);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(block);
        Place { segment, offset: start as u32 + at as u32, length: (block.len() - MESSAGE_HEADER_BYTES) as u32 }
    }

    fn message(&mut self, message: &Message) {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        self.byte(flag(message.id.is_some(), 1) | flag(message.from.is_some(), 2) | flag(message.content_type.is_some(), 4));
        if let Some(id) = message.id {
            self.bytes.extend_from_slice(&id.0.to_be_bytes());
        }
        for text in [&message.from, &message.content_type].into_iter().flatten() {
            self.text(text);
        }
        self.word(message.properties.len() as u32);
        for (name, value) in message.properties.iter() {
            self.text(name);
            self.text(value);
        }
        self.bytes.extend_from_slice(&message.body);
    }

    fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    fn word(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn long(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn queue(&mut self, number: u64) {
        self.word(number as u32);
    }

    fn text(&mut self, text: &str) {
        self.word(text.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

/// A message as it stands in the log, with its length and checksum.
pub(in crate::embedded) fn encode_block(message: &Message) -> Bytes {
    let mut buffer = FrameBuffer::default();
    buffer.block(message);
    buffer.bytes.into()
}

/// Whether this is a whole message with its length and checksum.
pub(super) fn is_whole(block: &[u8]) -> bool {
    let mut head = Fields(block);
    match (head.word(), head.word()) {
        (Some(length), Some(sum)) => head.0.len() == length as usize && crc32c::crc32c(head.0) == sum,
        _ => false,
    }
}

fn step_is_durable(queue: u64) -> bool {
    queue < crate::embedded::queues::FIRST_EPHEMERAL
}

/// The checksum of a whole frame, its own field and the magic left out.
fn checksum(seed: u32, frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &frame[4..16]), &frame[FRAME_HEADER_BYTES..])
}

/// A frame found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) number: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of these bytes; what is wrong if there is none.
    pub(super) fn decode(bytes: &'a [u8], seed: u32) -> Result<Self, &'static str> {
        let (Frame { number, payload }, sum) = Self::split(bytes)?;
        if checksum(seed, &bytes[..FRAME_HEADER_BYTES + payload.len()]) != sum {
            return Err("the frame's checksum is wrong");
        }
        Ok(Frame { number, payload })
    }

    /// What would be the frame at the beginning of these bytes if its checksum were right.
    pub(super) fn unchecked(bytes: &'a [u8]) -> Option<Self> {
        Self::split(bytes).ok().map(|(frame, _)| frame)
    }

    fn split(bytes: &'a [u8]) -> Result<(Self, u32), &'static str> {
        let mut header = Fields(bytes);
        let (Some(magic), Some(length), Some(number), Some(sum)) = (header.take(4), header.word(), header.long(), header.word()) else {
            return Err("the frame's header is cut short");
        };
        if magic != FRAME_MAGIC {
            return Err("there is no frame");
        }
        let Some(payload) = header.take(length as usize) else { return Err("the frame is longer than the file") };
        Ok((Frame { number, payload }, sum))
    }
}

/// A record as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Defined(Definition),
    Deleted { queue: u64 },
    Put { targets: Vec<(u64, u64)>, size_bytes: u32, offset: usize, length: u32 },
    Removed { queue: u64, sequence: u64 },
    Dropped { queue: u64, sequence: u64 },
    Delivered { queue: u64, first: u64, last: u64 },
    Moved { targets: Vec<Moved>, size_bytes: u32, offset: usize, length: u32 },
    SetAside { queue: u64, sequence: u64 },
    Live { queue: u64, count: u64 },
}

/// Reads the records of a payload, one after the other; offsets are counted in the payload.
pub(super) struct Records<'a> {
    rest: Fields<'a>,
    length: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Records { rest: Fields(payload), length: payload.len() }
    }

    /// The next record; `None` at the end; an error for what this version does not write.
    pub(super) fn next(&mut self) -> Option<Result<Record, &'static str>> {
        let kind = self.rest.take(1)?[0];
        Some(self.record(kind).ok_or("a record cannot be read"))
    }

    fn record(&mut self, kind: u8) -> Option<Record> {
        let at = |rest: &Fields<'_>| self.length - rest.0.len();
        let rest = &mut self.rest;
        Some(match kind {
            DEFINED => Record::Defined(definition(rest)?),
            DELETED => Record::Deleted { queue: rest.queue()? },
            PUT => {
                let count = rest.word()? as usize;
                // Checked before memory is taken for them.
                let mut targets = Fields(rest.take(count.checked_mul(12)?)?);
                let targets = (0..count).map_while(|_| Some((targets.queue()?, targets.long()?))).collect();
                let size_bytes = rest.word()?;
                let offset = at(rest);
                Record::Put { targets, size_bytes, offset, length: rest.skip_message()? }
            }
            MOVED => {
                let count = rest.word()? as usize;
                let mut targets = Fields(rest.take(count.checked_mul(16)?)?);
                let mut target = || Some(Moved { queue: targets.queue()?, sequence: targets.long()?, deliveries: targets.word()? });
                let targets = (0..count).map_while(|_| target()).collect();
                let size_bytes = rest.word()?;
                let offset = at(rest);
                Record::Moved { targets, size_bytes, offset, length: rest.skip_message()? }
            }
            REMOVED => Record::Removed { queue: rest.queue()?, sequence: rest.long()? },
            DROPPED => Record::Dropped { queue: rest.queue()?, sequence: rest.long()? },
            DELIVERED => Record::Delivered { queue: rest.queue()?, first: rest.long()?, last: rest.long()? },
            SET_ASIDE => Record::SetAside { queue: rest.queue()?, sequence: rest.long()? },
            LIVE => Record::Live { queue: rest.queue()?, count: rest.long()? },
            _ => return None,
        })
    }
}

fn definition(rest: &mut Fields<'_>) -> Option<Definition> {
    let number = rest.queue()?;
    let topic = rest.text()?.parse().ok()?;
    let subscription = rest.text()?.parse().ok()?;
    let bound = rest.long()?;
    Some(Definition {
        number,
        queue: Queue::new(topic, subscription).ok()?,
        overflow: overflow_of(bound),
        next_sequence: rest.long()?,
        dropped_count: rest.long()?,
        live_count: 0,
    })
}

/// The bound field of a definition.
fn bound_of(overflow: Overflow) -> u64 {
    match overflow {
        Overflow::None => NO_BOUND,
        Overflow::DropOldest { bytes } => bytes.min(!REFUSING),
        Overflow::Refuse { bytes } => bytes.min(!REFUSING - 1) | REFUSING,
    }
}

fn overflow_of(bound: u64) -> Overflow {
    match bound {
        NO_BOUND => Overflow::None,
        bound if bound & REFUSING != 0 => Overflow::Refuse { bytes: bound & !REFUSING },
        bytes => Overflow::DropOldest { bytes },
    }
}

/// Reads a message with its header, as a [`Place`] names it; `None` if it is not whole.
pub(super) fn decode_message(block: &Bytes) -> Option<Message> {
    let mut head = Fields(block);
    let (length, sum) = (head.word()? as usize, head.word()?);
    let content = head.take(length)?;
    if crc32c::crc32c(content) != sum {
        return None;
    }
    let mut rest = Fields(content);
    let message = message_without_body(&mut rest)?;
    let body = block.slice(MESSAGE_HEADER_BYTES + length - rest.0.len()..MESSAGE_HEADER_BYTES + length);
    Some(Message { body, ..message })
}

/// Reads the beginning of a message of `length` bytes with its header: at most `body_bytes` of its body, which are copied, and the size of the
/// whole body. `None` if the bytes end before the body begins or are not its own.
pub(super) fn decode_head(block: &[u8], length: u32, body_bytes: usize) -> Option<(Message, u64)> {
    let mut rest = Fields(block);
    if rest.word()? != length {
        return None;
    }
    rest.word()?;
    let content_bytes = rest.0.len();
    let message = message_without_body(&mut rest)?;
    let size_bytes = (length as usize).checked_sub(content_bytes - rest.0.len())?;
    let body = Bytes::copy_from_slice(&rest.0[..rest.0.len().min(size_bytes).min(body_bytes)]);
    Some((Message { body, ..message }, size_bytes as u64))
}

/// Reads everything of a message that stands before its body.
fn message_without_body(rest: &mut Fields<'_>) -> Option<Message> {
    let flags = rest.take(1)?[0];
    let id = if flags & 1 != 0 { Some(MessageId(u128::from_be_bytes(*rest.take(16)?.first_chunk()?))) } else { None };
    let from = if flags & 2 != 0 { Some(rest.text()?.into()) } else { None };
    let content_type = if flags & 4 != 0 { Some(rest.text()?.into()) } else { None };
    let mut properties = Properties::new();
    for _ in 0..rest.word()? {
        let name = rest.text()?;
        properties.set(name, rest.text()?);
    }
    Some(Message { id, from, content_type, properties, ..Message::default() })
}

/// Bytes that are read from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    /// Steps over a message; the length of its content.
    fn skip_message(&mut self) -> Option<u32> {
        let length = self.word()?;
        self.word()?;
        self.take(length as usize)?;
        Some(length)
    }

    fn word(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|four| u32::from_le_bytes(*four))
    }

    fn long(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
    }

    fn queue(&mut self) -> Option<u64> {
        self.word().map(u64::from)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.word()? as usize;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_they_are_written() {
        let all = [
            (Overflow::None, u64::MAX),
            (Overflow::DropOldest { bytes: 0 }, 0),
            (Overflow::DropOldest { bytes: 64 << 20 }, 64 << 20),
            (Overflow::Refuse { bytes: 0 }, 1 << 63),
            (Overflow::Refuse { bytes: 64 << 20 }, 1 << 63 | 64 << 20),
        ];
        for (overflow, bound) in all {
            assert_eq!((bound_of(overflow), overflow_of(bound)), (bound, overflow));
        }
        // Bounds above any disk are no other kind of bound.
        assert!(matches!(overflow_of(bound_of(Overflow::Refuse { bytes: u64::MAX })), Overflow::Refuse { .. }));
        assert!(matches!(overflow_of(bound_of(Overflow::DropOldest { bytes: u64::MAX })), Overflow::DropOldest { .. }));
    }
}
