//! The broker as seen by its callers; the guarantees of every backend are tested by the conformance suite.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::queue_view::{messages, shown};
use crate::backend::{Backend, Consumer, ConsumerOptions, Delivery, Inspect, Output, Overflow, QueueSpec, Routing, Settled, Sharing};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use crate::error::PubsubError;
use crate::message::{CORRELATION_ID, Message, MessageId};
use crate::request::Requester;
use crate::topic::{Queue, Topic};

fn broker(folder: &tempfile::TempDir) -> Arc<EmbeddedBroker> {
    EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap()
}

fn topic(text: &str) -> Topic {
    text.parse().unwrap()
}

fn queue(text: &str, subscription: &str) -> Queue {
    Queue::new(topic(text), subscription.parse().unwrap()).unwrap()
}

async fn create(broker: &EmbeddedBroker, text: &str) -> Queue {
    let queue = queue(text, "s");
    broker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    queue
}

async fn publish(broker: &EmbeddedBroker, text: &str, body: &'static str) {
    broker.producer(&topic(text)).await.unwrap().publish_confirmed(Message::new(body)).await.unwrap();
}

async fn consumer(broker: &EmbeddedBroker, text: &str) -> Box<dyn Consumer> {
    broker.consumer(&topic(text), &"s".parse().unwrap(), ConsumerOptions::default()).await.unwrap()
}

/// The next message, which must arrive soon.
async fn next(consumer: &dyn Consumer) -> Delivery {
    tokio::time::timeout(Duration::from_secs(20), consumer.receive()).await.expect("no message came").unwrap()
}

fn output(text: &str, body: &'static str, routing: Routing) -> Output {
    Output { topic: topic(text), message: Message::new(body), routing }
}

#[tokio::test]
async fn a_settle_moves_a_message_to_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    let a = create(&broker, "flow:tg:a").await;
    let b = create(&broker, "flow:tg:b").await;
    publish(&broker, "flow:tg:a", "one").await;
    let reader = consumer(&broker, "flow:tg:a").await;
    let delivery = next(&*reader).await;
    assert_eq!((delivery.message.body.as_ref(), delivery.delivery_count.at_least()), (b"one".as_ref(), 1));
    assert!(delivery.message.id.is_some());
    let outputs = vec![output("flow:tg:b", "two", Routing::Required), output("flow:tg:none", "gone", Routing::Optional)];
    assert_eq!(broker.settle(&delivery.receipt, outputs).await.unwrap(), Settled::Done { dropped_count: 1 });
    assert_eq!(broker.settle(&delivery.receipt, Vec::new()).await.unwrap(), Settled::NoLongerHeld);
    assert_eq!(broker.stats(&a).await.unwrap().depth_count, Some(0));
    assert_eq!(broker.stats(&b).await.unwrap().depth_count, Some(1));
    assert_eq!(next(&*consumer(&broker, "flow:tg:b").await).await.message.body.as_ref(), b"two");
}

#[tokio::test]
async fn messages_of_a_closed_consumer_are_redelivered_in_order_and_counted_only_if_received() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "flow:tg:a").await;
    for body in ["0", "1", "2"] {
        publish(&broker, "flow:tg:a", body).await;
    }
    let reader = consumer(&broker, "flow:tg:a").await;
    next(&*reader).await;
    drop(reader);
    let reader = consumer(&broker, "flow:tg:a").await;
    for (body, count) in [("0", 2), ("1", 1), ("2", 1)] {
        let delivery = next(&*reader).await;
        assert_eq!((delivery.message.body.as_ref(), delivery.delivery_count.at_least()), (body.as_bytes(), count));
    }
}

#[tokio::test]
async fn consumers_of_one_queue_share_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "flow:tg:a").await;
    for body in ["0", "1", "2", "3"] {
        publish(&broker, "flow:tg:a", body).await;
    }
    let first = consumer(&broker, "flow:tg:a").await;
    next(&*first).await;
    // The first held all messages; the second gets those that the first had not received.
    let second = consumer(&broker, "flow:tg:a").await;
    next(&*second).await;
    next(&*second).await;
    next(&*first).await;
}

#[tokio::test]
async fn an_exclusive_consumer_excludes_others() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "request:tg:a").await;
    let options = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
    let (topic, subscription) = (topic("request:tg:a"), "s".parse().unwrap());
    let held = broker.consumer(&topic, &subscription, options).await.unwrap();
    let refused = broker.consumer(&topic, &subscription, ConsumerOptions::default()).await;
    assert!(matches!(refused.err(), Some(PubsubError::QueueHeld { .. })));
    drop(held);
    broker.consumer(&topic, &subscription, options).await.unwrap();
}

#[tokio::test]
async fn a_window_limits_the_messages_held() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "flow:tg:a").await;
    for body in ["0", "1", "2"] {
        publish(&broker, "flow:tg:a", body).await;
    }
    let options = ConsumerOptions { window: NonZeroU32::MIN, ..ConsumerOptions::default() };
    let reader = broker.consumer(&topic("flow:tg:a"), &"s".parse().unwrap(), options).await.unwrap();
    let first = next(&*reader).await;
    assert!(reader.receive().now_or_never().is_none());
    broker.settle(&first.receipt, Vec::new()).await.unwrap();
    next(&*reader).await;
    reader.set_window(NonZeroU32::MIN.saturating_add(1));
    next(&*reader).await;
}

#[tokio::test]
async fn deleting_a_queue_ends_its_consumers() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    let a = create(&broker, "flow:tg:a").await;
    let reader = consumer(&broker, "flow:tg:a").await;
    let waits = async { reader.receive().await };
    let deletes = async { broker.delete_queue(&a, crate::backend::Delete::Always).await };
    let (ended, deleted) = tokio::join!(waits, deletes);
    deleted.unwrap();
    assert!(matches!(ended, Err(PubsubError::QueueNotFound { .. })));
    assert!(matches!(reader.receive().await, Err(PubsubError::QueueNotFound { .. })));
    let refused = broker.producer(&topic("flow:tg:a")).await.unwrap().publish_confirmed(Message::new("x")).await;
    assert!(matches!(refused, Err(PubsubError::QueueNotFound { .. })));
}

#[tokio::test]
async fn a_bounded_queue_drops_its_oldest_and_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    let a = queue("flow:tg:a", "s");
    broker.create_queue(&QueueSpec { queue: a.clone(), overflow: Overflow::DropOldest { bytes: 10 } }).await.unwrap();
    for body in ["aaaa", "bbbb", "cccc", "dddd"] {
        publish(&broker, "flow:tg:a", body).await;
    }
    let stats = broker.stats(&a).await.unwrap();
    assert_eq!((stats.depth_count, stats.size_bytes, stats.dropped_count), (Some(2), Some(8), Some(2)));
    let seen = shown(&broker, &a, 10).await;
    assert_eq!(seen.iter().map(|b| b.message.as_ref().unwrap().body.as_ref()).collect::<Vec<_>>(), [b"cccc", b"dddd"]);
    assert!(broker.remove(&a, &seen[0].named()).await.unwrap());
    assert!(!broker.remove(&a, &seen[0].named()).await.unwrap());
    assert!(matches!(broker.create_queue(&QueueSpec::new(a)).await, Err(PubsubError::QueueMismatch { .. })));
}

#[tokio::test]
async fn a_request_is_answered_in_parts_and_an_unanswered_one_times_out_and_expires() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "request:tg:ask").await;
    let (ask, answer) = (topic("request:tg:ask"), topic("response:tg:ask"));
    let requester = Requester::connect(broker.clone(), &ask, &answer, &"me".parse().unwrap()).await.unwrap();
    let timed_out = requester.request(Message::new("nobody"), Duration::from_millis(20)).await;
    assert!(matches!(timed_out, Err(PubsubError::TimedOut { .. })));
    let mut replies = requester.begin(Message::new("question"), Duration::from_secs(30)).await.unwrap();
    let responder = consumer(&broker, "request:tg:ask").await;
    let delivery = next(&*responder).await;
    assert_eq!(delivery.message.body.as_ref(), b"question", "the expired one is not delivered");
    let id = delivery.message.properties.get(CORRELATION_ID).unwrap().to_owned();
    let part = |body: &'static str| Message::new(body).with(CORRELATION_ID, id.clone());
    let producer = broker.producer(&answer).await.unwrap();
    producer.publish_confirmed(part("a").with(crate::message::WEIR_PART, "more")).await.unwrap();
    let last = Output { topic: answer.clone(), message: part("b"), routing: Routing::Optional };
    broker.settle(&delivery.receipt, vec![last]).await.unwrap();
    for expected in [Some("a"), Some("b"), None] {
        let found = replies.next().await.unwrap();
        assert_eq!(found.map(|m| m.body), expected.map(Into::into));
    }
}

#[tokio::test]
async fn a_part_of_an_answer_that_was_stored_twice_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "request:tg:ask").await;
    let (ask, answer) = (topic("request:tg:ask"), topic("response:tg:ask"));
    let requester = Requester::connect(broker.clone(), &ask, &answer, &"me".parse().unwrap()).await.unwrap();
    let mut replies = requester.begin(Message::new("question"), Duration::from_secs(30)).await.unwrap();
    let responder = consumer(&broker, "request:tg:ask").await;
    let id = next(&*responder).await.message.properties.get(CORRELATION_ID).unwrap().to_owned();
    let producer = broker.producer(&answer).await.unwrap();
    // Parts without an id may be identical.
    for (number, body) in [(Some(1), "a"), (Some(1), "a"), (Some(2), "b"), (None, "c"), (None, "c")] {
        let part = Message::new(body).with(CORRELATION_ID, id.clone()).with(crate::message::WEIR_PART, "more");
        producer.publish_confirmed(Message { id: number.map(MessageId), ..part }).await.unwrap();
    }
    for expected in ["a", "b", "c", "c"] {
        assert_eq!(replies.next().await.unwrap().unwrap().body, expected);
    }
}

#[tokio::test]
async fn a_prefetched_request_that_expires_is_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "request:tg:ask").await;
    let (ask, answer) = (topic("request:tg:ask"), topic("response:tg:ask"));
    let requester = Requester::connect(broker.clone(), &ask, &answer, &"me".parse().unwrap()).await.unwrap();
    let _first = requester.begin(Message::new("first"), Duration::from_secs(30)).await.unwrap();
    let mut second = requester.begin(Message::new("second"), Duration::from_millis(20)).await.unwrap();
    let responder = consumer(&broker, "request:tg:ask").await;
    // Both are taken from the queue at once.
    let delivery = next(&*responder).await;
    let left = delivery.message.expires_in.unwrap();
    assert!(left > Duration::ZERO && left <= Duration::from_secs(30), "{left:?} is left");
    assert!(matches!(second.next().await, Err(PubsubError::TimedOut { .. })));
    let _third = requester.begin(Message::new("third"), Duration::from_secs(30)).await.unwrap();
    assert_eq!(next(&*responder).await.message.body.as_ref(), b"third");
    let stats = broker.stats(&queue("request:tg:ask", "s")).await.unwrap();
    assert_eq!((stats.depth_count, stats.unsettled_count), (Some(2), Some(2)), "the expired one is gone");
}

#[tokio::test]
async fn a_closed_broker_reports_that_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    let a = create(&broker, "flow:tg:a").await;
    let reader = consumer(&broker, "flow:tg:a").await;
    let producer = broker.producer(&topic("flow:tg:a")).await.unwrap();
    let (ended, ()) = tokio::join!(reader.receive(), broker.close());
    assert!(matches!(ended, Err(PubsubError::Unavailable { .. })));
    assert!(matches!(producer.publish_confirmed(Message::new("x")).await, Err(PubsubError::Unavailable { .. })));
    assert!(matches!(broker.stats(&a).await, Err(PubsubError::Unavailable { .. })));
    broker.close().await;
}

#[tokio::test]
async fn only_unsettled_messages_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let first = broker(&folder);
    let a = create(&first, "flow:tg:a").await;
    let b = create(&first, "flow:tg:b").await;
    create(&first, "request:tg:r").await;
    for body in ["0", "1", "2"] {
        publish(&first, "flow:tg:a", body).await;
    }
    let reader = consumer(&first, "flow:tg:a").await;
    let zero = next(&*reader).await;
    let one = next(&*reader).await;
    first.settle(&zero.receipt, vec![output("flow:tg:b", "moved", Routing::Required)]).await.unwrap();
    first.close().await;

    let second = broker(&folder);
    assert_eq!((second.opening_report().queues_count, second.opening_report().messages_count), (2, 3));
    assert!(!second.queue_exists(&queue("request:tg:r", "s")).await.unwrap());
    assert_eq!(second.stats(&a).await.unwrap().depth_count, Some(2));
    let reader = consumer(&second, "flow:tg:a").await;
    let again = next(&*reader).await;
    assert_eq!((again.message.clone(), again.delivery_count.at_least()), (one.message, 2), "its first delivery went along with the settle");
    assert_eq!(next(&*reader).await.delivery_count.at_least(), 1);
    assert_eq!(messages(&second, &b, 9).await[0].body.as_ref(), b"moved");
    second.delete_queue(&a, crate::backend::Delete::Always).await.unwrap();
    drop(second);

    let third = broker(&folder);
    assert_eq!(third.queues().into_iter().map(|(queue, _)| queue).collect::<Vec<_>>(), [b]);
}

#[tokio::test]
async fn a_recovered_message_is_counted_before_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let first = broker(&folder);
    create(&first, "flow:tg:a").await;
    publish(&first, "flow:tg:a", "killer").await;
    first.close().await;
    for count in 1..4 {
        let broker = broker(&folder);
        let reader = consumer(&broker, "flow:tg:a").await;
        // Nothing is committed after the delivery, as if it had crashed the process.
        assert_eq!(next(&*reader).await.delivery_count.at_least(), count);
        broker.close().await;
    }
}

#[tokio::test]
async fn unreferenced_disk_space_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { segment_bytes: 64 << 10, sync: SyncMode::None, ..EmbeddedOptions::default() };
    let broker = EmbeddedBroker::open(folder.path(), options).unwrap();
    let a = create(&broker, "flow:tg:a").await;
    let producer = broker.producer(&topic("flow:tg:a")).await.unwrap();
    for _ in 0..100 {
        producer.publish_confirmed(Message::new(vec![7; 8 << 10])).await.unwrap();
    }
    let used = || -> u64 {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files.map(|file| file.unwrap().metadata().map_or(0, |found| found.len())).sum()
    };
    assert!(used() > 800 << 10);
    let reader = consumer(&broker, "flow:tg:a").await;
    for _ in 0..100 {
        let delivery = next(&*reader).await;
        broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
    assert_eq!(broker.stats(&a).await.unwrap().depth_count, Some(0));
    broker.close().await;
    assert!(used() < 160 << 10, "{} bytes are left", used());
}

#[tokio::test]
async fn a_large_empty_segment_is_removed_when_idle() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "flow:tg:a").await;
    let producer = broker.producer(&topic("flow:tg:a")).await.unwrap();
    producer.publish_confirmed(Message::new(vec![7; 2 << 20])).await.unwrap();
    let reader = consumer(&broker, "flow:tg:a").await;
    let delivery = next(&*reader).await;
    broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    let first = folder.path().join("00000000000000000001.log");
    let gone = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while first.exists() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the segment is still there");
    drop((reader, producer));
    drop(broker);
    assert_eq!(EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap().opening_report().queues_count, 1);
}

#[tokio::test]
async fn messages_beyond_the_cache_are_read_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { cached_bytes: 4 << 10, sync: SyncMode::None, ..EmbeddedOptions::default() };
    let broker = EmbeddedBroker::open(folder.path(), options).unwrap();
    create(&broker, "flow:tg:a").await;
    let producer = broker.producer(&topic("flow:tg:a")).await.unwrap();
    let body = |at: u32| format!("{at} {}", "x".repeat(1000 + at as usize));
    for at in 0..1000 {
        producer.publish_confirmed(Message::new(body(at))).await.unwrap();
    }
    let reader = consumer(&broker, "flow:tg:a").await;
    for at in 0..1000 {
        let delivery = next(&*reader).await;
        assert_eq!(delivery.message.body, body(at));
        drop(broker.settle(&delivery.receipt, Vec::new()));
    }
}

#[tokio::test]
async fn a_full_queue_refuses_publishers_but_not_settles() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { queue_high_bytes: 10, request_queue_bytes: 500, ..EmbeddedOptions::default() };
    let broker = EmbeddedBroker::open(folder.path(), options).unwrap();
    create(&broker, "flow:tg:a").await;
    let b = create(&broker, "flow:tg:b").await;
    create(&broker, "request:tg:r").await;
    // Messages in memory are limited by their memory use.
    for (text, used, limit) in [("flow:tg:a", 8, 10), ("flow:tg:b", 8, 10), ("request:tg:r", Message::new("12345678").memory_bytes(), 500)]
    {
        publish(&broker, text, "12345678").await;
        let refused = broker.producer(&topic(text)).await.unwrap().publish_confirmed(Message::new("12345678")).await;
        let Err(PubsubError::QueueFull { used_bytes, limit_bytes, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!((used_bytes, limit_bytes), (Some(used), Some(limit)), "{text}");
    }
    let reader = consumer(&broker, "flow:tg:a").await;
    let delivery = next(&*reader).await;
    broker.settle(&delivery.receipt, vec![output("flow:tg:b", "12345678", Routing::Required)]).await.unwrap();
    assert_eq!(broker.stats(&b).await.unwrap().depth_count, Some(2));
}

#[tokio::test]
async fn a_requeued_message_precedes_prefetched_ones() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    create(&broker, "flow:tg:a").await;
    for body in ["0", "1", "2"] {
        publish(&broker, "flow:tg:a", body).await;
    }
    let reader = consumer(&broker, "flow:tg:a").await;
    let zero = next(&*reader).await;
    broker.requeue(&zero.receipt).await.unwrap();
    for (body, count) in [("0", 2), ("1", 1), ("2", 1)] {
        let delivery = next(&*reader).await;
        assert_eq!((delivery.message.body.as_ref(), delivery.delivery_count.at_least()), (body.as_bytes(), count));
    }
}

#[tokio::test]
async fn settles_submitted_before_their_consumer_closed_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    let a = create(&broker, "flow:tg:a").await;
    for body in ["0", "1"] {
        publish(&broker, "flow:tg:a", body).await;
    }
    let reader = consumer(&broker, "flow:tg:a").await;
    let (zero, one) = (next(&*reader).await, next(&*reader).await);
    let settling = broker.settle(&zero.receipt, Vec::new());
    drop(reader);
    assert_eq!(settling.await.unwrap(), Settled::Done { dropped_count: 0 });
    let reader = consumer(&broker, "flow:tg:a").await;
    assert_eq!(next(&*reader).await.message.body, one.message.body);
    assert_eq!(broker.settle(&one.receipt, Vec::new()).await.unwrap(), Settled::NoLongerHeld);
    assert_eq!(broker.stats(&a).await.unwrap().depth_count, Some(1));
}

#[tokio::test]
async fn deliveries_acknowledged_together_are_one_write() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    let a = create(&broker, "flow:tg:a").await;
    let mut receipts = Vec::new();
    let reader = consumer(&broker, "flow:tg:a").await;
    for _ in 0..60 {
        publish(&broker, "flow:tg:a", "x").await;
        let delivery = next(&*reader).await;
        receipts.push(delivery.receipt);
    }
    let before_count = broker.commit_stats().groups_count;
    let outcomes = futures_util::future::join_all(broker.acknowledge(&receipts)).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Settled::Done { dropped_count: 0 }))));
    let depth_count = broker.stats(&a).await.unwrap().depth_count;
    assert_eq!((broker.commit_stats().groups_count - before_count, depth_count), (1, Some(0)));
    let outcomes = futures_util::future::join_all(broker.acknowledge(&receipts[..2])).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Settled::NoLongerHeld))));
}

#[tokio::test]
async fn a_tap_copies_and_removes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder);
    let a = create(&broker, "flow:tg:a").await;
    let tap = broker.tap(&topic("flow:tg:a"), NonZeroU32::MIN).await.unwrap();
    for body in ["0", "1"] {
        publish(&broker, "flow:tg:a", body).await;
    }
    assert!(matches!(tap.receive().await, Err(PubsubError::Lagged { missed_count: 1 })));
    assert_eq!(next(&*tap).await.message.body.as_ref(), b"1");
    assert_eq!(broker.stats(&a).await.unwrap().depth_count, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_of_one_task_keep_their_order() {
    use futures_util::StreamExt;
    const COUNT: u32 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
    let broker = EmbeddedBroker::open(folder.path(), options).unwrap();
    let a = create(&broker, "flow:tg:a").await;
    let producer = broker.producer(a.topic()).await.unwrap();
    let publish = |number: u32| producer.publish_confirmed(Message::new(number.to_be_bytes().to_vec()));
    let mut published = futures_util::stream::iter(0..COUNT).map(publish).buffered(200);
    while let Some(done) = published.next().await {
        done.unwrap();
    }
    let found = messages(&broker, &a, COUNT).await;
    let numbers: Vec<u32> = found.iter().map(|b| u32::from_be_bytes(b.body[..].try_into().unwrap())).collect();
    assert!(numbers.into_iter().eq(0..COUNT));
}

#[tokio::test]
async fn a_second_close_releases_the_folder_if_the_first_was_dropped() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
        create(&broker, "flow:tg:a").await;
        let mut first = Box::pin(broker.close());
        // If the thread has already ended, the call completes before it is dropped.
        let _ = futures_util::poll!(&mut first);
        drop(first);
        broker.close().await;
        EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
    }
}
