//! The figures that a broker shows about its queues; not every broker has all of them.

use std::num::NonZeroU32;

use weir_pubsub::{BrowseStart, Class, Delete, Named, Overflow, PubsubError, Queue, QueueSpec, QueueStats};

use super::filling::fill;
use super::fixture::{BrokerFixture, expect, message, next};
use crate::wait::{DEADLINE, eventually, within};

async fn stats(fixture: &BrokerFixture, queue: &Queue) -> QueueStats {
    fixture.inspect().stats(queue).await.unwrap()
}

/// A queue that holds two messages of 14 bytes.
async fn holding_two(fixture: &BrokerFixture) -> Queue {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    for body in ["12345", "12345"] {
        producer.publish_confirmed(message(body).with("name", "value")).await.unwrap();
    }
    queue
}

/// Waits until the figures of a queue are these, as far as the broker provides them.
async fn assert_figures(fixture: &BrokerFixture, queue: &Queue, expected: QueueStats) {
    let fits = |shown: Option<u64>, expected: Option<u64>| shown.is_none() || expected.is_none() || shown == expected;
    let shown = || async {
        let shown = stats(fixture, queue).await;
        let all = [
            (shown.depth_count, expected.depth_count),
            (shown.ready_count, expected.ready_count),
            (shown.unsettled_count, expected.unsettled_count),
            (shown.size_bytes, expected.size_bytes),
            (shown.consumer_count, expected.consumer_count),
            (shown.dropped_count, expected.dropped_count),
        ];
        all.into_iter().all(|(shown, expected)| fits(shown, expected)).then_some(())
    };
    eventually(DEADLINE, format!("the figures {expected:?}"), shown).await;
}

/// `QueueStats`: each figure is right, or `None` if the broker does not provide it; a queue that holds messages may hold some.
pub async fn figures_are_right_or_unknown(fixture: &mut BrokerFixture) {
    let queue = holding_two(fixture).await;
    let two = QueueStats {
        depth_count: Some(2),
        ready_count: Some(2),
        unsettled_count: Some(0),
        size_bytes: Some(28),
        consumer_count: Some(0),
        dropped_count: Some(0),
        ..QueueStats::default()
    };
    assert_figures(fixture, &queue, two).await;
    assert!(stats(fixture, &queue).await.may_hold_messages());
    let consumer = fixture.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    assert_figures(fixture, &queue, QueueStats { ready_count: Some(1), unsettled_count: Some(1), consumer_count: Some(1), ..two }).await;
    let shown = stats(fixture, &queue).await;
    assert!(shown.may_hold_messages() && shown.may_have_consumers());
    fixture.settle(&held).await;
    drop(consumer);
    assert_figures(fixture, &queue, QueueStats { depth_count: Some(1), ready_count: Some(1), size_bytes: Some(14), ..two }).await;
}

/// `stats`: what the queue holds: all figures are known and current.
pub async fn all_figures_are_known(fixture: &mut BrokerFixture) {
    let queue = holding_two(fixture).await;
    let figures = |shown: QueueStats| (shown.depth_count, shown.unsettled_count, shown.consumer_count, shown.size_bytes);
    assert_eq!(figures(stats(fixture, &queue).await), (Some(2), Some(0), Some(0), Some(2 * (5 + 4 + 5))));
    let consumer = fixture.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    assert_eq!(figures(stats(fixture, &queue).await), (Some(2), Some(1), Some(1), Some(28)));
    fixture.settle(&held).await;
    drop(consumer);
    let without_consumers = || async {
        let shown = stats(fixture, &queue).await;
        (shown.consumer_count == Some(0)).then_some(shown)
    };
    let expected = QueueStats {
        depth_count: Some(1),
        ready_count: Some(1),
        unsettled_count: Some(0),
        size_bytes: Some(14),
        consumer_count: Some(0),
        dropped_count: Some(0),
        damaged_count: Some(0),
        refuse_above_bytes: None,
        refused_count: Some(0),
        is_refusing: Some(false),
    };
    assert_eq!(eventually(DEADLINE, "the consumer to be gone", without_consumers).await, expected);
}

/// `stats`: `QueueNotFound`.
pub async fn stats_of_a_missing_queue_are_queue_not_found(fixture: &mut BrokerFixture) {
    let error = fixture.inspect().stats(&fixture.queue(Class::Flow, "a", "reader")).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
}

/// `QueueStats::dropped_count`: messages dropped because of the queue's own limit.
pub async fn messages_dropped_by_a_bound_are_counted(fixture: &mut BrokerFixture) {
    let queue = fixture.queue(Class::Flow, "a", "reader");
    fixture.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 10 } }).await.unwrap();
    fixture.publish(queue.topic(), &["1234", "5678"]).await;
    assert_eq!(stats(fixture, &queue).await.dropped_count, Some(0));
    fixture.publish(queue.topic(), &["9012", "3456"]).await;
    let shown = stats(fixture, &queue).await;
    assert_eq!((shown.depth_count, shown.size_bytes, shown.dropped_count), (Some(2), Some(8), Some(2)));
}

/// `publish`: a full queue of a `request` topic counts the messages that it misses as dropped.
pub async fn requests_missed_by_a_full_queue_are_counted(fixture: &mut BrokerFixture) {
    let slow = fixture.made(Class::Request, "a", "slow").await;
    fill(&**fixture.backend(), slow.topic()).await;
    let quick = fixture.made(Class::Request, "a", "quick").await;
    let body = "x".repeat(1 << 20);
    fixture.publish(slow.topic(), &[&body, &body]).await;
    assert_eq!(stats(fixture, &slow).await.dropped_count, Some(2));
    assert_eq!((stats(fixture, &quick).await.depth_count, stats(fixture, &quick).await.dropped_count), (Some(2), Some(0)));
}

/// `QueueStats`: the limit above which a queue refuses messages, how often it did, and whether it does now; the error has its figures if
/// known.
pub async fn a_refusing_queue_shows_its_bound_and_its_refusals(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.queue(class, "a", "reader");
        let spec = QueueSpec { queue: queue.clone(), overflow: Overflow::Refuse { bytes: 10 } };
        fixture.backend().create_queue(&spec).await.unwrap();
        fixture.publish(queue.topic(), &["1234", "567890"]).await;
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        for _ in 0..2 {
            let error = producer.publish_confirmed(message("x")).await.unwrap_err();
            assert!(matches!(error, PubsubError::QueueFull { used_bytes: None | Some(10), limit_bytes: None | Some(10), .. }), "{error}");
        }
        let shown = stats(fixture, &queue).await;
        let refusals = (shown.refuse_above_bytes, shown.refused_count, shown.is_refusing, shown.dropped_count);
        assert_eq!(refusals, (Some(10), Some(2), Some(true), Some(0)));
        fixture.settle(&expect(&*fixture.consumer(&queue).await, "1234").await).await;
        assert_eq!(stats(fixture, &queue).await.is_refusing, Some(false), "a message was removed");
    }
}

/// `QueueStats`: messages dropped, lost and refused since the backend was opened.
pub async fn what_was_dropped_lost_and_refused_is_counted_from_the_opening_of_the_backend(fixture: &mut BrokerFixture) {
    let (dropping, refusing) = (fixture.queue(Class::Flow, "dropping", "reader"), fixture.queue(Class::Flow, "refusing", "reader"));
    for (queue, overflow) in [(&dropping, Overflow::DropOldest { bytes: 10 }), (&refusing, Overflow::Refuse { bytes: 10 })] {
        fixture.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow }).await.unwrap();
    }
    for round in 0..2 {
        let before = counted(fixture, &dropping, &refusing).await;
        assert!(before.into_iter().flatten().all(|count| count == 0), "round {round}: {before:?}");
        fixture.publish(dropping.topic(), &["1234", "5678", "9012"]).await;
        let producer = fixture.backend().producer(refusing.topic()).await.unwrap();
        for body in ["1234", "567890", "x"] {
            // Refused or not: brokers differ in when they check the limit.
            drop(within("a publish", producer.publish_confirmed(message(body))).await);
        }
        drop(producer);
        let after = counted(fixture, &dropping, &refusing).await;
        assert!(after[..2].iter().flatten().all(|count| *count > 0), "round {round}: {after:?}");
        fixture.restart().await;
    }
}

/// The counts of messages dropped by one queue and refused by another, and lost by both.
async fn counted(fixture: &BrokerFixture, dropping: &Queue, refusing: &Queue) -> [Option<u64>; 4] {
    let (dropping, refusing) = (stats(fixture, dropping).await, stats(fixture, refusing).await);
    [dropping.dropped_count, refusing.refused_count, dropping.damaged_count, refusing.damaged_count]
}

/// `list_queues`: the names of all `flow` and `request` queues, in order of topic and subscription.
pub async fn all_queues_are_listed_in_their_order(fixture: &mut BrokerFixture) {
    let mut made = Vec::new();
    for (class, name, subscription) in
        [(Class::Request, "a", "z"), (Class::Flow, "b", "a"), (Class::Flow, "a", "b"), (Class::Flow, "a", "a")]
    {
        if fixture.queue_classes().contains(&class) {
            made.push(fixture.made(class, name, subscription).await);
        }
    }
    let listed = async || {
        let all = fixture.inspect().list_queues().await.unwrap();
        all.into_iter().filter(|queue| made.contains(queue)).collect::<Vec<_>>()
    };
    let mut expected = made.clone();
    expected.sort();
    assert_eq!(listed().await, expected);
    let gone = made.last().unwrap();
    fixture.backend().delete_queue(gone, Delete::Always).await.unwrap();
    expected.retain(|queue| queue != gone);
    assert_eq!(listed().await, expected);
}

/// `Inspect`: anything a broker cannot do is `Unsupported`, and nothing else.
pub async fn figures_that_a_broker_cannot_show_are_unsupported(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1"]).await;
    let named = Named { cursor: "1".parse().unwrap(), id: None };
    let inspect = fixture.inspect();
    let outcomes = [
        ("list_queues", inspect.list_queues().await.err()),
        ("tap", inspect.tap(queue.topic(), NonZeroU32::MIN).await.err()),
        ("browse", inspect.browse(&queue, BrowseStart::Oldest, 1, 0).await.err()),
        ("redrive", inspect.redrive(&queue, &named, &queue, message("2")).await.err()),
        ("remove", inspect.remove(&queue, &named).await.err()),
    ];
    for (operation, error) in outcomes {
        assert!(matches!(error, None | Some(PubsubError::Unsupported { .. })), "{operation}: {error:?}");
    }
}
