//! Reading what is published on a topic from now on, through a subscription of the reader's own that is deleted with it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::broker_error::BrokerErrorKind;
use super::envelope;
use super::names::{BROWSE_PREFIX, TopicName};
use super::shared::Shared;
use super::subscription::{InitialPosition, Reading, Subscribed};
use super::wire::{ConsumerEvent, Failure, ReceivedEntry};
use crate::error::{PubsubError, Result};
use crate::network::{BUFFERED_COUNT, Buffered, SubscriberBuffer, closed};
use crate::topic::{Class, Subscription, Topic};

/// How many messages the broker may send ahead; a permit is free again as soon as a message arrives.
const PREFETCH_COUNT: u32 = 2048;
/// The interval at which a tap checks for a missing topic.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Subscribes to topics.
pub(super) struct Subscriber;

impl Subscriber {
    /// Subscribes to a `response` or `notify` topic: the subscription is bound when this returns. A missing topic is created.
    pub(super) async fn open(shared: &Arc<Shared>, topic: &Topic, name: &Subscription) -> Result<Buffered> {
        shared.check_up()?;
        let topic_name = TopicName::of(topic)?;
        let subscription = format!("{name}-{:016x}", rand::random::<u64>());
        let pump = SubscriberTask::new(shared, topic, &topic_name, subscription, BUFFERED_COUNT);
        let subscribed = match pump.subscribe(InitialPosition::Newest, true).await {
            Err(Failure::Refused(refusal)) if refusal.kind == BrokerErrorKind::NotFound => {
                shared.admin.make_topic(&topic_name).await?;
                pump.subscribe(InitialPosition::Newest, true).await
            }
            subscribed => subscribed,
        };
        Ok(pump.start(Some(subscribed.map_err(Failure::plain)?)))
    }

    /// Copies what is published on a topic of any class. A missing topic is not created, but read once it exists.
    pub(super) async fn tap(shared: &Arc<Shared>, topic: &Topic, buffer_count: NonZeroU32) -> Result<Buffered> {
        shared.check_up()?;
        let topic_name = TopicName::of(topic)?;
        let subscription = format!("{BROWSE_PREFIX}tap.{:016x}", rand::random::<u64>());
        let pump = SubscriberTask::new(shared, topic, &topic_name, subscription, buffer_count);
        match pump.subscribe(InitialPosition::Newest, !topic.class().has_queues()).await {
            Ok(subscribed) => Ok(pump.start(Some(subscribed))),
            Err(Failure::Refused(refusal)) if refusal.kind == BrokerErrorKind::NotFound => Ok(pump.start(None)),
            Err(failure) => Err(failure.plain()),
        }
    }
}

/// The task of a subscriber.
struct SubscriberTask {
    shared: Arc<Shared>,
    class: Class,
    url: String,
    subscription: String,
    /// The subscription for reading messages; no ids are derived from them.
    reader: Option<Subscription>,
    is_tap: bool,
    buffer: Arc<SubscriberBuffer>,
    left: CancellationToken,
}

impl SubscriberTask {
    fn new(shared: &Arc<Shared>, topic: &Topic, topic_name: &TopicName, subscription: String, buffer_count: NonZeroU32) -> Self {
        let buffer = SubscriberBuffer::new(buffer_count);
        SubscriberTask {
            shared: shared.clone(),
            class: topic.class(),
            url: topic_name.url(),
            is_tap: subscription.starts_with(BROWSE_PREFIX),
            reader: subscription.parse().ok(),
            subscription,
            buffer,
            left: CancellationToken::new(),
        }
    }

    fn start(self, subscribed: Option<Subscribed>) -> Buffered {
        let (buffer, left) = (self.buffer.clone(), self.left.clone());
        let shared = self.shared.clone();
        shared.pumps.spawn(self.run(subscribed));
        Buffered { buffer, left }
    }

    async fn subscribe(&self, start: InitialPosition, makes_topic: bool) -> Result<Subscribed, Failure> {
        let reading =
            Reading { topic: &self.url, subscription: &self.subscription, is_shared: false, is_durable: false, makes_topic, start };
        let subscribed = Subscribed::open(&self.shared.consuming, reading).await?;
        subscribed.permit_confirmed(PREFETCH_COUNT, &self.url).await?;
        Ok(subscribed)
    }

    async fn run(self, mut subscribed: Option<Subscribed>) {
        let (left, closing) = (self.left.clone(), self.shared.closed.clone());
        loop {
            let reading = async {
                match &mut subscribed {
                    Some(subscribed) => self.read(subscribed).await,
                    None => self.found().await.map(Some),
                }
            };
            let next = tokio::select! {
                biased;
                () = left.cancelled() => break,
                () = closing.cancelled() => {
                    self.buffer.end(closed());
                    break;
                }
                next = reading => next,
            };
            match next {
                Ok(next) => {
                    if let Some(mut before) = std::mem::replace(&mut subscribed, next) {
                        before.forget();
                    }
                }
                Err(error) => {
                    self.buffer.end(error);
                    break;
                }
            }
        }
        if let Some(subscribed) = subscribed {
            subscribed.close().await;
        }
    }

    /// Waits for a missing topic, and reads it from its beginning: all of that is new.
    async fn found(&self) -> Result<Subscribed> {
        loop {
            match self.subscribe(InitialPosition::Oldest, false).await {
                Ok(subscribed) => return Ok(subscribed),
                Err(Failure::Refused(refusal))
                    if matches!(refusal.kind, BrokerErrorKind::NotFound | BrokerErrorKind::Passing | BrokerErrorKind::Fenced) =>
                {
                    tokio::time::sleep(POLL_INTERVAL).await
                }
                Err(failure) => return Err(failure.plain()),
            }
        }
    }

    /// Reads until the broker ends it; a tap then waits for its topic.
    async fn read(&self, subscribed: &mut Subscribed) -> Result<Option<Subscribed>> {
        let mut free_count = 0;
        while let Some(arrival) = subscribed.arrivals.recv().await {
            match arrival {
                ConsumerEvent::Message(arrived) => {
                    free_count += self.arrived(arrived);
                    if free_count >= PREFETCH_COUNT / 4 {
                        subscribed.permit(free_count).await?;
                        free_count = 0;
                    }
                }
                ConsumerEvent::Closed if self.is_tap && self.class.has_queues() => return Ok(None),
                ConsumerEvent::Closed => {
                    let ended = super::wire::Ended("its topic is moving to another node, or an administrator closed it".to_owned());
                    return Err(PubsubError::unavailable_because("the broker closed the subscription", ended));
                }
            }
        }
        Err(subscribed.wire.reason())
    }

    /// Handles an entry that arrived; returns how many messages the broker counts for it.
    fn arrived(&self, ReceivedEntry { bytes, .. }: ReceivedEntry) -> u32 {
        let Some(reader) = &self.reader else { return 1 };
        match envelope::read(self.class, reader, bytes) {
            Ok(messages) => {
                let count = u32::try_from(messages.len()).unwrap_or(1);
                for incoming in messages.into_iter().flatten().filter(|incoming| !incoming.has_expired()) {
                    self.buffer.mailbox.push(&incoming.shown());
                }
                count
            }
            Err(error) => {
                tracing::warn!(topic = self.url, error = %error, "unreadable message skipped");
                1
            }
        }
    }
}
