//! The broker on a faulty disk: bytes that change, files that disappear, writes that fail.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::queue_view::{messages, shown};
use crate::backend::{Backend, Consumer, ConsumerOptions, Delivery, Inspect, Output, QueueSpec, Routing, Settled, Unsettled};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode, damaged_files};
use crate::error::PubsubError;
use crate::message::Message;
use crate::topic::{Queue, Topic};

const FIRST: &str = "00000000000000000001.log";

/// Without a cache, so that everything is read back.
fn options() -> EmbeddedOptions {
    // Without a reserve, in which a write that fails for lack of space would succeed.
    EmbeddedOptions { held_reserve_bytes: 0, sync: SyncMode::None, cached_bytes: 0, ..EmbeddedOptions::default() }
}

fn open(folder: &tempfile::TempDir) -> Arc<EmbeddedBroker> {
    EmbeddedBroker::open(folder.path(), options()).unwrap()
}

fn queue(name: &str, subscription: &str) -> Queue {
    Queue::new(format!("flow:tg:{name}").parse().unwrap(), subscription.parse().unwrap()).unwrap()
}

async fn create(broker: &EmbeddedBroker, queue: &Queue) {
    broker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
}

/// Publishes numbered messages whose bodies can be found in the file.
async fn publish(broker: &EmbeddedBroker, queue: &Queue, numbers: std::ops::Range<u32>) {
    let producer = broker.producer(queue.topic()).await.unwrap();
    for number in numbers {
        producer.publish_confirmed(Message::new(format!("body-{number:04}-{}", "x".repeat(200)))).await.unwrap();
    }
}

fn number(message: &Message) -> u32 {
    std::str::from_utf8(&message.body[5..9]).unwrap().parse().unwrap()
}

async fn consumer(broker: &EmbeddedBroker, queue: &Queue, window: u32) -> Box<dyn Consumer> {
    let options = ConsumerOptions { window: NonZeroU32::new(window).unwrap(), ..ConsumerOptions::default() };
    broker.consumer(queue.topic(), queue.subscription(), options).await.unwrap()
}

async fn within_deadline<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it must come soon")
}

/// Receives and settles this many messages; returns their numbers.
async fn take(broker: &EmbeddedBroker, consumer: &dyn Consumer, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let delivery = within_deadline(consumer.receive()).await.unwrap();
        numbers.push(number(&delivery.message));
        broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
    numbers
}

/// Changes one byte of the body with this number in the file.
fn flip(folder: &tempfile::TempDir, number: u32) {
    let path = folder.path().join(FIRST);
    let mut bytes = std::fs::read(&path).unwrap();
    let body = format!("body-{number:04}");
    let at = bytes.windows(body.len()).position(|found| found == body.as_bytes()).unwrap();
    bytes[at + 100] ^= 0x40;
    // In place, so that an open file is changed too.
    std::os::unix::fs::FileExt::write_all_at(&std::fs::File::options().write(true).open(&path).unwrap(), &bytes, 0).unwrap();
}

fn damaged(folder: &tempfile::TempDir) -> Vec<PathBuf> {
    damaged_files(folder.path()).unwrap()
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    within_deadline(async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_damaged_message_is_set_aside_in_each_queue_and_the_others_stay_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(&folder);
    let (one, two) = (queue("a", "one"), queue("a", "two"));
    for queue in [&one, &two] {
        create(&broker, queue).await;
    }
    publish(&broker, &one, 0..20).await;
    flip(&folder, 7);
    let expected: Vec<u32> = (0..20).filter(|number| *number != 7).collect();
    for queue in [&one, &two] {
        // A window of one, which the damaged message must not occupy.
        let reader = consumer(&broker, queue, 1).await;
        assert_eq!(take(&broker, &*reader, 19).await, expected);
        let stats = broker.stats(queue).await.unwrap();
        assert_eq!((stats.depth_count, stats.damaged_count, stats.size_bytes), (Some(0), Some(1), Some(0)));
    }
    let kept = damaged(&folder);
    assert_eq!(kept.len(), 1, "the bytes of a shared message are kept once: {kept:?}");
    assert!(String::from_utf8_lossy(&std::fs::read(&kept[0]).unwrap()).contains("body-0007"));
    broker.close().await;
    drop(broker);
    let broker = open(&folder);
    assert_eq!((broker.opening_report().messages_count, broker.opening_report().damaged_count), (0, 0));
}

#[tokio::test]
async fn damage_in_a_backlog_is_counted_on_opening_and_not_redelivered_once_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let a = queue("a", "s");
    let broker = open(&folder);
    create(&broker, &a).await;
    publish(&broker, &a, 0..10).await;
    broker.close().await;
    drop(broker);
    flip(&folder, 3);
    flip(&folder, 9);
    let broker = open(&folder);
    assert_eq!((broker.opening_report().messages_count, broker.opening_report().damaged_count), (10, 2));
    let reader = consumer(&broker, &a, 256).await;
    assert_eq!(take(&broker, &*reader, 4).await, [0, 1, 2, 4]);
    drop(reader);
    broker.close().await;
    drop(broker);
    let broker = open(&folder);
    assert_eq!((broker.opening_report().messages_count, broker.opening_report().damaged_count), (5, 1), "the last one is still there");
    let reader = consumer(&broker, &a, 256).await;
    assert_eq!(take(&broker, &*reader, 4).await, [5, 6, 7, 8]);
    tokio::select! {
        delivery = reader.receive() => panic!("there is nothing behind the damaged one: {delivery:?}"),
        () = until(async || broker.stats(&a).await.unwrap().depth_count == Some(0)) => {}
    }
}

#[tokio::test]
async fn browsing_a_queue_shows_damaged_and_intact_messages() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(&folder);
    let a = queue("a", "s");
    create(&broker, &a).await;
    publish(&broker, &a, 0..10).await;
    (2..6).for_each(|number| flip(&folder, number));
    let shown = shown(&broker, &a, 8).await;
    let numbers: Vec<_> = shown.iter().map(|browsed| browsed.message.as_ref().ok().map(number)).collect();
    assert_eq!(numbers, [Some(0), Some(1), None, None, None, None, Some(6), Some(7)]);
    for at in [3, 6] {
        assert!(broker.remove(&a, &shown[at].named()).await.unwrap(), "{at}");
    }
    assert_eq!(broker.stats(&a).await.unwrap().depth_count, Some(8));
}

#[tokio::test]
async fn messages_of_a_missing_segment_are_set_aside_and_others_are_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::open(folder.path(), EmbeddedOptions { segment_bytes: 2_000, ..options() }).unwrap();
    let a = queue("a", "s");
    create(&broker, &a).await;
    publish(&broker, &a, 0..40).await;
    std::fs::remove_file(folder.path().join("00000000000000000002.log")).unwrap();
    let file = std::fs::File::options().write(true).open(folder.path().join("00000000000000000003.log")).unwrap();
    file.set_len(600).unwrap();
    let reader = consumer(&broker, &a, 3).await;
    let last = within_deadline(async {
        loop {
            let delivery = reader.receive().await.unwrap();
            broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
            if number(&delivery.message) == 39 {
                return number(&delivery.message);
            }
        }
    });
    assert_eq!(last.await, 39);
    let stats = broker.stats(&a).await.unwrap();
    assert!(stats.damaged_count > Some(8) && stats.depth_count == Some(0), "{stats:?}");
}

#[tokio::test]
async fn a_failed_read_discards_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let a = queue("a", "s");
    let broker = open(&folder);
    create(&broker, &a).await;
    publish(&broker, &a, 0..5).await;
    // A folder in place of the file can be opened but not read.
    let (path, aside) = (folder.path().join(FIRST), folder.path().join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    let reader = consumer(&broker, &a, 256).await;
    for _ in 0..2 {
        let error = within_deadline(reader.receive()).await.unwrap_err().to_string();
        assert!(error.contains("is temporarily unreadable"), "{error}");
    }
    assert!(shown(&broker, &a, 10).await.iter().all(|browsed| browsed.message.is_err()));
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    drop(reader);
    // The handle of the folder may still be open.
    broker.shared.reader.forget(1);
    let reader = consumer(&broker, &a, 256).await;
    assert_eq!(take(&broker, &*reader, 5).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn an_unwritable_disk_is_reported_to_readers_once_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let a = queue("a", "s");
    let broker = open(&folder);
    create(&broker, &a).await;
    publish(&broker, &a, 0..3).await;
    broker.close().await;
    drop(broker);
    let broker = open(&folder);
    let failing = &broker.shared.failing_writes_are_counted;
    failing.store(u32::MAX, Ordering::Relaxed);
    let reader = consumer(&broker, &a, 256).await;
    let error = within_deadline(reader.receive()).await.unwrap_err();
    assert!(matches!(&error, PubsubError::Stalled { .. } if crate::error_text::chain(&error).contains("full")), "{error}");
    // A later consumer gets the reason too; one that already got it waits.
    let later = consumer(&broker, &a, 256).await;
    assert!(within_deadline(later.receive()).await.is_err());
    let waits = reader.receive();
    tokio::pin!(waits);
    assert!(futures_util::poll!(&mut waits).is_pending());
    until(async || u32::MAX - failing.load(Ordering::Relaxed) >= 3).await;
    let tried_count = u32::MAX - failing.load(Ordering::Relaxed);
    assert!(tried_count < 10, "it must not be busy: {tried_count} writes");
    failing.store(0, Ordering::Relaxed);
    let first = within_deadline(waits).await.unwrap();
    assert_eq!((number(&first.message), first.delivery_count.at_least()), (0, 1));
}

#[tokio::test]
async fn a_damaged_message_not_yet_set_aside_does_not_block_others() {
    let folder = tempfile::tempdir().unwrap();
    let a = queue("a", "s");
    let broker = open(&folder);
    create(&broker, &a).await;
    publish(&broker, &a, 0..4).await;
    flip(&folder, 0);
    broker.shared.failing_writes_are_counted.store(2, Ordering::Relaxed);
    let reader = consumer(&broker, &a, 4).await;
    assert_eq!(number(&within_deadline(reader.receive()).await.unwrap().message), 1);
    until(async || broker.stats(&a).await.unwrap().damaged_count == Some(1)).await;
    drop(reader);
    assert_eq!(take(&broker, &*consumer(&broker, &a, 4).await, 3).await, [1, 2, 3]);
}

fn outputs(topic: &Topic, delivery: &Delivery) -> Vec<Output> {
    vec![Output { topic: topic.clone(), message: delivery.message.clone(), routing: Routing::Required }]
}

#[tokio::test]
async fn later_settles_wait_for_the_repetition_of_a_failed_one() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(&folder);
    let (a, b) = (queue("a", "s"), queue("b", "s"));
    for queue in [&a, &b] {
        create(&broker, queue).await;
    }
    publish(&broker, &a, 0..6).await;
    let reader = consumer(&broker, &a, 256).await;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(within_deadline(reader.receive()).await.unwrap());
    }
    let settle = |at: usize| broker.settle(&held[at].receipt, outputs(b.topic(), &held[at]));
    broker.shared.failing_writes_are_counted.store(1, Ordering::Relaxed);
    assert!(matches!(settle(0).await, Err(Unsettled { error: PubsubError::Unavailable { .. }, .. })));
    // Writes succeed again, but the first settle has not been repeated.
    assert!(matches!(settle(1).await, Err(Unsettled { error: PubsubError::Unavailable { .. }, .. })));
    let all = [settle(0), settle(1), settle(2)];
    for settled in all {
        assert_eq!(settled.await.unwrap(), Settled::Done { dropped_count: 0 });
    }
    // Requeueing a delivery whose settle will not be repeated unblocks the others.
    broker.shared.failing_writes_are_counted.store(1, Ordering::Relaxed);
    assert!(settle(3).await.is_err());
    assert!(settle(4).await.is_err());
    broker.requeue(&held[3].receipt).await.unwrap();
    for at in [4, 5] {
        assert_eq!(settle(at).await.unwrap(), Settled::Done { dropped_count: 0 });
    }
    let sent: Vec<u32> = messages(&broker, &b, 10).await.iter().map(number).collect();
    assert_eq!(sent, [0, 1, 2, 4, 5]);
}

#[tokio::test]
async fn a_settle_without_a_queue_for_its_output_blocks_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(&folder);
    let (a, b, c) = (queue("a", "s"), queue("b", "s"), queue("c", "s"));
    for queue in [&a, &c] {
        create(&broker, queue).await;
    }
    publish(&broker, &a, 0..2).await;
    let reader = consumer(&broker, &a, 256).await;
    let (first, second) = (within_deadline(reader.receive()).await.unwrap(), within_deadline(reader.receive()).await.unwrap());
    let (one, two) =
        (broker.settle(&first.receipt, outputs(b.topic(), &first)), broker.settle(&second.receipt, outputs(c.topic(), &second)));
    assert!(matches!(one.await, Err(Unsettled { error: PubsubError::QueueNotFound { .. }, .. })));
    assert!(matches!(two.await, Err(Unsettled { error: PubsubError::Unavailable { .. }, .. })));
    create(&broker, &b).await;
    let again = [broker.settle(&first.receipt, outputs(b.topic(), &first)), broker.settle(&second.receipt, outputs(c.topic(), &second))];
    for settled in again {
        assert_eq!(settled.await.unwrap(), Settled::Done { dropped_count: 0 });
    }
}

#[tokio::test]
async fn a_settle_wakes_a_reader_with_a_small_window_while_another_holds_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(&folder);
    let a = queue("a", "s");
    create(&broker, &a).await;
    publish(&broker, &a, 0..64).await;
    let greedy = consumer(&broker, &a, 256).await;
    within_deadline(greedy.receive()).await.unwrap();
    let small = consumer(&broker, &a, 4).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(within_deadline(small.receive()).await.unwrap());
    }
    let next = small.receive();
    tokio::pin!(next);
    assert!(futures_util::poll!(&mut next).is_pending(), "its window is full");
    for delivery in held {
        broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
    within_deadline(next).await.unwrap();
}
