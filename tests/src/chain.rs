//! A chain of queues on the embedded broker that is always under load: what crash tests kill and then count.
//!
//! Numbered messages are published to topic `a`; one consumer moves each to `b`, which two subscriptions read; from there they go to `c`
//! and `d`. Every move is one settle. So at any moment each message is in exactly one queue of each of the paths `a left c` and `a right
//! d`.

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use tokio::task::JoinSet;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, ConsumerOptions, Message, Output, Queue, QueueSpec, Routing, Settled, Topic};

use crate::look;

/// Publishes in flight at the same time.
const PUBLISHING_COUNT: usize = 24;
/// Small, so that many segments are created and removed.
const SEGMENT_BYTES: u64 = 128 << 10;
/// The maximum ballast of a message.
const BALLAST_BYTES: u64 = 3000;

/// The chain on an open broker.
pub struct Chain {
    broker: Arc<EmbeddedBroker>,
}

/// The queue that a message is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Published, not moved yet.
    A,
    /// Moved once, on the way to `c`.
    Left,
    /// Moved once, on the way to `d`.
    Right,
    /// At the left end.
    C,
    /// At the right end.
    D,
}

impl Place {
    /// All queues.
    pub const ALL: [Place; 5] = [Place::A, Place::Left, Place::Right, Place::C, Place::D];

    fn queue(self) -> Queue {
        let (topic, subscription) = match self {
            Place::A => ("flow:tg:a", "mover"),
            Place::Left => ("flow:tg:b", "left"),
            Place::Right => ("flow:tg:b", "right"),
            Place::C => ("flow:tg:c", "end"),
            Place::D => ("flow:tg:d", "end"),
        };
        Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap()
    }
}

impl Chain {
    /// Opens the broker and creates the missing queues.
    pub async fn open(folder: &Path, sync: SyncMode) -> Self {
        let options = EmbeddedOptions { sync, segment_bytes: SEGMENT_BYTES, ..EmbeddedOptions::default() };
        let broker = EmbeddedBroker::open(folder, options).unwrap();
        for place in Place::ALL {
            broker.create_queue(&QueueSpec::new(place.queue())).await.unwrap();
        }
        Chain { broker }
    }

    /// Publishes numbers from `first` on and moves all messages, forever; `stored` is called with each number that the broker has
    /// confirmed.
    pub async fn run(&self, first: u64, stored: impl Fn(u64)) {
        let mut movers = self.movers();
        let producer = self.broker.producer(Place::A.queue().topic()).await.unwrap();
        let publish = |number: u64| {
            let producer = &producer;
            async move { producer.publish_confirmed(message(number)).await.map(|()| number).unwrap() }
        };
        let mut published = stream::iter(first..).map(publish).buffered(PUBLISHING_COUNT);
        loop {
            tokio::select! {
                Some(number) = published.next() => stored(number),
                Some(ended) = movers.join_next() => ended.unwrap(),
            }
        }
    }

    /// Moves everything to the ends.
    pub async fn drain(&self) {
        let _movers = self.movers();
        crate::wait::eventually(crate::wait::DEADLINE, "everything to be at the ends", || async {
            let mut left = 0;
            for place in [Place::A, Place::Left, Place::Right] {
                left += look::depth(&*self.broker, &place.queue()).await;
            }
            (left == 0).then_some(())
        })
        .await;
    }

    /// The numbers in one queue, in order.
    pub async fn numbers(&self, place: Place) -> Vec<u64> {
        look::messages(&*self.broker, &place.queue(), u32::MAX).await.iter().map(number).collect()
    }

    /// Closes the broker.
    pub async fn close(self) {
        self.broker.close().await;
    }

    fn movers(&self) -> JoinSet<()> {
        let mut movers = JoinSet::new();
        for (from, to) in [(Place::A, Place::Left), (Place::Left, Place::C), (Place::Right, Place::D)] {
            movers.spawn(move_all(self.broker.clone(), from.queue(), to.queue().topic().clone()));
        }
        movers
    }
}

/// Settles in the order of arrival without waiting for each.
async fn move_all(broker: Arc<EmbeddedBroker>, from: Queue, to: Topic) {
    let consumer = broker.consumer(from.topic(), from.subscription(), ConsumerOptions::default()).await.unwrap();
    let mut settles = FuturesUnordered::new();
    loop {
        tokio::select! {
            delivery = consumer.receive() => {
                let delivery = delivery.unwrap();
                let message = Message { id: Some(delivery.message.id.unwrap().of_output("output", 0)), ..delivery.message };
                let outputs = vec![Output { topic: to.clone(), message, routing: Routing::Required }];
                settles.push(broker.settle(&delivery.receipt, outputs));
            }
            Some(settled) = settles.next() => assert_eq!(settled.unwrap(), Settled::Done { dropped_count: 0 }),
        }
    }
}

/// A numbered message; the number determines the size of the ballast.
fn message(number: u64) -> Message {
    let ballast = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % BALLAST_BYTES;
    Message::new(vec![b'x'; ballast as usize]).with("number", number.to_string())
}

fn number(message: &Message) -> u64 {
    let number = message.properties.get("number").unwrap().parse().unwrap();
    assert_eq!(message.body, self::message(number).body, "the content of message {number}");
    number
}
