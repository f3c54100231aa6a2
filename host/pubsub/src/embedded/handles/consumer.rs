//! Consumers: of one queue, and of everything published on a topic.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::backend::{Consumer, Delivery, DeliveryCount, Receipt};
use crate::embedded::commit::Shared;
use crate::embedded::log::{Chunk, ReadFault};
use crate::embedded::numbers::FIRST_EPHEMERAL;
use crate::embedded::refusal::{closed, copy_of, not_found};
use crate::embedded::state::{Body, Operation, Prefetch, Prefetched, Slot};
use crate::error::{Cause, PubsubError, Result};
use crate::lock::lock;
use crate::mailbox::{Mailbox, MailboxItem};
use crate::message::Message;
use crate::topic::{Queue, Topic};

/// Reads one queue.
pub(crate) struct QueueConsumer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
    pub(crate) number: u64,
    pub(crate) name: Queue,
    pub(crate) slot: Arc<Slot>,
    /// Bytes read ahead from the log.
    pub(crate) chunk: Mutex<Chunk>,
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn receive(&self) -> Result<Delivery> {
        loop {
            if let Some(delivery) = self.try_next()? {
                return Ok(delivery);
            }
            // A wake-up between the check and the wait is not lost.
            self.slot.wakeup.notified().await;
        }
    }

    async fn readable(&self) -> Result<()> {
        while !self.has_next()? {
            self.slot.wakeup.notified().await;
        }
        // This consumed a wake-up meant for the task that takes the message.
        self.slot.wakeup.notify_one();
        Ok(())
    }

    fn set_window(&self, window: NonZeroU32) {
        let wakeups = lock(&self.shared.state).set_window(self.id, u64::from(window.get()));
        wakeups.send();
    }
}

impl QueueConsumer {
    /// The next message, if there is one now.
    fn try_next(&self) -> Result<Option<Delivery>> {
        if self.slot.gone.load(Ordering::Acquire) {
            return Err(self.end());
        }
        loop {
            while let Some(waiting) = self.pop() {
                if waiting.is_expired(Instant::now()) {
                    // The request has expired: it is removed once it is back in its queue.
                    self.requeue(&waiting);
                } else if let Some(delivery) = self.deliver(waiting)? {
                    return Ok(Some(delivery));
                }
            }
            if !self.fetch()? {
                return Ok(None);
            }
        }
    }

    /// Whether there is a message now; prefetches it if it is still in the queue.
    fn has_next(&self) -> Result<bool> {
        if self.slot.gone.load(Ordering::Acquire) {
            return Err(self.end());
        }
        let is_at_hand = !lock(&self.slot.buffer).messages.is_empty();
        if is_at_hand { Ok(true) } else { self.fetch() }
    }

    /// Prefetches messages from the queue or from other consumers; returns whether there were any.
    fn fetch(&self) -> Result<bool> {
        let mut state = lock(&self.shared.state);
        if state.closed {
            drop(state);
            return Err(self.end());
        }
        let mut taken = match state.prefetch(self.id, Instant::now()) {
            Prefetch::Taken(taken) => taken,
            Prefetch::Mark { queue, sequences } => {
                drop(state);
                // Rejected only while the broker closes, which the next check finds.
                let _ = self.shared.inbox.submit(Operation::Mark { queue, sequences });
                return Ok(false);
            }
            Prefetch::Blocked(failure) => {
                let reason = "deliveries cannot be recorded: delivery paused until they can".to_owned();
                return Err(PubsubError::Stalled { reason, source: Some(Cause::of(failure.to_settle_error())) });
            }
            Prefetch::Gone => {
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
        // Still under the state lock, so that a consumer that leaves or steals does not miss them.
        lock(&self.slot.buffer).messages.extend(taken);
        Ok(true)
    }

    /// Takes one prefetched message, records it as received, and wakes the next reader if there are more.
    fn pop(&self) -> Option<Prefetched> {
        let mut buffer = lock(&self.slot.buffer);
        let waiting = buffer.messages.pop_front()?;
        if !waiting.counted_ahead && self.number < FIRST_EPHEMERAL {
            match buffer.received.last_mut() {
                Some((_, last)) if *last + 1 == waiting.sequence => *last = waiting.sequence,
                Some(_) => buffer.received.push((waiting.sequence, waiting.sequence)),
                None => {
                    buffer.received.push((waiting.sequence, waiting.sequence));
                    lock(&self.shared.received).push((self.number, self.slot.clone()));
                }
            }
        }
        let more = !buffer.messages.is_empty();
        drop(buffer);
        if more {
            self.slot.wakeup.notify_one();
        }
        Some(waiting)
    }

    /// Delivers a message; `None` for a damaged one, which is set aside.
    fn deliver(&self, waiting: Prefetched) -> Result<Option<Delivery>> {
        let message = match &waiting.body {
            Body::Memory(stored) => stored.delivered(Instant::now()),
            // Recent messages are in the page cache, and a chunk serves many messages, so the read stays on this thread.
            Body::Log(position) => match self.shared.read(self.number, waiting.sequence, *position, &mut lock(&self.chunk)) {
                Ok(message) => message,
                Err(ReadFault::Damaged(damage)) => {
                    self.shared.set_aside(self.number, waiting.sequence, Some(self.id), damage);
                    return Ok(None);
                }
                Err(ReadFault::Failed { path, offset, source }) => {
                    self.requeue(&waiting);
                    return Err(unreadable(&path, offset, &source));
                }
            },
        };
        let receipt = Receipt::new(self.id, self.number, waiting.sequence);
        Ok(Some(Delivery { message, receipt, delivery_count: DeliveryCount::Exact(waiting.deliveries) }))
    }

    fn requeue(&self, waiting: &Prefetched) {
        let wakeups = lock(&self.shared.state).requeue(self.number, waiting.sequence, self.id);
        wakeups.send();
    }

    /// Why there are no more messages; also wakes the next reader of this consumer.
    fn end(&self) -> PubsubError {
        self.slot.wakeup.notify_one();
        if lock(&self.shared.state).closed { closed() } else { not_found(&self.name) }
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        let buffer = std::mem::take(&mut *lock(&self.slot.buffer));
        let (holds, wakeups) = state.begin_leaving(self.id, buffer);
        drop(state);
        wakeups.send();
        if holds {
            // Ordered after earlier settles. Rejected only while the broker closes, and then it has no effect.
            let _ = self.shared.inbox.submit(Operation::Leave { consumer: self.id });
        }
    }
}

/// The error for a message that cannot be read now; the caller retries later.
fn unreadable(path: &Path, offset: u32, source: &std::io::Error) -> PubsubError {
    tracing::warn!(path = %path.display(), offset, error = %source, "message temporarily unreadable, retrying");
    let source = copy_of(source);
    let reason = format!("a message at byte {offset} of {} is temporarily unreadable", path.display());
    PubsubError::Stalled { reason, source: Some(Cause::of(source)) }
}

/// Reads everything published on a topic.
pub(crate) struct MailboxConsumer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) topic: Topic,
    pub(crate) mailbox: Arc<Mailbox>,
}

#[async_trait]
impl Consumer for MailboxConsumer {
    async fn receive(&self) -> Result<Delivery> {
        match self.mailbox.next().await {
            MailboxItem::Message(message) => Ok(unsettled(message)),
            MailboxItem::Missed(missed_count) => Err(PubsubError::Lagged { missed_count }),
            MailboxItem::Closed => Err(closed()),
        }
    }

    async fn readable(&self) -> Result<()> {
        if self.mailbox.readable().await { Ok(()) } else { Err(closed()) }
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
