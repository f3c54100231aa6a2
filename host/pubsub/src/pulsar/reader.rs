//! Consuming a queue. The permits granted to the broker, plus the messages held, make up the window, so that it is exact to the message, and messages
//! held at the end are redelivered at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::envelope;
use super::held::{HeldEntry, HeldMessages};
use super::names::TopicName;
use super::settling::settle;
use super::shared::Shared;
use super::subscription::{InitialPosition, PERMITTED_COUNT, Reading, Subscribed};
use super::wire::{ConsumerEvent, Ended, ReceivedEntry, Wire};
use crate::backend::{Consumer, ConsumerOptions, Delivery, DeliveryCount, Receipt, Sharing};
use crate::error::{PubsubError, Result};
use crate::rate_limited_log::RateLimitedLog;
use crate::topic::{Class, Queue};

/// How long a leaving consumer waits for messages that are being settled.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum number of ready messages taken at a time before other events are handled.
const BURST_COUNT: usize = 256;
/// The maximum number of settles in flight of one consumer: more than a window.
const SETTLES_COUNT: usize = 1 << 16;
/// How often, and at what interval, to check whether the queue of an ended consumer is being deleted by another process.
const MAX_CHECKS_COUNT: u32 = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// If less than this part of the window is free, more messages are permitted only when no permits are left.
const FEW_PART: usize = 8;

/// A consumer of a queue.
pub(super) struct QueueConsumer {
    number: u64,
    held: Arc<HeldMessages>,
    left: CancellationToken,
}

impl QueueConsumer {
    /// Subscribes to an existing queue.
    pub(super) async fn open(shared: &Arc<Shared>, queue: Queue, options: ConsumerOptions) -> Result<Self> {
        let place = TopicName::of(queue.topic())?;
        shared.consuming.up()?;
        // The broker may be configured to create missing topics.
        shared.lifecycle.check_exists(&queue).await?;
        let reading = Reading {
            topic: &place.url(),
            subscription: queue.subscription().as_str(),
            is_shared: options.sharing == Sharing::Competing,
            is_durable: true,
            makes_topic: false,
            start: InitialPosition::Oldest,
        };
        let subscribed = Subscribed::open(&shared.consuming, reading).await.map_err(|failure| failure.about(&queue))?;
        let is_local = queue.topic().class() == Class::Request;
        let held = Arc::new(HeldMessages::new(options.window.get(), is_local));
        let mut permitted_count = 0;
        if is_local {
            // Requests that arrive before messages are permitted are lost.
            let room = u32::try_from(held.room()).unwrap_or(PERMITTED_COUNT).min(PERMITTED_COUNT);
            subscribed.permit_confirmed(room, &place.url()).await.map_err(|failure| failure.about(&queue))?;
            permitted_count = i64::from(room);
        }
        let acknowledger = (!is_local).then(|| subscribed.acknowledger());
        let (settles, given) = mpsc::channel(SETTLES_COUNT);
        let settling = tokio::spawn(settle(acknowledger.clone(), held.clone(), given));
        let (number, is_deleted) = shared.consumers.add(queue.clone(), held.clone(), acknowledger, settles);
        let left = CancellationToken::new();
        let pump = ConsumerTask {
            shared: shared.clone(),
            queue,
            number,
            held: held.clone(),
            left: left.clone(),
            is_deleted,
            is_local,
            permitted_count,
            unreadable: RateLimitedLog::default(),
            settling,
        };
        shared.pumps.spawn(pump.run(subscribed));
        Ok(QueueConsumer { number, held, left })
    }
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn receive(&self) -> Result<Delivery> {
        let (tag, message, delivered_count) = self.held.receive().await?;
        let receipt = Receipt::new(self.number, 0, tag);
        Ok(Delivery { message, receipt, delivery_count: DeliveryCount::AtLeast(delivered_count) })
    }

    async fn readable(&self) -> Result<()> {
        self.held.readable().await
    }

    fn set_window(&self, window: NonZeroU32) {
        self.held.set_window(window.get());
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        self.left.cancel();
    }
}

/// The task of a consumer: takes messages until the consumer leaves or is ended.
struct ConsumerTask {
    shared: Arc<Shared>,
    queue: Queue,
    number: u64,
    held: Arc<HeldMessages>,
    left: CancellationToken,
    /// Whether the queue was deleted in this process.
    is_deleted: Arc<AtomicBool>,
    is_local: bool,
    /// How many messages the broker may still send; negative if a batch exceeded the permits.
    permitted_count: i64,
    unreadable: RateLimitedLog,
    settling: JoinHandle<()>,
}

/// Why a pump stopped.
enum Stopped {
    /// The consumer was dropped.
    Left,
    /// It was ended by the broker.
    Closed,
    /// The connection is lost.
    Lost(PubsubError),
}

impl ConsumerTask {
    async fn run(mut self, mut subscribed: Subscribed) {
        match self.take(&mut subscribed).await {
            Stopped::Left => self.leave(subscribed).await,
            Stopped::Closed => {
                subscribed.forget();
                // The broker has redelivered its messages to others: they can no longer be acknowledged.
                let error = self.reason(&subscribed.wire).await;
                self.held.end(error);
                self.go().await;
            }
            Stopped::Lost(error) => {
                subscribed.forget();
                self.held.end(error);
                self.go().await;
            }
        }
    }

    async fn take(&mut self, subscribed: &mut Subscribed) -> Stopped {
        let mut burst = Vec::with_capacity(BURST_COUNT);
        loop {
            if let Err(error) = self.permit(subscribed).await {
                return Stopped::Lost(error);
            }
            tokio::select! {
                biased;
                () = self.left.cancelled() => return Stopped::Left,
                () = self.shared.closed.cancelled() => {
                    self.held.end(crate::network::closed());
                    return Stopped::Left;
                }
                count = subscribed.arrivals.recv_many(&mut burst, BURST_COUNT) => {
                    if count == 0 {
                        return Stopped::Lost(subscribed.wire.reason());
                    }
                    for arrival in burst.drain(..) {
                        match arrival {
                            ConsumerEvent::Message(arrived) => self.arrived(arrived, subscribed).await,
                            ConsumerEvent::Closed => return Stopped::Closed,
                        }
                    }
                }
                () = self.held.freed() => {}
            }
        }
    }

    /// Permits the broker to send as many messages as there is room for.
    async fn permit(&mut self, subscribed: &Subscribed) -> Result<()> {
        let room = i64::try_from(self.held.room()).unwrap_or(i64::MAX).min(i64::from(PERMITTED_COUNT));
        let more_count = room - self.permitted_count;
        let is_worth_it = self.permitted_count <= 0 || more_count >= i64::try_from(self.held.window() / FEW_PART).unwrap_or(i64::MAX);
        let Some(permits) = u32::try_from(more_count).ok().filter(|permits| *permits > 0 && is_worth_it) else { return Ok(()) };
        subscribed.permit(permits).await?;
        self.permitted_count += i64::from(permits);
        Ok(())
    }

    async fn arrived(&mut self, ReceivedEntry { id, redelivery_count, ack_set, bytes }: ReceivedEntry, subscribed: &Subscribed) {
        let acknowledger = subscribed.acknowledger();
        let (class, subscription) = (self.queue.topic().class(), self.queue.subscription());
        let messages = match envelope::read(class, subscription, bytes) {
            Ok(messages) => messages,
            Err(error) => {
                self.permitted_count -= 1;
                return self.set_aside(&id, &error);
            }
        };
        self.permitted_count -= i64::try_from(messages.len()).unwrap_or(1);
        if !self.is_local && messages.len() == 1 && self.held.room() == 0 {
            // The window was reduced while the message was in flight.
            let _ = acknowledger.requeue(vec![id]).await;
            return;
        }
        let is_open = |place: usize| ack_set.is_empty() || ack_set.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1);
        let messages: Vec<_> =
            messages.into_iter().enumerate().filter(|(place, _)| is_open(*place)).filter_map(|(_, message)| message).collect();
        let messages: Vec<_> = messages.into_iter().filter(|incoming| incoming.is_for(subscription)).collect();
        if messages.is_empty() {
            if !self.is_local {
                let _ = acknowledger.discard(vec![id]).await;
            }
            return;
        }
        let entry = HeldEntry::new(id, messages.len());
        for incoming in messages {
            self.held.arrived(&entry, incoming, redelivery_count.saturating_add(1));
        }
    }

    /// An unreadable message stays in its queue, unacknowledged: no other consumer of Weir could read it either, and nothing is lost.
    fn set_aside(&self, id: &super::proto::MessageIdData, error: &envelope::Unreadable) {
        if let Some(messages_count) = self.unreadable.count(1) {
            let next = "change its producer, then remove it with pulsar-admin (topics skip), or consume it with its own client";
            tracing::error!(queue = %self.queue, messages_count, message_id = %id, error = %error, next, "unreadable messages stay in their queue");
        }
    }

    /// Why the broker has ended the consumer, which it does not report. It does so before it deletes the queue, and before it shuts down.
    async fn reason(&self, wire: &Wire) -> PubsubError {
        let Ok(place) = TopicName::of(self.queue.topic()) else { return PubsubError::no_queue(&self.queue) };
        // Wait for a deletion by this process.
        drop(self.shared.lifecycle.lock_topic(&place).await);
        for _ in 0..MAX_CHECKS_COUNT {
            if self.is_deleted.load(Ordering::Acquire) {
                self.held.mark_received_lost();
                return PubsubError::no_queue(&self.queue);
            }
            let looked = self.shared.lifecycle.check_exists(&self.queue).await;
            if let Ok(lost) = timeout(POLL_INTERVAL, wire.ended()).await {
                return lost;
            }
            if let Err(missing @ PubsubError::QueueNotFound { .. }) = looked {
                self.held.mark_received_lost();
                return missing;
            }
        }
        let ended = Ended("its topic is moving to another node, or an administrator closed it".to_owned());
        PubsubError::unavailable_because("the broker closed the consumer", ended)
    }

    /// Requeues messages that are not being settled, waits for the others, and ends the consumer.
    async fn leave(self, subscribed: Subscribed) {
        self.held.release_all();
        let lost = subscribed.wire.ended();
        tokio::select! {
            _ = timeout(SETTLE_TIMEOUT, self.held.quiet()) => {}
            _ = lost => {}
        }
        subscribed.close().await;
        self.go().await;
    }

    /// Removes the consumer: none of its messages can be settled any more.
    async fn go(self) {
        self.shared.consumers.remove(self.number);
        self.held.mark_lost();
        let _ = timeout(SETTLE_TIMEOUT, self.settling).await;
    }
}
