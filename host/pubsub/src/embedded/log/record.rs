//! Records: how they are written and read.

use super::block::{BLOCK_HEADER_BYTES, skip_block, write_block};
use super::fields::{Fields, WriteFields};
use crate::backend::Overflow;
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::Moved;
use crate::message::Message;
use crate::topic::Queue;

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
/// Set in the bound field of a queue that refuses messages above its bound.
const REFUSING: u64 = 1 << 63;

/// A record to be written; see [the format](super).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    Defined(&'a QueueDefinition),
    Deleted {
        queue: u64,
    },
    Put {
        /// Queue and sequence.
        targets: &'a [(u64, u64)],
        size_bytes: u32,
        message: &'a Message,
    },
    Removed {
        queue: u64,
        sequence: u64,
    },
    Dropped {
        queue: u64,
        sequence: u64,
    },
    Delivered {
        queue: u64,
        first: u64,
        last: u64,
    },
    Moved {
        targets: &'a [Moved],
        size_bytes: u32,
        content: RecordContent<'a>,
    },
    SetAside {
        queue: u64,
        sequence: u64,
    },
}

/// The message of a Moved record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RecordContent<'a> {
    /// As read from the log, with its length and checksum.
    Block(&'a [u8]),
    Message(&'a Message),
}

/// The position of a block in a buffer, and the length of its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) offset: usize,
    pub(super) length: u32,
}

impl Record<'_> {
    /// Appends the record to a buffer; returns the position of its message, if it has one.
    pub(super) fn write(self, bytes: &mut Vec<u8>) -> Option<Block> {
        match self {
            Record::Defined(definition) => write_definition(bytes, definition),
            Record::Deleted { queue } => {
                bytes.byte(DELETED);
                bytes.queue(queue);
            }
            Record::Put { targets, size_bytes, message } => {
                bytes.byte(PUT);
                bytes.word(targets.len() as u32);
                for (queue, sequence) in targets {
                    bytes.queue(*queue);
                    bytes.long(*sequence);
                }
                bytes.word(size_bytes);
                return Some(write_content(bytes, RecordContent::Message(message)));
            }
            Record::Moved { targets, size_bytes, content } => {
                bytes.byte(MOVED);
                bytes.word(targets.len() as u32);
                for target in targets {
                    bytes.queue(target.queue);
                    bytes.long(target.sequence);
                    bytes.word(target.deliveries);
                }
                bytes.word(size_bytes);
                return Some(write_content(bytes, content));
            }
            Record::Removed { queue, sequence } => write_message_gone(bytes, REMOVED, queue, sequence),
            Record::Dropped { queue, sequence } => write_message_gone(bytes, DROPPED, queue, sequence),
            Record::SetAside { queue, sequence } => write_message_gone(bytes, SET_ASIDE, queue, sequence),
            Record::Delivered { queue, first, last } => {
                bytes.byte(DELIVERED);
                bytes.queue(queue);
                bytes.long(first);
                bytes.long(last);
            }
        }
        None
    }
}

fn write_definition(bytes: &mut Vec<u8>, definition: &QueueDefinition) {
    bytes.byte(DEFINED);
    bytes.queue(definition.number);
    bytes.text(definition.queue.topic().as_str());
    bytes.text(definition.queue.subscription().as_str());
    bytes.long(bound_of(definition.overflow));
    bytes.long(definition.next_sequence);
    bytes.long(definition.dropped_count);
    if definition.live_count > 0 {
        bytes.byte(LIVE);
        bytes.queue(definition.number);
        bytes.long(definition.live_count);
    }
}

fn write_message_gone(bytes: &mut Vec<u8>, kind: u8, queue: u64, sequence: u64) {
    bytes.byte(kind);
    bytes.queue(queue);
    bytes.long(sequence);
}

fn write_content(bytes: &mut Vec<u8>, content: RecordContent<'_>) -> Block {
    let offset = bytes.len();
    let length = match content {
        RecordContent::Message(message) => write_block(bytes, message),
        RecordContent::Block(block) => {
            bytes.extend_from_slice(block);
            (block.len() - BLOCK_HEADER_BYTES) as u32
        }
    };
    Block { offset, length }
}

/// A record as it is read; a message is given by the offset of its block in the payload and the length of its content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadRecord {
    Defined(QueueDefinition),
    Deleted { queue: u64 },
    Put { targets: Vec<(u64, u64)>, size_bytes: u32, offset: usize, length: u32 },
    Removed { queue: u64, sequence: u64 },
    Dropped { queue: u64, sequence: u64 },
    Delivered { queue: u64, first: u64, last: u64 },
    Moved { targets: Vec<Moved>, size_bytes: u32, offset: usize, length: u32 },
    SetAside { queue: u64, sequence: u64 },
    Live { queue: u64, count: u64 },
}

/// Reads the records of a payload in order; offsets are relative to the payload.
pub(super) struct Records<'a> {
    rest: Fields<'a>,
    length: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Records { rest: Fields(payload), length: payload.len() }
    }

    /// The next record; `None` at the end; an error for a record that this version does not write.
    pub(super) fn next(&mut self) -> Option<Result<ReadRecord, &'static str>> {
        let kind = self.rest.take(1)?[0];
        Some(self.record(kind).ok_or("a record cannot be read"))
    }

    fn record(&mut self, kind: u8) -> Option<ReadRecord> {
        let at = |rest: &Fields<'_>| self.length - rest.0.len();
        let rest = &mut self.rest;
        Some(match kind {
            DEFINED => ReadRecord::Defined(definition(rest)?),
            DELETED => ReadRecord::Deleted { queue: rest.queue()? },
            PUT => {
                let count = rest.word()? as usize;
                // Verified before memory is allocated for them.
                let mut targets = Fields(rest.take(count.checked_mul(12)?)?);
                let targets = (0..count).map_while(|_| Some((targets.queue()?, targets.long()?))).collect();
                let size_bytes = rest.word()?;
                let offset = at(rest);
                ReadRecord::Put { targets, size_bytes, offset, length: skip_block(rest)? }
            }
            MOVED => {
                let count = rest.word()? as usize;
                let mut targets = Fields(rest.take(count.checked_mul(16)?)?);
                let mut target = || Some(Moved { queue: targets.queue()?, sequence: targets.long()?, deliveries: targets.word()? });
                let targets = (0..count).map_while(|_| target()).collect();
                let size_bytes = rest.word()?;
                let offset = at(rest);
                ReadRecord::Moved { targets, size_bytes, offset, length: skip_block(rest)? }
            }
            REMOVED => ReadRecord::Removed { queue: rest.queue()?, sequence: rest.long()? },
            DROPPED => ReadRecord::Dropped { queue: rest.queue()?, sequence: rest.long()? },
            DELIVERED => ReadRecord::Delivered { queue: rest.queue()?, first: rest.long()?, last: rest.long()? },
            SET_ASIDE => ReadRecord::SetAside { queue: rest.queue()?, sequence: rest.long()? },
            LIVE => ReadRecord::Live { queue: rest.queue()?, count: rest.long()? },
            _ => return None,
        })
    }
}

fn definition(rest: &mut Fields<'_>) -> Option<QueueDefinition> {
    let number = rest.queue()?;
    let topic = rest.text()?.parse().ok()?;
    let subscription = rest.text()?.parse().ok()?;
    let bound = rest.long()?;
    Some(QueueDefinition {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_round_trip_through_policies() {
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
        // Bounds larger than any disk keep their kind.
        assert!(matches!(overflow_of(bound_of(Overflow::Refuse { bytes: u64::MAX })), Overflow::Refuse { .. }));
        assert!(matches!(overflow_of(bound_of(Overflow::DropOldest { bytes: u64::MAX })), Overflow::DropOldest { .. }));
    }
}
