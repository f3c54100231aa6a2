//! Readers: of one queue, and of everything that is published on a topic.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::time::Instant;

use super::broadcast::{Mail, Mailbox};
use super::group::Operation;
use super::log::{Chunk, ReadFault};
use super::queues::{FIRST_EPHEMERAL, closed};
use super::seats::{Body, Grab, Seat, Waiting};
use super::{Shared, lock};
use crate::backend::{Consumer, Delivery, DeliveryCount, Receipt};
use crate::error::{PubsubError, Result};
use crate::message::Message;
use crate::topic::{Queue, Topic};

/// Reads one queue.
pub(super) struct QueueConsumer {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) number: u64,
    pub(super) name: Queue,
    pub(super) seat: Arc<Seat>,
    /// What was read ahead from the log.
    pub(super) chunk: Mutex<Chunk>,
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn receive(&self) -> Result<Delivery> {
        loop {
            if let Some(delivery) = self.try_next()? {
                return Ok(delivery);
            }
            // What is rung between the look and the wait is kept by the bell.
            self.seat.bell.notified().await;
        }
    }

    async fn readable(&self) -> Result<()> {
        while !self.has_next()? {
            self.seat.bell.notified().await;
        }
        // The bell rang for a task that takes the message.
        self.seat.bell.notify_one();
        Ok(())
    }

    fn set_window(&self, window: NonZeroU32) {
        let wakes = lock(&self.shared.state).set_window(self.id, u64::from(window.get()));
        wakes.ring();
    }
}

impl QueueConsumer {
    /// The next message, if there is one now.
    fn try_next(&self) -> Result<Option<Delivery>> {
        if self.seat.gone.load(Ordering::Acquire) {
            return Err(self.end());
        }
        loop {
            while let Some(waiting) = self.pop() {
                if waiting.is_expired(Instant::now()) {
                    // It lay here for too long: back in its queue it is forgotten.
                    self.give_back(&waiting);
                } else if let Some(delivery) = self.deliver(waiting)? {
                    return Ok(Some(delivery));
                }
            }
            if !self.fetch()? {
                return Ok(None);
            }
        }
    }

    /// Whether there is a message now, fetched ahead if it was still in the queue.
    fn has_next(&self) -> Result<bool> {
        if self.seat.gone.load(Ordering::Acquire) {
            return Err(self.end());
        }
        let is_at_hand = !lock(&self.seat.local).waiting.is_empty();
        if is_at_hand { Ok(true) } else { self.fetch() }
    }

    /// Takes messages from the queue or from other consumers; whether there were any.
    fn fetch(&self) -> Result<bool> {
        let mut state = lock(&self.shared.state);
        if state.closed {
            drop(state);
            return Err(self.end());
        }
        let mut taken = match state.grab(self.id, Instant::now()) {
            Grab::Taken(taken) => taken,
            Grab::Mark { queue, sequences } => {
                drop(state);
                // Refused only when the broker closes, which the next look finds.
                let _ = self.shared.inbox.submit(Operation::Mark { queue, sequences });
                return Ok(false);
            }
            Grab::Blocked(reason) => {
                let reason = format!("deliveries cannot be recorded, so nothing is handed out: {reason}; it goes on by itself");
                return Err(PubsubError::unavailable(reason));
            }
            Grab::Gone => {
                drop(state);
                return Err(self.end());
            }
        };
        if taken.is_empty() {
            taken = state.steal(self.id);
        }
        if taken.is_empty() {
            return Ok(false);
        }
        // Still under the lock of the state, so that nobody who leaves or steals misses them.
        lock(&self.seat.local).waiting.extend(taken);
        Ok(true)
    }

    /// Takes one message from what is at hand, notes it as received, and wakes the next reader if there is more.
    fn pop(&self) -> Option<Waiting> {
        let mut local = lock(&self.seat.local);
        let waiting = local.waiting.pop_front()?;
        if !waiting.counted_ahead && self.number < FIRST_EPHEMERAL {
            match local.received.last_mut() {
                Some((_, last)) if *last + 1 == waiting.sequence => *last = waiting.sequence,
                Some(_) => local.received.push((waiting.sequence, waiting.sequence)),
                None => {
                    local.received.push((waiting.sequence, waiting.sequence));
                    lock(&self.shared.received).push((self.number, self.seat.clone()));
                }
            }
        }
        let more = !local.waiting.is_empty();
        drop(local);
        if more {
            self.seat.bell.notify_one();
        }
        Some(waiting)
    }

    /// Hands a message out; `None` for one that is damaged, which is set aside.
    fn deliver(&self, waiting: Waiting) -> Result<Option<Delivery>> {
        let message = match &waiting.body {
            Body::Memory(stored) => stored.delivered(Instant::now()),
            // What was written not long ago is in the page cache, and a chunk serves many messages, so this does not leave the thread.
            Body::Log(place) => match self.shared.read(self.number, waiting.sequence, *place, &mut lock(&self.chunk)) {
                Ok(message) => message,
                Err(ReadFault::Damaged(damage)) => {
                    self.shared.set_aside(self.number, waiting.sequence, Some(self.id), damage);
                    return Ok(None);
                }
                Err(ReadFault::Failed { path, offset, source }) => {
                    self.give_back(&waiting);
                    return Err(unreadable(&path, offset, &source));
                }
            },
        };
        let receipt = Receipt::new(self.id, self.number, waiting.sequence);
        Ok(Some(Delivery { message, receipt, delivery_count: DeliveryCount::Exact(waiting.deliveries) }))
    }

    fn give_back(&self, waiting: &Waiting) {
        let wakes = lock(&self.shared.state).give_back(self.number, waiting.sequence, self.id);
        wakes.ring();
    }

    /// Why there is nothing any more; others who wait on this consumer are to see it too.
    fn end(&self) -> PubsubError {
        self.seat.bell.notify_one();
        if lock(&self.shared.state).closed { closed() } else { super::queues::not_found(&self.name) }
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        let local = std::mem::take(&mut *lock(&self.seat.local));
        let (holds, wakes) = state.begin_leaving(self.id, local);
        drop(state);
        wakes.ring();
        if holds {
            // Behind the settles that were submitted before. Refused only when the broker closes: then nothing matters any more.
            let _ = self.shared.inbox.submit(Operation::Leave { consumer: self.id });
        }
    }
}

/// A message that cannot be read now; whoever gets this tries again later.
fn unreadable(path: &Path, offset: u32, source: &std::io::Error) -> PubsubError {
    tracing::warn!(path = %path.display(), offset, error = %source, "message cannot be read now, tried again");
    let source = std::io::Error::new(source.kind(), source.to_string());
    PubsubError::unavailable_because(format!("a message at byte {offset} of {} cannot be read now", path.display()), source)
}

/// Reads everything that is published on a topic.
pub(super) struct MailboxConsumer {
    pub(super) shared: Arc<Shared>,
    pub(super) topic: Topic,
    pub(super) mailbox: Arc<Mailbox>,
}

#[async_trait]
impl Consumer for MailboxConsumer {
    async fn receive(&self) -> Result<Delivery> {
        match self.mailbox.next().await {
            Mail::Message(message) => Ok(unsettled(message)),
            Mail::Missed(missed_count) => Err(PubsubError::Lagged { missed_count }),
            Mail::Closed => Err(closed()),
        }
    }

    async fn readable(&self) -> Result<()> {
        self.mailbox.readable().await;
        Ok(())
    }

    fn set_window(&self, _window: NonZeroU32) {}
}

impl Drop for MailboxConsumer {
    fn drop(&mut self) {
        lock(&self.shared.state).remove_mailbox(&self.topic, &self.mailbox);
    }
}

/// A delivery that needs no settling.
fn unsettled(message: Message) -> Delivery {
    Delivery { message, receipt: Receipt::none(), delivery_count: DeliveryCount::Exact(1) }
}
