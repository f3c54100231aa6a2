//! The fixture of every promise: one broker, with names unique to one test.
//!
//! Checks consume: a queue is read up to a message published behind its content ([`BrokerFixture::drained`]). Not every broker can show
//! figures or messages, and the figures of a network broker lag.

use std::fmt::Display;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use weir_pubsub::{
    Backend, Class, Consumer, ConsumerOptions, Delivery, Inspect, Message, MessageId, Output, Producer, PubsubError, Queue, QueueSpec,
    Routing, Settled, Subscription, Topic, Unsettled,
};

use super::brokers::Broker;
use crate::wait::{DEADLINE, eventually, within};

/// The prefix of the bodies that [`BrokerFixture::drained`] publishes.
const END: &str = "end of the queue ";
/// The number of round trips after which an unfinished future counts as waiting.
const ROUND_TRIPS_COUNT: u32 = 4;

/// One broker under test, and the steps that promises share.
pub struct BrokerFixture {
    broker: Box<dyn Broker>,
    backend: Option<Arc<dyn Backend>>,
    topicspace: String,
}

impl BrokerFixture {
    /// Opens the broker. The topicspace is new, so that tests on one shared broker do not interfere.
    pub async fn open(mut broker: impl Broker + 'static) -> Self {
        let topicspace = format!("t{:08x}", rand::random::<u32>());
        let backend = Some(broker.open().await);
        broker.prepare(&topicspace).await;
        BrokerFixture { broker: Box::new(broker), backend, topicspace }
    }

    /// The classes whose queues keep messages until they are consumed, with a separate queue for each subscription.
    pub fn queue_classes(&self) -> &'static [Class] {
        if self.broker.has_request_queues() { &[Class::Flow, Class::Request] } else { &[Class::Flow] }
    }

    /// The broker.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        self.backend.as_ref().unwrap()
    }

    /// The backend of another process; that of this process if processes cannot share the broker.
    pub async fn beside(&self) -> Arc<dyn Backend> {
        self.broker.beside().await.unwrap_or_else(|| self.backend().clone())
    }

    /// Closes the broker; objects created from it stay and find it closed.
    pub async fn close(&mut self) {
        self.broker.close().await;
    }

    /// Closes the broker and reopens it. Existing consumers and producers must be dropped before.
    pub async fn restart(&mut self) {
        self.backend = None;
        self.broker.close().await;
        self.backend = Some(self.broker.open().await);
    }

    /// A topic of this test.
    pub fn topic(&self, class: Class, name: &str) -> Topic {
        Topic::new(class, &self.topicspace, name).unwrap()
    }

    /// A queue of this test, not created.
    pub fn queue(&self, class: Class, name: &str, subscription: &str) -> Queue {
        Queue::new(self.topic(class, name), subscription.parse().unwrap()).unwrap()
    }

    /// A queue of this test, created.
    pub async fn made(&self, class: Class, name: &str, subscription: &str) -> Queue {
        let queue = self.queue(class, name, subscription);
        self.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        queue
    }

    /// A created `flow` queue that holds messages with these bodies.
    pub async fn filled(&self, name: &str, bodies: &[&str]) -> Queue {
        let queue = self.made(Class::Flow, name, "reader").await;
        self.publish(queue.topic(), bodies).await;
        queue
    }

    /// Publishes messages with these bodies by one producer, one after the other.
    pub async fn publish(&self, topic: &Topic, bodies: &[&str]) {
        let producer = self.backend().producer(topic).await.unwrap();
        for body in bodies {
            within("a publish", producer.publish_confirmed(message(body))).await.unwrap();
        }
    }

    /// A competing consumer of a queue with the default window.
    pub async fn consumer(&self, queue: &Queue) -> Box<dyn Consumer> {
        self.windowed(queue, 256).await
    }

    /// A competing consumer of a queue that may hold this many messages.
    pub async fn windowed(&self, queue: &Queue, window: u32) -> Box<dyn Consumer> {
        let options = ConsumerOptions { window: NonZeroU32::new(window).unwrap(), ..ConsumerOptions::default() };
        self.backend().consumer(queue.topic(), queue.subscription(), options).await.unwrap()
    }

    /// A competing consumer of a queue that may hold this many bytes of messages.
    pub async fn windowed_bytes(&self, queue: &Queue, window_bytes: u64) -> Box<dyn Consumer> {
        let options = ConsumerOptions { window_bytes, ..ConsumerOptions::default() };
        self.backend().consumer(queue.topic(), queue.subscription(), options).await.unwrap()
    }

    /// A subscriber of a `response` or `notify` topic.
    pub async fn subscriber(&self, topic: &Topic) -> Box<dyn Consumer> {
        let name: Subscription = "subscriber".parse().unwrap();
        self.backend().consumer(topic, &name, ConsumerOptions::default()).await.unwrap()
    }

    /// Settles a delivery without outputs; it must be held.
    pub async fn settle(&self, delivery: &Delivery) {
        assert_eq!(self.settle_with(delivery, vec![]).await, Settled::Done { dropped_count: 0 });
    }

    /// Settles a delivery with outputs.
    pub async fn settle_with(&self, delivery: &Delivery, outputs: Vec<Output>) -> Settled {
        within("a settle", self.backend().settle(&delivery.receipt, outputs)).await.unwrap()
    }

    /// Settles a delivery with outputs, which must fail.
    pub async fn settle_fails(&self, delivery: &Delivery, outputs: Vec<Output>) -> Unsettled {
        within("a settle", self.backend().settle(&delivery.receipt, outputs)).await.unwrap_err()
    }

    /// Whether a future is still waiting after messages that were sent later have arrived.
    pub async fn is_waiting(&self, future: impl Future) -> bool {
        let mut future = pin!(future);
        let scratch = self.made(Class::Flow, "scratch", "reader").await;
        let consumer = self.windowed(&scratch, 1).await;
        for _ in 0..ROUND_TRIPS_COUNT {
            let round_trip = async {
                self.publish(scratch.topic(), &["there"]).await;
                self.settle(&next(&*consumer).await).await;
            };
            tokio::select! {
                biased;
                _ = &mut future => return false,
                () = round_trip => {}
            }
        }
        future.now_or_never().is_none()
    }

    /// Gives the broker time to process acknowledgements: not every broker confirms them.
    pub async fn let_acknowledgements_arrive(&self) {
        assert!(self.is_waiting(std::future::pending::<()>()).await);
    }

    /// Consumes all messages of a queue, and returns their bodies. No other consumer of the queue may have room in its window.
    ///
    /// Publishes a message behind them, which the other queues of the topic get too; it is not counted there.
    pub async fn drained(&self, queue: &Queue) -> Vec<String> {
        let end = format!("{END}{}", MessageId::random(&mut rand::rng()));
        let producer = self.backend().producer(queue.topic()).await.unwrap();
        let consumer = self.consumer(queue).await;
        publish_again(&*producer, &end).await;
        let mut bodies = Vec::new();
        loop {
            let delivery = next(&*consumer).await;
            self.settle(&delivery).await;
            match text(&delivery.message) {
                body if body == end => return bodies,
                body if body.starts_with(END) => {}
                body => bodies.push(body),
            }
        }
    }

    /// Inspects queues: for the promises of [`Inspect`].
    pub fn inspect(&self) -> &dyn Inspect {
        self.backend().inspect()
    }

    /// Loses the connection to the broker, which stays reachable.
    pub async fn lose_connection(&mut self) {
        self.broker.disconnect().await;
        self.broker.reconnect().await;
    }

    /// Loses the connection to the broker until [`BrokerFixture::reconnect`].
    pub async fn disconnect(&mut self) {
        self.broker.disconnect().await;
    }

    /// Lets the backend reconnect.
    pub async fn reconnect(&mut self) {
        self.broker.reconnect().await;
    }

    /// Loses only the publishing connection, for a moment.
    pub async fn lose_publishing(&mut self) {
        self.broker.lose_publishing().await;
    }

    /// Loses only the consuming connection, for a moment.
    pub async fn lose_consuming(&mut self) {
        self.broker.lose_consuming().await;
    }

    /// Holds all traffic between the backend and its broker until [`BrokerFixture::release`].
    pub async fn hold(&mut self) {
        self.broker.hold().await;
    }

    /// Forwards traffic again.
    pub async fn release(&mut self) {
        self.broker.release().await;
    }

    /// The names of everything on the broker that subscribers and taps may leave there.
    pub async fn visible(&self) -> Vec<String> {
        match self.broker.visible().await {
            Some(names) => names,
            None => self.inspect().list_queues().await.unwrap().iter().map(ToString::to_string).collect(),
        }
    }

    /// Restarts the broker beneath the backend.
    pub async fn restart_beneath(&mut self) {
        self.broker.restart_beneath().await;
    }

    /// Makes the broker block its publishers until [`BrokerFixture::unblock`].
    pub async fn block(&mut self) {
        self.broker.block().await;
    }

    /// Unblocks the publishers.
    pub async fn unblock(&mut self) {
        self.broker.unblock().await;
    }

    /// Revokes all permissions until [`BrokerFixture::allow`].
    pub async fn deny(&mut self) {
        self.broker.deny().await;
    }

    /// Restores the permissions.
    pub async fn allow(&mut self) {
        self.broker.allow().await;
    }

    /// Removes the binding of a queue to its topic.
    pub async fn unbind(&mut self, queue: &Queue) {
        self.broker.unbind(queue).await;
    }

    /// Keeps the broker from reading messages until [`BrokerFixture::go_on`].
    pub async fn stall(&mut self) {
        self.broker.stall().await;
    }

    /// Makes messages readable again.
    pub async fn go_on(&mut self) {
        self.broker.go_on().await;
    }

    /// A consumer of a queue, as soon as the backend has reconnected.
    pub async fn consumer_again(&self, queue: &Queue) -> Box<dyn Consumer> {
        let subscribed = || async {
            match self.backend().consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await {
                Ok(consumer) => Some(consumer),
                Err(PubsubError::Unavailable { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        };
        eventually(DEADLINE, "the connection", subscribed).await
    }
}

/// A message with this text.
pub(super) fn message(body: impl Display) -> Message {
    Message::new(body.to_string())
}

/// The text of a message.
pub(super) fn text(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

/// An output with this text and an id of its own.
pub(super) fn output(topic: &Topic, body: &str, routing: Routing) -> Output {
    let id = weir_pubsub::MessageId::random(&mut rand::rng());
    Output { topic: topic.clone(), message: Message { id: Some(id), ..message(body) }, routing }
}

/// The next delivery, which must arrive.
pub(super) async fn next(consumer: &dyn Consumer) -> Delivery {
    within("a delivery", consumer.receive()).await.unwrap()
}

/// The next delivery, which must arrive and have this body.
pub(super) async fn expect(consumer: &dyn Consumer, body: &str) -> Delivery {
    let delivery = next(consumer).await;
    assert_eq!(text(&delivery.message), body);
    delivery
}

/// The bodies of the next deliveries, which must arrive.
pub(super) async fn texts(consumer: &dyn Consumer, count: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        texts.push(text(&next(consumer).await.message));
    }
    texts
}

/// Publishes a message until it is confirmed, under one id, as callers that survive losses do; it may be stored more than once.
pub(super) async fn publish_again(producer: &dyn Producer, body: &str) {
    let message = Message { id: Some(MessageId::random(&mut rand::rng())), ..message(body) };
    let published = || async {
        match producer.publish_confirmed(message.clone()).await {
            Ok(()) => Some(()),
            Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    };
    eventually(DEADLINE, "a publish", published).await;
}

/// The outputs that a failed settle names.
pub(super) fn unsent(unsettled: &Unsettled, outputs: &[Output]) -> Vec<Output> {
    assert!(unsettled.unsent.is_sorted_by(|a, b| a < b), "rising: {:?}", unsettled.unsent);
    unsettled.unsent.iter().map(|proxies| outputs[*proxies].clone()).collect()
}
