//! Reading what is published on a topic from now on: through a queue named by the broker, exclusive to this connection and deleted with it.

use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::StreamExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use tokio_util::sync::CancellationToken;

use super::broker_error::BrokerError;
use super::channel_pool::{call, open};
use super::envelope::Incoming;
use super::names;
use super::shared::Shared;
use crate::error::{PubsubError, Result};
use crate::network::{Buffered, SubscriberBuffer, closed, run_detached};
use crate::topic::{Subscription, Topic};

/// How many unacknowledged messages the broker sends.
const PREFETCH: u16 = 1024;
/// How many messages are acknowledged together.
const ACKNOWLEDGED_COUNT: usize = 256;

/// Subscribes to topics.
pub(super) struct Subscriber;

impl Subscriber {
    /// Subscribes; the subscription is bound when this returns.
    pub(super) async fn open(shared: &Arc<Shared>, topic: &Topic, name: &Subscription, buffer_count: NonZeroU32) -> Result<Buffered> {
        // Detached, so that a caller that gives up leaves no queue that fills up.
        let opening = Self::bind(shared.clone(), topic.clone(), name.clone(), buffer_count);
        run_detached(&shared.operations, "the start of a subscription", opening).await
    }

    async fn bind(shared: Arc<Shared>, topic: Topic, name: Subscription, buffer_count: NonZeroU32) -> Result<Buffered> {
        let exchange = shared.lifecycle.exchange(topic.topicspace()).await?;
        let up = shared.consuming.up()?;
        let channel = open(&shared.consuming, &up).await?;
        let stream = bound(&shared, &channel, exchange, names::routing_key(&topic)?).await.map_err(BrokerError::plain)?;
        let buffer = SubscriberBuffer::new(buffer_count);
        let left = CancellationToken::new();
        let link_number = up.number;
        let pump = SubscriberTask { shared, channel, topic, name, buffer: buffer.clone(), left: left.clone(), link_number };
        tokio::spawn(pump.run(stream));
        Ok(Buffered { buffer, left })
    }
}

async fn bound(shared: &Shared, channel: &Channel, exchange: ShortString, key: ShortString) -> Result<lapin::Consumer, BrokerError> {
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

/// The task of a subscriber.
struct SubscriberTask {
    shared: Arc<Shared>,
    channel: Channel,
    topic: Topic,
    name: Subscription,
    buffer: Arc<SubscriberBuffer>,
    left: CancellationToken,
    link_number: u64,
}

impl SubscriberTask {
    async fn run(self, stream: lapin::Consumer) {
        // All ready messages are taken together, so that one acknowledgement is enough.
        let mut ready = stream.ready_chunks(ACKNOWLEDGED_COUNT);
        loop {
            let deliveries = tokio::select! {
                biased;
                () = self.left.cancelled() => break,
                () = self.shared.consuming.gone(self.link_number) => {
                    self.buffer.end(self.shared.consuming.lost(self.link_number).unwrap_or_else(closed));
                    break;
                }
                deliveries = ready.next() => deliveries,
            };
            let Some(deliveries) = deliveries else {
                let ended = || PubsubError::unavailable("the broker closed the subscription");
                self.buffer.end(self.shared.consuming.lost(self.link_number).unwrap_or_else(ended));
                break;
            };
            let mut last = None;
            for delivery in deliveries {
                match delivery {
                    Ok(delivery) => {
                        last = Some(delivery.delivery_tag);
                        self.buffer.mailbox.push(&Incoming::read(self.topic.class(), &self.name, delivery).message);
                    }
                    Err(error) => self.buffer.end(BrokerError::from(error).plain()),
                }
            }
            if let Some(tag) = last {
                let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await;
            }
        }
        let _ = tokio::time::timeout(super::channel_pool::CALL_TIME, self.channel.close(200, "done".into())).await;
    }
}
