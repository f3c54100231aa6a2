//! Blocks: a message preceded by its length and checksum, so that it can be verified on its own.

use bytes::Bytes;

use super::fields::{Fields, WriteFields};
use crate::message::{Message, MessageId, Properties};

/// Length and checksum, before the bytes of a message.
pub(super) const BLOCK_HEADER_BYTES: usize = 8;

/// Appends the block of a message to a buffer; returns the length of its content.
pub(super) fn write_block(bytes: &mut Vec<u8>, message: &Message) -> u32 {
    let at = bytes.len();
    bytes.resize(at + BLOCK_HEADER_BYTES, 0);
    write_message(bytes, message);
    let content = at + BLOCK_HEADER_BYTES;
    let length = (bytes.len() - content) as u32;
    let sum = crc32c::crc32c(&bytes[content..]);
    bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    bytes[at + 4..content].copy_from_slice(&sum.to_le_bytes());
    length
}

/// The block of a message.
pub(super) fn encode_block(message: &Message) -> Bytes {
    let mut bytes = Vec::new();
    write_block(&mut bytes, message);
    bytes.into()
}

/// Skips a block; returns the length of its content.
pub(super) fn skip_block(rest: &mut Fields<'_>) -> Option<u32> {
    let length = rest.word()?;
    rest.word()?;
    rest.take(length as usize)?;
    Some(length)
}

/// Whether these bytes are a complete, undamaged block.
pub(super) fn is_whole(block: &[u8]) -> bool {
    let mut head = Fields(block);
    match (head.word(), head.word()) {
        (Some(length), Some(sum)) => head.0.len() == length as usize && crc32c::crc32c(head.0) == sum,
        _ => false,
    }
}

/// The message of a block; `None` if the block is incomplete or damaged.
pub(super) fn decode_message(block: &Bytes) -> Option<Message> {
    let mut head = Fields(block);
    let (length, sum) = (head.word()? as usize, head.word()?);
    let content = head.take(length)?;
    if crc32c::crc32c(content) != sum {
        return None;
    }
    let mut rest = Fields(content);
    let message = message_without_body(&mut rest)?;
    let body = block.slice(BLOCK_HEADER_BYTES + length - rest.0.len()..BLOCK_HEADER_BYTES + length);
    Some(Message { body, ..message })
}

/// Reads the beginning of a block whose content has `length` bytes: the message with at most `body_bytes` of its body, copied, and the size of the
/// whole body. `None` if the bytes end before the body begins or are not part of this block.
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

fn write_message(bytes: &mut Vec<u8>, message: &Message) {
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    bytes.byte(flag(message.id.is_some(), 1) | flag(message.from.is_some(), 2) | flag(message.content_type.is_some(), 4));
    if let Some(id) = message.id {
        bytes.extend_from_slice(&id.0.to_be_bytes());
    }
    for text in [&message.from, &message.content_type].into_iter().flatten() {
        bytes.text(text);
    }
    bytes.word(message.properties.len() as u32);
    for (name, value) in message.properties.iter() {
        bytes.text(name);
        bytes.text(value);
    }
    bytes.extend_from_slice(&message.body);
}

/// Reads everything of a message that precedes its body.
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
