//! Frames with a wrong checksum: checks whether only messages are damaged, so that everything else in them is reliable.

use super::block::BLOCK_HEADER_BYTES;
use super::frame::FRAME_HEADER_BYTES;
use super::record::{ReadRecord, Records};

/// A message whose own checksum is wrong.
struct DamagedMessage {
    /// The offset of its length and checksum in the payload.
    at: usize,
    length: usize,
    /// The checksum stored with it, and that of its content.
    noted: u32,
    actual: u32,
}

/// The damaged messages of a whole frame, by the offsets of their headers in the payload; `None` if anything else, or nothing, is damaged.
///
/// The checksum of a frame covers its messages, each of which has a checksum of its own. Combined from the checksums that the messages
/// should have, it proves everything between them.
pub(super) fn damaged_messages(frame: &[u8], seed: u32) -> Option<Vec<usize>> {
    let payload = frame.get(FRAME_HEADER_BYTES..)?;
    let noted = frame.get(16..20)?.first_chunk().map(|four| u32::from_le_bytes(*four))?;
    let bad = bad_messages(payload)?;
    let begin = crc32c::crc32c_append(seed, &frame[4..16]);
    let positions = || Some(bad.iter().map(|message| message.at).collect());
    if sum_without(begin, payload, &bad) == noted {
        return positions();
    }
    match bad.as_slice() {
        [only] if sum_with_checksum(begin, payload, only) == noted => positions(),
        _ => None,
    }
}

fn bad_messages(payload: &[u8]) -> Option<Vec<DamagedMessage>> {
    let mut records = Records::new(payload);
    let mut bad = Vec::new();
    while let Some(record) = records.next() {
        let (ReadRecord::Put { offset: at, length, .. } | ReadRecord::Moved { offset: at, length, .. }) = record.ok()? else { continue };
        let content = at + BLOCK_HEADER_BYTES;
        let noted = payload.get(at + 4..content)?.first_chunk().map(|four| u32::from_le_bytes(*four))?;
        let actual = crc32c::crc32c(payload.get(content..content + length as usize)?);
        if noted != actual {
            bad.push(DamagedMessage { at, length: length as usize, noted, actual });
        }
    }
    (!bad.is_empty()).then_some(bad)
}

/// The frame's checksum, assuming that the contents of these messages are damaged.
fn sum_without(begin: u32, payload: &[u8], bad: &[DamagedMessage]) -> u32 {
    let (mut sum, mut done) = (begin, 0);
    for message in bad {
        let content = message.at + BLOCK_HEADER_BYTES;
        sum = crc32c::crc32c_append(sum, &payload[done..content]);
        sum = crc32c::crc32c_combine(sum, message.noted, message.length);
        done = content + message.length;
    }
    crc32c::crc32c_append(sum, &payload[done..])
}

/// The frame's checksum, assuming that the checksum of this message is damaged.
fn sum_with_checksum(begin: u32, payload: &[u8], message: &DamagedMessage) -> u32 {
    let sum = crc32c::crc32c_append(begin, &payload[..message.at + 4]);
    let sum = crc32c::crc32c_append(sum, &message.actual.to_le_bytes());
    crc32c::crc32c_append(sum, &payload[message.at + BLOCK_HEADER_BYTES..])
}
