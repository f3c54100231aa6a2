//! Disk usage of the log: old messages do not keep dead segments, and messages that are copied forward stay unchanged.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::queue_view::messages;
use crate::backend::{Backend, Consumer, ConsumerOptions, Delivery, QueueSpec, Settled};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use crate::message::Message;
use crate::topic::{Queue, Topic};

const SEGMENT_BYTES: u64 = 64 << 10;
/// The overhead of a message: its counted size excludes its id and lengths, and it is stored in a record.
const RECORD_BYTES: u64 = 100;

fn queue(name: &str) -> Queue {
    Queue::new(format!("flow:tg:{name}").parse().unwrap(), "s".parse().unwrap()).unwrap()
}

/// Small segments and no cache, so that everything is read back.
fn open(folder: &Path) -> Arc<EmbeddedBroker> {
    let options = EmbeddedOptions { sync: SyncMode::None, segment_bytes: SEGMENT_BYTES, cached_bytes: 0, ..EmbeddedOptions::default() };
    EmbeddedBroker::open(folder, options).unwrap()
}

async fn consumer(broker: &EmbeddedBroker, name: &str, window: u32) -> Box<dyn Consumer> {
    let queue = queue(name);
    let options = ConsumerOptions { window: NonZeroU32::new(window).unwrap(), ..ConsumerOptions::default() };
    broker.consumer(queue.topic(), queue.subscription(), options).await.unwrap()
}

async fn receive(consumer: &dyn Consumer) -> Delivery {
    tokio::time::timeout(Duration::from_secs(20), consumer.receive()).await.expect("no message").unwrap()
}

async fn publish(broker: &EmbeddedBroker, name: &str, body: Vec<u8>) {
    broker.producer(queue(name).topic()).await.unwrap().publish_confirmed(Message::new(body)).await.unwrap();
}

/// The size of all segment files in the folder.
fn log_bytes(folder: &Path) -> u64 {
    let lengths = std::fs::read_dir(folder).unwrap().filter_map(|file| {
        let file = file.unwrap();
        // A segment may be removed between the two calls.
        file.path().extension().is_some_and(|it| it == "log").then(|| file.metadata().map_or(0, |found| found.len()))
    });
    lengths.sum()
}

/// The limit on disk: four times the live bytes, and two segments.
fn allowed_bytes(broker: &EmbeddedBroker) -> u64 {
    let live: u64 = broker.queues().iter().map(|(_, stats)| stats.size_bytes.unwrap() + stats.depth_count.unwrap() * RECORD_BYTES).sum();
    4 * live + 2 * SEGMENT_BYTES
}

/// A second queue whose messages are settled immediately.
struct Neighbour {
    broker: Arc<EmbeddedBroker>,
    reader: Box<dyn Consumer>,
}

impl Neighbour {
    async fn of(broker: &Arc<EmbeddedBroker>) -> Self {
        broker.ensure_queue(&QueueSpec::new(queue("busy"))).await.unwrap();
        Neighbour { broker: broker.clone(), reader: consumer(broker, "busy", 16).await }
    }

    async fn pass(&self, bytes: usize) {
        publish(&self.broker, "busy", vec![7; bytes]).await;
        let delivery = receive(&*self.reader).await;
        assert_eq!(self.broker.settle(&delivery.receipt, Vec::new()).await.unwrap(), Settled::Done { dropped_count: 0 });
    }

    /// Passes messages until the log was copied completely several times; the bound is checked after each.
    async fn pass_many(&self, folder: &Path, messages: usize) {
        for _ in 0..messages {
            self.pass(1000).await;
            let (found, allowed) = (log_bytes(folder), allowed_bytes(&self.broker));
            assert!(found <= allowed, "{found} bytes of log, {allowed} are allowed");
        }
    }
}

async fn with_queues(folder: &Path, names: &[&str]) -> Arc<EmbeddedBroker> {
    let broker = open(folder);
    for name in names {
        broker.create_queue(&QueueSpec::new(queue(name))).await.unwrap();
    }
    broker
}

#[tokio::test]
async fn one_old_message_does_not_retain_the_segments_of_a_busy_neighbour() {
    let folder = tempfile::tempdir().unwrap();
    let broker = with_queues(folder.path(), &["dead"]).await;
    publish(&broker, "dead", vec![1; 16]).await;
    let neighbour = Neighbour::of(&broker).await;
    neighbour.pass_many(folder.path(), 2000).await;
    let found = messages(&broker, &queue("dead"), 9).await;
    assert_eq!((found.len(), found[0].body.as_ref()), (1, [1; 16].as_slice()));
    assert!(broker.commit_stats().copied_bytes_count < 100_000);
}

#[tokio::test]
async fn copying_an_unread_backlog_never_exceeds_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let broker = with_queues(folder.path(), &["dead"]).await;
    for number in 0..400_u32 {
        publish(&broker, "dead", number.to_le_bytes().repeat(250)).await;
    }
    let neighbour = Neighbour::of(&broker).await;
    neighbour.pass_many(folder.path(), 4000).await;
    let stats = broker.commit_stats();
    assert!(stats.copied_bytes_count > 400 * 1000, "all of it was copied at least once");
    assert!(stats.copied_bytes_count < stats.bytes_count, "{stats:?}");
    drop(neighbour);
    broker.close().await;
    let broker = open(folder.path());
    let found = messages(&broker, &queue("dead"), 1000).await;
    let numbers: Vec<Vec<u8>> = found.iter().map(|message| message.body[..4].to_vec()).collect();
    assert_eq!(numbers, (0..400_u32).map(|number| number.to_le_bytes().to_vec()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_held_by_a_consumer_is_copied_with_its_delivery_count() {
    let folder = tempfile::tempdir().unwrap();
    let broker = with_queues(folder.path(), &["held"]).await;
    for body in 0..5 {
        publish(&broker, "held", vec![body; 10]).await;
    }
    // All five are prefetched; the first was received three times, the second once, the third not at all.
    let reader = consumer(&broker, "held", 5).await;
    for _ in 0..2 {
        let first = receive(&*reader).await;
        broker.requeue(&first.receipt).await.unwrap();
    }
    let (first, second) = (receive(&*reader).await, receive(&*reader).await);
    assert_eq!((first.delivery_count.at_least(), second.delivery_count.at_least()), (3, 1));
    Neighbour::of(&broker).await.pass_many(folder.path(), 400).await;
    assert!(!folder.path().join("00000000000000000001.log").exists());
    let third = receive(&*reader).await;
    assert_eq!((third.delivery_count.at_least(), third.message.body.as_ref()), (1, [2; 10].as_slice()));
    assert_eq!(broker.settle(&second.receipt, Vec::new()).await.unwrap(), Settled::Done { dropped_count: 0 });
    drop(reader);
    broker.close().await;
    let broker = open(folder.path());
    let reader = consumer(&broker, "held", 1).await;
    for (body, deliveries) in [(0, 4), (2, 2), (3, 1), (4, 1)] {
        let delivery = receive(&*reader).await;
        assert_eq!((delivery.message.body.as_ref(), delivery.delivery_count.at_least()), ([body; 10].as_slice(), deliveries));
        broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_of_several_queues_is_copied_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let topic: Topic = "flow:tg:shared".parse().unwrap();
    let queues: Vec<Queue> = (0..8).map(|at| Queue::new(topic.clone(), format!("s{at}").parse().unwrap()).unwrap()).collect();
    for queue in &queues {
        broker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    }
    publish(&broker, "shared", vec![3; 20_000]).await;
    Neighbour::of(&broker).await.pass_many(folder.path(), 300).await;
    let copied = broker.commit_stats().copied_bytes_count;
    // About five copies of the message; copying it for each queue separately would be eight times as much.
    assert!((20_000..160_000).contains(&copied), "{copied}");
    broker.close().await;
    let broker = open(folder.path());
    for queue in &queues {
        let found = messages(&broker, queue, 9).await;
        assert_eq!(found.iter().map(|message| message.body.len()).collect::<Vec<_>>(), [20_000]);
    }
}

#[tokio::test]
async fn segments_after_an_old_message_are_removed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = with_queues(folder.path(), &["dead"]).await;
    for _ in 0..60 {
        publish(&broker, "dead", vec![1; 10_000]).await;
    }
    assert!(log_bytes(folder.path()) > 9 * SEGMENT_BYTES);
    let reader = consumer(&broker, "dead", 60).await;
    for _ in 0..60 {
        let delivery = receive(&*reader).await;
        broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
    // A few go with each commit, the rest when idle.
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while log_bytes(folder.path()) > 2 * SEGMENT_BYTES {
        assert!(tokio::time::Instant::now() < end, "{} bytes are left", log_bytes(folder.path()));
        tokio::task::yield_now().await;
    }
}
