//! Reading what is published on a topic from now on: a queue that the broker names, for this connection alone, gone with it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::envelope::Incoming;
use super::names;
use super::refusal::Refusal;
use super::scratch::{call, open};
use crate::backend::{Consumer, Delivery, DeliveryCount, Receipt};
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::message::Message;
use crate::topic::{Subscription, Topic};

/// How many messages may wait for a reader, unless it says so.
pub(super) const BUFFERED_COUNT: NonZeroU32 = NonZeroU32::MIN.saturating_add(65_535);
/// How many bytes of bodies may.
const BUFFERED_BYTES: usize = 16 << 20;
/// How many messages the broker sends ahead of an acknowledgement.
const PREFETCH: u16 = 1024;
/// How many messages are acknowledged together.
const ACKNOWLEDGED_COUNT: usize = 256;

/// A reader of a topic.
pub(super) struct Subscriber {
    mailbox: Arc<Mailbox>,
    left: CancellationToken,
}

impl Subscriber {
    /// Subscribes: it is bound when this returns.
    pub(super) async fn open(shared: &Arc<Shared>, topic: &Topic, name: &Subscription, buffer_count: NonZeroU32) -> Result<Self> {
        let exchange = shared.lifecycle.exchange(topic.topicspace()).await?;
        let up = shared.consuming.up()?;
        let channel = open(&shared.consuming, &up).await?;
        let stream = bound(shared, &channel, exchange, names::routing_key(topic)?).await.map_err(Refusal::plain)?;
        let mailbox = Arc::new(Mailbox::new(buffer_count));
        let left = CancellationToken::new();
        let pump = Pump {
            shared: shared.clone(),
            channel,
            topic: topic.clone(),
            name: name.clone(),
            mailbox: mailbox.clone(),
            left: left.clone(),
            link_number: up.number,
        };
        tokio::spawn(pump.run(stream));
        Ok(Subscriber { mailbox, left })
    }
}

async fn bound(shared: &Shared, channel: &Channel, exchange: ShortString, key: ShortString) -> Result<lapin::Consumer, Refusal> {
    let link = &shared.consuming;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(ShortString::default(), own, FieldTable::default());
    let queue = call(link, "declaring a subscriber's queue", declared).await?.name().clone();
    let bound = channel.queue_bind(queue.clone(), exchange, key, QueueBindOptions::default(), FieldTable::default());
    call(link, "binding a subscriber's queue", bound).await?;
    call(link, "setting the window of a subscriber", channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
    let consumed = channel.basic_consume(queue, ShortString::default(), BasicConsumeOptions::default(), FieldTable::default());
    call(link, "consuming a subscriber's queue", consumed).await
}

#[async_trait]
impl Consumer for Subscriber {
    async fn receive(&self) -> Result<Delivery> {
        let message = self.mailbox.when(Letters::next).await?;
        Ok(Delivery { message, receipt: Receipt::none(), delivery_count: DeliveryCount::AtLeast(1) })
    }

    async fn readable(&self) -> Result<()> {
        self.mailbox.when(|letters| (letters.missed_count > 0 || !letters.messages.is_empty()).then_some(Ok(()))).await
    }

    /// Its buffer is bounded by itself.
    fn set_window(&self, _window: NonZeroU32) {}
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.left.cancel();
    }
}

/// Messages that wait for a reader; the oldest are dropped where there are too many.
struct Mailbox {
    letters: Mutex<Letters>,
    changed: Notify,
    buffer_count: usize,
}

#[derive(Default)]
struct Letters {
    messages: VecDeque<Message>,
    bytes: usize,
    missed_count: u64,
    end: Option<PubsubError>,
}

impl Letters {
    fn next(&mut self) -> Option<Result<Message>> {
        if self.missed_count > 0 {
            return Some(Err(PubsubError::Lagged { missed_count: std::mem::take(&mut self.missed_count) }));
        }
        let message = self.messages.pop_front()?;
        self.bytes -= message.body.len();
        Some(Ok(message))
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.messages.pop_front() {
            self.bytes -= oldest.body.len();
            self.missed_count += 1;
        }
    }
}

impl Mailbox {
    fn new(buffer_count: NonZeroU32) -> Self {
        Mailbox { letters: Mutex::default(), changed: Notify::new(), buffer_count: buffer_count.get() as usize }
    }

    fn put(&self, message: Message) {
        let mut letters = lock(&self.letters);
        letters.bytes += message.body.len();
        letters.messages.push_back(message);
        while letters.messages.len() > self.buffer_count || (letters.bytes > BUFFERED_BYTES && letters.messages.len() > 1) {
            letters.drop_oldest();
        }
        drop(letters);
        self.changed.notify_waiters();
    }

    fn end(&self, error: PubsubError) {
        lock(&self.letters).end.get_or_insert(error);
        self.changed.notify_waiters();
    }

    async fn when<T>(&self, mut found: impl FnMut(&mut Letters) -> Option<Result<T>>) -> Result<T> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut letters = lock(&self.letters);
                if let Some(found) = found(&mut letters) {
                    return found;
                }
                if let Some(end) = &letters.end {
                    return Err(end.clone());
                }
            }
            changed.await;
        }
    }
}

/// The task of a subscriber.
struct Pump {
    shared: Arc<Shared>,
    channel: Channel,
    topic: Topic,
    name: Subscription,
    mailbox: Arc<Mailbox>,
    left: CancellationToken,
    link_number: u64,
}

impl Pump {
    async fn run(self, stream: lapin::Consumer) {
        // All that is there is taken together, so that one acknowledgement is enough.
        let mut ready = stream.ready_chunks(ACKNOWLEDGED_COUNT);
        loop {
            let deliveries = tokio::select! {
                biased;
                () = self.left.cancelled() => break,
                () = self.shared.consuming.gone(self.link_number) => {
                    self.mailbox.end(self.shared.consuming.lost(self.link_number).unwrap_or_else(super::link::closed));
                    break;
                }
                deliveries = ready.next() => deliveries,
            };
            let Some(deliveries) = deliveries else {
                let ended = || PubsubError::unavailable("the broker has ended the subscription");
                self.mailbox.end(self.shared.consuming.lost(self.link_number).unwrap_or_else(ended));
                break;
            };
            let mut last = None;
            for delivery in deliveries {
                match delivery {
                    Ok(delivery) => {
                        last = Some(delivery.delivery_tag);
                        self.mailbox.put(Incoming::read(self.topic.class(), &self.name, delivery).message);
                    }
                    Err(error) => self.mailbox.end(Refusal::from(error).plain()),
                }
            }
            if let Some(tag) = last {
                let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await;
            }
        }
        let _ = tokio::time::timeout(super::scratch::CALL_TIME, self.channel.close(200, "done".into())).await;
    }
}
