//! What a broker shows of its queues in figures; not every broker knows all of them.

use std::num::NonZeroU32;

use weir_pubsub::{Class, Delete, Named, Overflow, PubsubError, Queue, QueueSpec, QueueStats, Start};

use super::bed::{Bed, expect, message, next};
use super::filling::fill;
use crate::wait::{DEADLINE, eventually, within};

async fn stats(bed: &Bed, queue: &Queue) -> QueueStats {
    bed.inspect().stats(queue).await.unwrap()
}

/// A queue that holds two messages of 14 bytes.
async fn holding_two(bed: &Bed) -> Queue {
    let queue = bed.made(Class::Flow, "a", "reader").await;
    let producer = bed.backend().producer(queue.topic()).await.unwrap();
    for body in ["12345", "12345"] {
        producer.publish_confirmed(message(body).with("name", "value")).await.unwrap();
    }
    queue
}

/// Waits until the figures of a queue are these, as far as the broker knows them.
async fn assert_figures(bed: &Bed, queue: &Queue, expected: QueueStats) {
    let fits = |shown: Option<u64>, expected: Option<u64>| shown.is_none() || expected.is_none() || shown == expected;
    let shown = || async {
        let shown = stats(bed, queue).await;
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

/// `QueueStats`: each figure is right, or `None` where the broker does not know it; a queue that holds messages may hold some.
pub async fn figures_are_right_or_unknown(bed: &mut Bed) {
    let queue = holding_two(bed).await;
    let two = QueueStats {
        depth_count: Some(2),
        ready_count: Some(2),
        unsettled_count: Some(0),
        size_bytes: Some(28),
        consumer_count: Some(0),
        dropped_count: Some(0),
        ..QueueStats::default()
    };
    assert_figures(bed, &queue, two).await;
    assert!(stats(bed, &queue).await.may_hold_messages());
    let consumer = bed.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    assert_figures(bed, &queue, QueueStats { ready_count: Some(1), unsettled_count: Some(1), consumer_count: Some(1), ..two }).await;
    let shown = stats(bed, &queue).await;
    assert!(shown.may_hold_messages() && shown.may_have_consumers());
    bed.settle(&held).await;
    drop(consumer);
    assert_figures(bed, &queue, QueueStats { depth_count: Some(1), ready_count: Some(1), size_bytes: Some(14), ..two }).await;
}

/// `stats`: what the queue holds: all figures are known, and they are of now.
pub async fn all_figures_are_known(bed: &mut Bed) {
    let queue = holding_two(bed).await;
    let figures = |shown: QueueStats| (shown.depth_count, shown.unsettled_count, shown.consumer_count, shown.size_bytes);
    assert_eq!(figures(stats(bed, &queue).await), (Some(2), Some(0), Some(0), Some(2 * (5 + 4 + 5))));
    let consumer = bed.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    assert_eq!(figures(stats(bed, &queue).await), (Some(2), Some(1), Some(1), Some(28)));
    bed.settle(&held).await;
    drop(consumer);
    let without_consumers = || async {
        let shown = stats(bed, &queue).await;
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
pub async fn stats_of_a_missing_queue_are_queue_not_found(bed: &mut Bed) {
    let error = bed.inspect().stats(&bed.queue(Class::Flow, "a", "reader")).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
}

/// `QueueStats::dropped_count`: messages dropped because of the queue's own bound.
pub async fn messages_dropped_by_a_bound_are_counted(bed: &mut Bed) {
    let queue = bed.queue(Class::Flow, "a", "reader");
    bed.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 10 } }).await.unwrap();
    bed.publish(queue.topic(), &["1234", "5678"]).await;
    assert_eq!(stats(bed, &queue).await.dropped_count, Some(0));
    bed.publish(queue.topic(), &["9012", "3456"]).await;
    let shown = stats(bed, &queue).await;
    assert_eq!((shown.depth_count, shown.size_bytes, shown.dropped_count), (Some(2), Some(8), Some(2)));
}

/// `publish`: a full queue of a `request` topic counts the messages that it misses as dropped.
pub async fn requests_missed_by_a_full_queue_are_counted(bed: &mut Bed) {
    let slow = bed.made(Class::Request, "a", "slow").await;
    fill(&**bed.backend(), slow.topic()).await;
    let quick = bed.made(Class::Request, "a", "quick").await;
    let body = "x".repeat(1 << 20);
    bed.publish(slow.topic(), &[&body, &body]).await;
    assert_eq!(stats(bed, &slow).await.dropped_count, Some(2));
    assert_eq!((stats(bed, &quick).await.depth_count, stats(bed, &quick).await.dropped_count), (Some(2), Some(0)));
}

/// `QueueStats`: the bound above which a queue refuses messages, how often it did, and whether it does now; the error has its figures where they are known.
pub async fn a_refusing_queue_shows_its_bound_and_its_refusals(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.queue(class, "a", "reader");
        let spec = QueueSpec { queue: queue.clone(), overflow: Overflow::Refuse { bytes: 10 } };
        bed.backend().create_queue(&spec).await.unwrap();
        bed.publish(queue.topic(), &["1234", "567890"]).await;
        let producer = bed.backend().producer(queue.topic()).await.unwrap();
        for _ in 0..2 {
            let error = producer.publish_confirmed(message("x")).await.unwrap_err();
            assert!(matches!(error, PubsubError::QueueFull { used_bytes: None | Some(10), limit_bytes: None | Some(10), .. }), "{error}");
        }
        let shown = stats(bed, &queue).await;
        let refusals = (shown.refuse_above_bytes, shown.refused_count, shown.is_refusing, shown.dropped_count);
        assert_eq!(refusals, (Some(10), Some(2), Some(true), Some(0)));
        bed.settle(&expect(&*bed.consumer(&queue).await, "1234").await).await;
        assert_eq!(stats(bed, &queue).await.is_refusing, Some(false), "a message was removed");
    }
}

/// `QueueStats`: what was dropped, lost and refused, since the backend was opened.
pub async fn what_was_dropped_lost_and_refused_is_counted_from_the_opening_of_the_backend(bed: &mut Bed) {
    let (dropping, refusing) = (bed.queue(Class::Flow, "dropping", "reader"), bed.queue(Class::Flow, "refusing", "reader"));
    for (queue, overflow) in [(&dropping, Overflow::DropOldest { bytes: 10 }), (&refusing, Overflow::Refuse { bytes: 10 })] {
        bed.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow }).await.unwrap();
    }
    for round in 0..2 {
        let before = counted(bed, &dropping, &refusing).await;
        assert!(before.into_iter().flatten().all(|count| count == 0), "round {round}: {before:?}");
        bed.publish(dropping.topic(), &["1234", "5678", "9012"]).await;
        let producer = bed.backend().producer(refusing.topic()).await.unwrap();
        for body in ["1234", "567890", "x"] {
            // Refused or not: brokers differ in when they look at the bound.
            drop(within("a publish", producer.publish_confirmed(message(body))).await);
        }
        drop(producer);
        let after = counted(bed, &dropping, &refusing).await;
        assert!(after[..2].iter().flatten().all(|count| *count > 0), "round {round}: {after:?}");
        bed.restart().await;
    }
}

/// What was dropped of one queue and refused by another, and what was lost of both.
async fn counted(bed: &Bed, dropping: &Queue, refusing: &Queue) -> [Option<u64>; 4] {
    let (dropping, refusing) = (stats(bed, dropping).await, stats(bed, refusing).await);
    [dropping.dropped_count, refusing.refused_count, dropping.damaged_count, refusing.damaged_count]
}

/// `list_queues`: the names of all `flow` and `request` queues, in order of topic and subscription.
pub async fn all_queues_are_listed_in_their_order(bed: &mut Bed) {
    let mut made = Vec::new();
    for (class, name, subscription) in
        [(Class::Request, "a", "z"), (Class::Flow, "b", "a"), (Class::Flow, "a", "b"), (Class::Flow, "a", "a")]
    {
        if bed.queue_classes().contains(&class) {
            made.push(bed.made(class, name, subscription).await);
        }
    }
    let listed = async || {
        let all = bed.inspect().list_queues().await.unwrap();
        all.into_iter().filter(|queue| made.contains(queue)).collect::<Vec<_>>()
    };
    let mut expected = made.clone();
    expected.sort();
    assert_eq!(listed().await, expected);
    let gone = made.last().unwrap();
    bed.backend().delete_queue(gone, Delete::Always).await.unwrap();
    expected.retain(|queue| queue != gone);
    assert_eq!(listed().await, expected);
}

/// `Inspect`: what a broker cannot do is `Unsupported`, and nothing else.
pub async fn figures_that_a_broker_cannot_show_are_unsupported(bed: &mut Bed) {
    let queue = bed.filled("a", &["1"]).await;
    let named = Named { cursor: "1".parse().unwrap(), id: None };
    let inspect = bed.inspect();
    let outcomes = [
        ("list_queues", inspect.list_queues().await.err()),
        ("tap", inspect.tap(queue.topic(), NonZeroU32::MIN).await.err()),
        ("browse", inspect.browse(&queue, Start::Oldest, 1, 0).await.err()),
        ("redrive", inspect.redrive(&queue, &named, &queue, message("2")).await.err()),
        ("remove", inspect.remove(&queue, &named).await.err()),
    ];
    for (operation, error) in outcomes {
        assert!(matches!(error, None | Some(PubsubError::Unsupported { .. })), "{operation}: {error:?}");
    }
}
