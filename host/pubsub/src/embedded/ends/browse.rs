//! Browsing queues: files are read without the lock of the state and off the threads of the runtime.

use std::sync::Arc;

use bytes::Bytes;

use crate::backend::{Browsed, Head, Heads};
use crate::embedded::commit::Shared;
use crate::embedded::lock::lock;
use crate::embedded::log::{Chunk, ReadFault};
use crate::embedded::state::Entry;
use crate::error::{PubsubError, Result};
use crate::message::Message;
use crate::topic::Queue;

impl Shared {
    /// Whole messages after a position. Unreadable ones are skipped and later ones returned instead, so that a short list still means the
    /// end of the queue.
    pub(crate) async fn browse(self: Arc<Self>, queue: &Queue, after: u64, limit_count: u32) -> Result<Vec<Browsed>> {
        let queue = queue.clone();
        in_background(move || {
            let (mut found, mut chunk, mut after) = (Vec::new(), Chunk::default(), after);
            loop {
                let (number, entries, _) = self.ready_after(&queue, after, limit_count - found.len() as u32)?;
                let Some(last) = entries.last() else { return Ok(found) };
                after = last.sequence;
                found.extend(entries.into_iter().filter_map(|entry| self.look_at(number, entry, &mut chunk)));
                if found.len() == limit_count as usize {
                    return Ok(found);
                }
            }
        })
        .await
    }

    /// A message to show; a damaged one is set aside, and one that cannot be read now is skipped.
    fn look_at(&self, queue: u64, entry: Entry, chunk: &mut Chunk) -> Option<Browsed> {
        let message = match &entry.stored {
            Some(stored) => Ok(stored.message.clone()),
            None => self.read(queue, entry.sequence, entry.place, chunk),
        };
        match message {
            Ok(message) => Some(Browsed { position: entry.sequence, message }),
            // Or it was settled in the meantime and its segment removed: then nothing is done.
            Err(ReadFault::Damaged(damage)) => {
                self.set_aside(queue, entry.sequence, None, damage);
                None
            }
            Err(ReadFault::Failed { path, offset, source }) => {
                tracing::warn!(path = %path.display(), offset, error = %source, "message cannot be read now and is not shown");
                None
            }
        }
    }

    /// The beginnings of messages after a position.
    pub(crate) async fn browse_heads(self: Arc<Self>, queue: &Queue, after: u64, limit_count: u32, body_bytes: usize) -> Result<Heads> {
        let (number, entries, newest) = self.ready_after(queue, after, limit_count)?;
        let queue = queue.clone();
        in_background(move || {
            let mut heads = Vec::with_capacity(entries.len());
            let mut chunk = Chunk::default();
            for entry in entries {
                let position = entry.sequence;
                let read = match &entry.stored {
                    Some(stored) => Ok((head_of(&stored.message, body_bytes), stored.message.body.len() as u64)),
                    None => self.read_at(number, position, entry.place, |place| self.reader.head(place, body_bytes, &mut chunk)),
                };
                match read {
                    Ok((message, body_bytes)) => heads.push(Head { position, message: Ok(message), body_bytes }),
                    Err(_) if !self.is_ready(&queue, position)? => {}
                    Err(fault) => heads.push(Head { position, message: Err(fault.to_string()), body_bytes: 0 }),
                }
            }
            Ok(Heads { heads, newest })
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

/// The message with the beginning of its body, copied so that the whole body is not kept in memory.
fn head_of(message: &Message, body_bytes: usize) -> Message {
    let body = Bytes::copy_from_slice(&message.body[..message.body.len().min(body_bytes)]);
    Message {
        id: message.id,
        from: message.from.clone(),
        content_type: message.content_type.clone(),
        properties: message.properties.clone(),
        body,
        expires_in: None,
    }
}

/// Reads files on a thread that may block.
async fn in_background<T: Send + 'static>(read: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = tokio::task::spawn_blocking(read).await;
    ended.unwrap_or_else(|_| Err(PubsubError::Unavailable { reason: "reading the log was interrupted".to_owned() }))
}
