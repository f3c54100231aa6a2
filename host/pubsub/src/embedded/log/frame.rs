//! Frames: how they are written and read.

use super::fields::Fields;
use super::record::Record;
use crate::embedded::log_position::LogPosition;

pub(super) const FRAME_MAGIC: [u8; 4] = *b"WFRM";
pub(super) const FRAME_HEADER_BYTES: usize = 20;
/// A larger buffer is freed after the frame.
const KEPT_BUFFER_BYTES: usize = 8 << 20;

/// A frame being written.
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

    /// Adds a record to a frame that begins at `start` of this segment; returns the future position of its message, if it has one.
    pub(super) fn push(&mut self, record: Record<'_>, segment: u32, start: u64) -> Option<LogPosition> {
        let block = record.write(&mut self.bytes)?;
        Some(LogPosition { segment, offset: start as u32 + block.offset as u32, length: block.length })
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

    /// Frees the memory of an unusually large frame.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > KEPT_BUFFER_BYTES {
            self.bytes = Vec::new();
        }
    }
}

/// The checksum of a whole frame, except for the checksum itself and the magic.
fn checksum(seed: u32, frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &frame[4..16]), &frame[FRAME_HEADER_BYTES..])
}

/// A frame read from a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) number: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of these bytes, or the problem with it.
    pub(super) fn decode(bytes: &'a [u8], seed: u32) -> Result<Self, &'static str> {
        let (Frame { number, payload }, sum) = Self::split(bytes)?;
        if checksum(seed, &bytes[..FRAME_HEADER_BYTES + payload.len()]) != sum {
            return Err("the frame's checksum is wrong");
        }
        Ok(Frame { number, payload })
    }

    /// The frame at the beginning of these bytes, whether or not its checksum is right.
    pub(super) fn unchecked(bytes: &'a [u8]) -> Option<Self> {
        Self::split(bytes).ok().map(|(frame, _)| frame)
    }

    fn split(bytes: &'a [u8]) -> Result<(Self, u32), &'static str> {
        let mut header = Fields(bytes);
        let (Some(magic), Some(length), Some(number), Some(sum)) = (header.take(4), header.word(), header.long(), header.word()) else {
            return Err("the frame's header is cut short");
        };
        if magic != FRAME_MAGIC {
            return Err("no frame");
        }
        let Some(payload) = header.take(length as usize) else { return Err("the frame is longer than the file") };
        Ok((Frame { number, payload }, sum))
    }
}
