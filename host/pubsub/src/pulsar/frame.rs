//! Frames of the binary protocol: a command, and with some of them a message.
//!
//! | frame | bytes |
//! |---|---|
//! | command | length of everything that follows (4), length of the command (4), command |
//! | with a message | the same, then 0x0e01 (2), CRC-32C of all that follows (4), length of the metadata (4), metadata, payload |

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::proto::{BaseCommand, KeyValue, MessageMetadata, SingleMetadata};

const MAGIC: u16 = 0x0e01;
/// The maximum overhead of a frame beside the message, as in brokers.
pub(super) const PADDING_BYTES: usize = 10 << 10;
/// The maximum number of messages in a batch: more than any client uses.
const MAX_BATCH_COUNT: usize = 100_000;

/// An invalid frame: the connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
#[error("the broker violated Pulsar's protocol: {0}")]
pub(super) struct NotAFrame(String);

fn not(reason: impl Into<String>) -> NotAFrame {
    NotAFrame(reason.into())
}

/// A frame that was read.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) command: BaseCommand,
    /// Metadata and payload, with their own lengths and checksum, which are not verified yet.
    pub(super) message: Bytes,
}

/// A frame ready to be written: its head, followed by a body.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) head: Bytes,
    pub(super) body: Bytes,
}

/// Writes a command.
pub(super) fn command(command: &BaseCommand) -> Written {
    let command_bytes = command.encoded_len();
    let mut head = BytesMut::with_capacity(command_bytes + 8);
    put_length(&mut head, command_bytes + 4);
    put_length(&mut head, command_bytes);
    // A BytesMut grows, so encoding cannot fail.
    let _ = command.encode(&mut head);
    Written { head: head.freeze(), body: Bytes::new() }
}

/// Writes a command with a message.
pub(super) fn message(command: &BaseCommand, metadata: &MessageMetadata, body: Bytes) -> Written {
    let (command_bytes, metadata_bytes) = (command.encoded_len(), metadata.encoded_len());
    let mut head = BytesMut::with_capacity(command_bytes + metadata_bytes + 18);
    put_length(&mut head, command_bytes + metadata_bytes + body.len() + 14);
    put_length(&mut head, command_bytes);
    let _ = command.encode(&mut head);
    head.put_u16(MAGIC);
    let checksum_at = head.len();
    head.put_u32(0);
    put_length(&mut head, metadata_bytes);
    let _ = metadata.encode(&mut head);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&head[checksum_at + 4..]), &body);
    head[checksum_at..checksum_at + 4].copy_from_slice(&checksum.to_be_bytes());
    Written { head: head.freeze(), body }
}

/// Lengths are far below 4 GiB: messages are already checked against the broker's limit.
fn put_length(buffer: &mut BytesMut, length: usize) {
    buffer.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// Takes a complete frame from the data that was read, if there is one.
///
/// # Errors
/// Invalid data, or a frame above the limit.
pub(super) fn take(read: &mut BytesMut, limit_bytes: usize) -> Result<Option<Frame>, NotAFrame> {
    let Some(length) = read.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else { return Ok(None) };
    if length > limit_bytes {
        return Err(not(format!("a frame of {length} bytes; the limit is {limit_bytes}")));
    }
    if read.len() < length + 4 {
        read.reserve(length + 4 - read.len());
        return Ok(None);
    }
    let mut frame = read.split_to(length + 4).freeze();
    frame.advance(4);
    let command = taken(&mut frame, "a command")?;
    let command = BaseCommand::decode(command).map_err(|error| not(format!("a command: {error}")))?;
    Ok(Some(Frame { command, message: frame }))
}

/// Takes a part that is preceded by its length.
fn taken(bytes: &mut Bytes, what: &str) -> Result<Bytes, NotAFrame> {
    let length = bytes.try_get_u32().map_err(|_| not(format!("{what} without a length")))? as usize;
    if length > bytes.len() {
        return Err(not(format!("{what} of {length} bytes in {}", bytes.len())));
    }
    Ok(bytes.split_to(length))
}

/// Reads a message: its metadata and its payload.
///
/// # Errors
/// An unreadable message, or a wrong checksum.
pub(super) fn parts(mut bytes: Bytes) -> Result<(MessageMetadata, Bytes), NotAFrame> {
    if bytes.first_chunk() == Some(&MAGIC.to_be_bytes()) {
        bytes.advance(2);
        let checksum = bytes.try_get_u32().map_err(|_| not("a message without a checksum"))?;
        if checksum != crc32c::crc32c(&bytes) {
            return Err(not("a message with a wrong checksum"));
        }
    }
    let metadata = taken(&mut bytes, "the metadata of a message")?;
    let metadata = MessageMetadata::decode(metadata).map_err(|error| not(format!("the metadata of a message: {error}")))?;
    Ok((metadata, bytes))
}

/// One message of a batch.
pub(super) struct Single {
    pub(super) properties: Vec<KeyValue>,
    pub(super) body: Bytes,
    /// Whether compaction has removed it.
    pub(super) is_gone: bool,
}

/// Splits the payload of a batch.
///
/// # Errors
/// A payload that is not a batch of this many messages.
pub(super) fn batch(mut payload: Bytes, count: i32) -> Result<Vec<Single>, NotAFrame> {
    let count = usize::try_from(count).ok().filter(|count| *count <= MAX_BATCH_COUNT);
    let count = count.ok_or_else(|| not("a batch of too many messages"))?;
    let mut singles = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        let metadata = taken(&mut payload, "a message of a batch")?;
        let metadata = SingleMetadata::decode(metadata).map_err(|error| not(format!("a message of a batch: {error}")))?;
        let length = usize::try_from(metadata.payload_bytes).ok().filter(|length| *length <= payload.len());
        let length = length.ok_or_else(|| not("a message of a batch that is longer than the batch"))?;
        let body = payload.split_to(length);
        singles.push(Single { properties: metadata.properties, body, is_gone: metadata.is_compacted_out == Some(true) });
    }
    Ok(singles)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::super::proto::kind;
    use super::*;

    const LIMIT_BYTES: usize = 1 << 20;

    fn joined(written: &Written) -> BytesMut {
        let mut all = BytesMut::from(&written.head[..]);
        all.extend_from_slice(&written.body);
        all
    }

    fn sample() -> (BaseCommand, MessageMetadata) {
        let properties = vec![KeyValue { key: "id".to_owned(), value: "7".to_owned() }];
        let metadata = MessageMetadata { producer_name: "p".to_owned(), sequence_id: 3, properties, ..MessageMetadata::default() };
        (BaseCommand::of(kind::SEND), metadata)
    }

    #[test]
    fn frames_are_read_wherever_they_are_split() {
        let (send, metadata) = sample();
        let whole = joined(&message(&send, &metadata, Bytes::from_static(b"body")));
        for cut in 0..whole.len() {
            let mut read = BytesMut::from(&whole[..cut]);
            assert!(take(&mut read, LIMIT_BYTES).unwrap().is_none(), "at {cut}");
            read.extend_from_slice(&whole[cut..]);
            let frame = take(&mut read, LIMIT_BYTES).unwrap().unwrap();
            assert_eq!((frame.command.kind, read.len()), (kind::SEND, 0));
            assert_eq!(parts(frame.message).unwrap(), (metadata.clone(), Bytes::from_static(b"body")));
        }
    }

    #[test]
    fn a_changed_message_and_a_frame_over_the_limit_are_refused() {
        let (send, metadata) = sample();
        let mut whole = joined(&message(&send, &metadata, Bytes::from_static(b"body")));
        *whole.last_mut().unwrap() ^= 1;
        let frame = take(&mut whole, LIMIT_BYTES).unwrap().unwrap();
        assert!(parts(frame.message).unwrap_err().to_string().contains("wrong checksum"));
        let mut long = BytesMut::from(&u32::MAX.to_be_bytes()[..]);
        assert!(take(&mut long, LIMIT_BYTES).is_err());
    }

    #[test]
    fn a_batch_is_split_into_its_messages() {
        let mut payload = BytesMut::new();
        for body in ["one", "", "three"] {
            let metadata = SingleMetadata { payload_bytes: body.len() as i32, ..SingleMetadata::default() };
            payload.put_u32(metadata.encoded_len() as u32);
            metadata.encode(&mut payload).unwrap();
            payload.extend_from_slice(body.as_bytes());
        }
        let bodies: Vec<Bytes> = batch(payload.clone().freeze(), 3).unwrap().into_iter().map(|single| single.body).collect();
        assert_eq!(bodies, ["one", "", "three"]);
        assert!(batch(payload.freeze(), 4).is_err());
        assert!(batch(Bytes::new(), -1).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, count in -2..40_i32) {
            let mut read = BytesMut::from(&bytes[..]);
            let _ = take(&mut read, LIMIT_BYTES);
            let _ = parts(Bytes::from(bytes.clone()));
            let _ = batch(Bytes::from(bytes), count);
        }
    }
}
