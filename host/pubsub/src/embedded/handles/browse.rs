//! Browsing queues. Files are read without holding the state lock, on blocking threads.

use std::sync::Arc;

use bytes::Bytes;

use crate::backend::{BrowseStart, Browsed, Cursor, Page};
use crate::embedded::commit::Shared;
use crate::embedded::log::Chunk;
use crate::embedded::state::Entry;
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::message::Message;
use crate::topic::Queue;

impl Shared {
    /// Messages with the beginnings of their bodies.
    pub(crate) async fn browse(self: Arc<Self>, queue: &Queue, start: BrowseStart, limit_count: u32, body_bytes: usize) -> Result<Page> {
        // A cursor of another kind identifies no message here, like one whose message is gone.
        let after = match start {
            BrowseStart::Oldest => 0,
            BrowseStart::At(cursor) => cursor.as_position().unwrap_or(0).saturating_sub(1),
            BrowseStart::Behind(cursor) => cursor.as_position().unwrap_or(0),
        };
        let (number, entries, newest) = self.ready_after(queue, after, limit_count)?;
        let queue = queue.clone();
        in_background(move || {
            let mut messages = Vec::with_capacity(entries.len());
            let mut chunk = Chunk::default();
            for entry in entries {
                let sequence = entry.sequence;
                let cursor = Cursor::position(sequence);
                let read = match &entry.stored {
                    Some(stored) => Ok((head_of(&stored.message, body_bytes), stored.message.body.len() as u64)),
                    None => self.read_at(number, sequence, entry.position, |position| self.reader.head(position, body_bytes, &mut chunk)),
                };
                match read {
                    Ok((message, body_bytes)) => messages.push(Browsed { cursor, message: Ok(message), body_bytes }),
                    Err(_) if !self.is_ready(&queue, sequence)? => {}
                    Err(fault) => messages.push(Browsed { cursor, message: Err(fault.to_string()), body_bytes: 0 }),
                }
            }
            Ok(Page { messages, newest: (newest > 0).then_some(Cursor::position(newest)) })
        })
        .await
    }

    fn ready_after(&self, queue: &Queue, after: u64, limit_count: u32) -> Result<(u64, Vec<Entry>, u64)> {
        let state = lock(&self.state);
        state.check_open()?;
        let queue = state.get(queue)?;
        Ok((queue.number, queue.ready_after(after, limit_count as usize), queue.newest()))
    }

    /// Whether a message is still ready.
    fn is_ready(&self, queue: &Queue, sequence: u64) -> Result<bool> {
        let state = lock(&self.state);
        Ok(state.get(queue)?.ready_after(sequence - 1, 1).first().is_some_and(|entry| entry.sequence == sequence))
    }
}

/// The message with the beginning of its body, copied unless it is complete, so that the whole body is not kept in memory.
fn head_of(message: &Message, body_bytes: usize) -> Message {
    let is_whole = message.body.len() <= body_bytes;
    let body = if is_whole { message.body.clone() } else { Bytes::copy_from_slice(&message.body[..body_bytes]) };
    Message {
        id: message.id,
        from: message.from.clone(),
        content_type: message.content_type.clone(),
        properties: message.properties.clone(),
        body,
        expires_in: None,
    }
}

/// Reads files on a blocking thread.
async fn in_background<T: Send + 'static>(read: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = tokio::task::spawn_blocking(read).await;
    ended.unwrap_or_else(|error| Err(PubsubError::unavailable_because("reading the log was interrupted", error)))
}
