//! What every promise is tried on: one broker, with names that belong to one test.

use std::fmt::Display;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_pubsub::{
    Backend, Class, Consumer, ConsumerOptions, Delivery, Message, Output, Queue, QueueSpec, Routing, Settled, Subscription, Topic,
};

use crate::look;
use crate::wait::within;

/// How a broker is started, stopped and started again.
pub trait Broker: Send {
    /// Opens it, or opens it again after a [`Broker::close`].
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>>;

    /// Ends it in an orderly way; what is durable stays.
    fn close(&mut self) -> BoxFuture<'_, ()>;
}

/// The embedded broker in a folder of its own.
pub struct Embedded {
    folder: TempDir,
    options: EmbeddedOptions,
    open: Option<Arc<EmbeddedBroker>>,
}

impl Embedded {
    /// In a new folder, with a high mark that a test can reach: 8 MiB.
    pub fn new() -> Self {
        let options = EmbeddedOptions { queue_high_bytes: 8 << 20, ..EmbeddedOptions::default() };
        Embedded { folder: tempfile::tempdir().unwrap(), options, open: None }
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

impl Broker for Embedded {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>> {
        Box::pin(async {
            let broker = EmbeddedBroker::open(self.folder.path(), self.options.clone()).unwrap();
            self.open = Some(broker.clone());
            broker as Arc<dyn Backend>
        })
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(broker) = self.open.take() {
                broker.close().await;
            }
        })
    }
}

/// One broker under test, and the steps that promises have in common.
pub struct Bed {
    broker: Box<dyn Broker>,
    backend: Option<Arc<dyn Backend>>,
    topicspace: String,
}

impl Bed {
    /// Opens the broker. The topicspace is new, so that tests on one shared broker do not meet.
    pub async fn open(mut broker: impl Broker + 'static) -> Self {
        let backend = Some(broker.open().await);
        Bed { broker: Box::new(broker), backend, topicspace: format!("t{:08x}", rand::random::<u32>()) }
    }

    /// The broker.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        self.backend.as_ref().unwrap()
    }

    /// Closes the broker; what was made from it stays and finds it closed.
    pub async fn close(&mut self) {
        self.broker.close().await;
    }

    /// Closes the broker and opens it again. Consumers and producers of before are to be dropped first.
    pub async fn restart(&mut self) {
        self.backend = None;
        self.broker.close().await;
        self.backend = Some(self.broker.open().await);
    }

    /// A topic of this test.
    pub fn topic(&self, class: Class, name: &str) -> Topic {
        Topic::new(class, &self.topicspace, name).unwrap()
    }

    /// A queue of this test that was not made.
    pub fn queue(&self, class: Class, name: &str, subscription: &str) -> Queue {
        Queue::new(self.topic(class, name), subscription.parse().unwrap()).unwrap()
    }

    /// A queue of this test, made.
    pub async fn made(&self, class: Class, name: &str, subscription: &str) -> Queue {
        let queue = self.queue(class, name, subscription);
        self.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        queue
    }

    /// A made `flow` queue that holds messages of these bodies.
    pub async fn filled(&self, name: &str, bodies: &[&str]) -> Queue {
        let queue = self.made(Class::Flow, name, "reader").await;
        self.publish(queue.topic(), bodies).await;
        queue
    }

    /// Publishes messages of these bodies by one producer, one after the other.
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

    /// A competing consumer of a queue that may hold so many messages.
    pub async fn windowed(&self, queue: &Queue, window: u32) -> Box<dyn Consumer> {
        let options = ConsumerOptions { window: NonZeroU32::new(window).unwrap(), ..ConsumerOptions::default() };
        self.backend().consumer(queue.topic(), queue.subscription(), options).await.unwrap()
    }

    /// A competing consumer of a queue that may hold messages of so many bytes.
    pub async fn windowed_bytes(&self, queue: &Queue, window_bytes: u64) -> Box<dyn Consumer> {
        let options = ConsumerOptions { window_bytes, ..ConsumerOptions::default() };
        self.backend().consumer(queue.topic(), queue.subscription(), options).await.unwrap()
    }

    /// A subscriber of a `response` or `notify` topic.
    pub async fn subscriber(&self, topic: &Topic) -> Box<dyn Consumer> {
        let name: Subscription = "somebody".parse().unwrap();
        self.backend().consumer(topic, &name, ConsumerOptions::default()).await.unwrap()
    }

    /// Settles a delivery without outputs; it must have been held.
    pub async fn settle(&self, delivery: &Delivery) {
        assert_eq!(self.settle_with(delivery, vec![]).await, Settled::Done { dropped_count: 0 });
    }

    /// Settles a delivery with outputs.
    pub async fn settle_with(&self, delivery: &Delivery, outputs: Vec<Output>) -> Settled {
        within("a settle", self.backend().settle(&delivery.receipt, outputs)).await.unwrap()
    }

    /// Whether a future is still waiting after the broker has answered others about a queue.
    pub async fn is_waiting(&self, future: impl Future, queue: &Queue) -> bool {
        let mut future = pin!(future);
        for _ in 0..8 {
            let backend = self.backend();
            tokio::select! {
                biased;
                _ = &mut future => return false,
                stats = backend.inspect().stats(queue) => drop(stats.unwrap()),
            }
        }
        true
    }

    /// The bodies of all that waits in a queue, which stays there.
    pub async fn waiting(&self, queue: &Queue) -> Vec<String> {
        look::messages(&**self.backend(), queue, u32::MAX).await.iter().map(text).collect()
    }
}

/// A message of a text.
pub(super) fn message(body: impl Display) -> Message {
    Message::new(body.to_string())
}

/// The text of a message.
pub(super) fn text(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

/// An output of a text, with an id of its own.
pub(super) fn output(topic: &Topic, body: &str, routing: Routing) -> Output {
    let id = weir_pubsub::MessageId::random(&mut rand::rng());
    Output { topic: topic.clone(), message: Message { id: Some(id), ..message(body) }, routing }
}

/// The next delivery, which must come.
pub(super) async fn next(consumer: &dyn Consumer) -> Delivery {
    within("a delivery", consumer.receive()).await.unwrap()
}

/// The next delivery, which must come and be this one.
pub(super) async fn expect(consumer: &dyn Consumer, body: &str) -> Delivery {
    let delivery = next(consumer).await;
    assert_eq!(text(&delivery.message), body);
    delivery
}

/// The bodies of the next deliveries, which must come.
pub(super) async fn texts(consumer: &dyn Consumer, count: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        texts.push(text(&next(consumer).await.message));
    }
    texts
}
