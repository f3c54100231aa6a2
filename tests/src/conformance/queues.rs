//! Queues: made, ensured, counted, deleted.

use std::time::Duration;

use weir_pubsub::{Backlog, Class, Deletion, Message, Overflow, PubsubError, Queue, QueueSpec, QueueStats, Settled};

use super::bed::{Bed, expect, message, next, texts};
use crate::wait::{DEADLINE, eventually, within};

/// `create_queue`: it is no error if it is there with the same properties.
pub async fn creating_a_queue_twice_is_no_error(bed: &mut Bed) {
    let queue = bed.filled("a", &["kept"]).await;
    bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    assert_eq!(bed.waiting(&queue).await, ["kept"]);
}

/// `create_queue`: `QueueMismatch` when it exists with other properties.
pub async fn creating_a_queue_with_other_properties_is_a_mismatch(bed: &mut Bed) {
    let queue = bed.made(Class::Flow, "a", "reader").await;
    let bounded = QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 1 << 20 } };
    let error = bed.backend().create_queue(&bounded).await.unwrap_err();
    assert!(
        matches!(&error, PubsubError::QueueMismatch { queue: named, difference } if *named == queue && !difference.is_empty()),
        "{error}"
    );
    let error = bed.backend().ensure_queue(&bounded).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueMismatch { .. }), "{error}");
}

/// `create_queue`, `ensure_queue`, `delete_queue`: for `response` and `notify` topics nothing is done. `queue_exists`: never for them.
pub async fn response_and_notify_topics_have_no_queues(bed: &mut Bed) {
    for class in [Class::Response, Class::Notify] {
        let queue = bed.queue(class, "a", "reader");
        bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        bed.backend().ensure_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        assert!(!bed.backend().queue_exists(&queue).await.unwrap());
        let subscriber = bed.subscriber(queue.topic()).await;
        assert!(!bed.backend().queue_exists(&queue).await.unwrap());
        bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        bed.publish(queue.topic(), &["heard"]).await;
        expect(&*subscriber, "heard").await;
    }
}

/// `ensure_queue`: as `create_queue`, also for a queue that is there.
pub async fn ensuring_makes_what_is_missing_and_keeps_what_is_there(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.queue(class, "a", "reader");
        let spec = QueueSpec::new(queue.clone());
        bed.backend().ensure_queue(&spec).await.unwrap();
        bed.publish(queue.topic(), &["kept"]).await;
        bed.backend().ensure_queue(&spec).await.unwrap();
        bed.publish(queue.topic(), &["too"]).await;
        assert_eq!(texts(&*bed.consumer(&queue).await, 2).await, ["kept", "too"]);
    }
}

/// `delete_queue`: deletes a queue with all that is in it.
pub async fn deleting_a_queue_removes_what_is_in_it(bed: &mut Bed) {
    let queue = bed.filled("a", &["1", "2"]).await;
    bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
    bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    assert_eq!(bed.backend().inspect().stats(&queue).await.unwrap(), QueueStats::default());
    bed.publish(queue.topic(), &["3"]).await;
    expect(&*bed.consumer(&queue).await, "3").await;
}

/// `delete_queue`: it is no error if there is none.
pub async fn deleting_a_queue_that_is_not_there_is_no_error(bed: &mut Bed) {
    for class in Class::ALL {
        bed.backend().delete_queue(&bed.queue(class, "a", "reader")).await.unwrap();
    }
}

/// `delete_queue`: its consumers get `QueueNotFound`; a queue that is made again is another one.
pub async fn deleting_a_queue_wakes_its_consumers_with_queue_not_found(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        let consumer = bed.consumer(&queue).await;
        let mut waiting = consumer.receive();
        assert!(bed.is_waiting(&mut waiting, &queue).await);
        bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        let error = within("the end of the queue", waiting).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
        bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        bed.publish(queue.topic(), &["later"]).await;
        let error = within("an answer", consumer.receive()).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
        expect(&*bed.consumer(&queue).await, "later").await;
    }
}

/// `settle`, `give_back`: what was held of a queue that is deleted, or made anew, is no longer held.
pub async fn what_was_held_of_a_deleted_queue_is_no_longer_held(bed: &mut Bed) {
    let queue = bed.filled("a", &["1", "2"]).await;
    let consumer = bed.consumer(&queue).await;
    let (first, second) = (next(&*consumer).await, next(&*consumer).await);
    bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
    assert_eq!(bed.settle_with(&first, vec![]).await, Settled::NoLongerHeld);
    bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    bed.publish(queue.topic(), &["other", "another"]).await;
    assert_eq!(bed.settle_with(&first, vec![]).await, Settled::NoLongerHeld);
    bed.backend().give_back(&second.receipt).await.unwrap();
    assert_eq!(bed.waiting(&queue).await, ["other", "another"]);
}

fn holding(queue: &Queue, count: u64) -> Backlog {
    Backlog { queue: queue.clone(), count: Some(count) }
}

/// `delete_queues_if_empty`: deletes all of these queues if none of them holds a message; a queue that does not exist is empty.
pub async fn empty_queues_are_deleted_together(bed: &mut Bed) {
    let mut queues = vec![bed.made(Class::Flow, "a", "one").await, bed.made(Class::Flow, "b", "one").await];
    queues.push(bed.made(Class::Request, "c", "one").await);
    let other = bed.made(Class::Flow, "a", "other").await;
    queues.extend(Class::ALL.map(|class| bed.queue(class, "missing", "one")));
    assert_eq!(bed.backend().delete_queues_if_empty(&queues).await.unwrap(), Deletion::Deleted);
    for queue in &queues {
        assert!(!bed.backend().queue_exists(queue).await.unwrap(), "{queue}");
    }
    bed.publish(other.topic(), &["kept"]).await;
    assert_eq!(bed.waiting(&other).await, ["kept"]);
    assert_eq!(bed.backend().delete_queues_if_empty(&[]).await.unwrap(), Deletion::Deleted);
}

/// `delete_queues_if_empty`: otherwise none, and each queue that holds messages is reported with its count.
pub async fn while_one_queue_holds_messages_none_is_deleted(bed: &mut Bed) {
    let (empty, full) = (bed.made(Class::Flow, "a", "reader").await, bed.filled("b", &["1", "2"]).await);
    let asked = bed.made(Class::Request, "c", "reader").await;
    bed.publish(asked.topic(), &["question"]).await;
    let refused = bed.backend().delete_queues_if_empty(&[empty.clone(), full.clone(), full.clone(), asked.clone()]).await.unwrap();
    let Deletion::NotEmpty(mut found) = refused else { panic!("{refused:?}") };
    found.sort_by(|a, b| a.queue.cmp(&b.queue));
    assert_eq!(found, [holding(&full, 2), holding(&asked, 1)]);
    assert_eq!(bed.waiting(&full).await, ["1", "2"]);
    expect(&*bed.consumer(&asked).await, "question").await;
    bed.publish(empty.topic(), &["still there"]).await;
    assert_eq!(bed.waiting(&empty).await, ["still there"]);
}

/// `delete_queues_if_empty`: messages that consumers hold unsettled are counted.
pub async fn messages_in_flight_keep_queues_from_being_deleted(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["held"]).await;
        let consumer = bed.consumer(&queue).await;
        let held = expect(&*consumer, "held").await;
        let refused = bed.backend().delete_queues_if_empty(std::slice::from_ref(&queue)).await.unwrap();
        assert_eq!(refused, Deletion::NotEmpty(vec![holding(&queue, 1)]));
        bed.settle(&held).await;
        assert_eq!(bed.backend().delete_queues_if_empty(&[queue]).await.unwrap(), Deletion::Deleted);
    }
}

/// `delete_queues_if_empty`: requests that have expired are not counted.
pub async fn expired_requests_do_not_keep_a_queue_from_being_deleted(bed: &mut Bed) {
    let queue = bed.made(Class::Request, "a", "reader").await;
    let producer = bed.backend().producer(queue.topic()).await.unwrap();
    for time in [Duration::ZERO, Duration::from_secs(600)] {
        producer.publish_confirmed(Message { expires_in: Some(time), ..message("question") }).await.unwrap();
    }
    let refused = bed.backend().delete_queues_if_empty(std::slice::from_ref(&queue)).await.unwrap();
    assert_eq!(refused, Deletion::NotEmpty(vec![holding(&queue, 1)]));
    let consumer = bed.consumer(&queue).await;
    bed.settle(&next(&*consumer).await).await;
    drop(consumer);
    producer.publish_confirmed(Message { expires_in: Some(Duration::ZERO), ..message("question") }).await.unwrap();
    assert_eq!(bed.backend().delete_queues_if_empty(&[queue]).await.unwrap(), Deletion::Deleted);
}

/// `delete_queues_if_empty`: consumers of deleted queues get `QueueNotFound`.
pub async fn deleting_empty_queues_wakes_their_consumers_with_queue_not_found(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        let consumer = bed.consumer(&queue).await;
        let mut waiting = consumer.receive();
        assert!(bed.is_waiting(&mut waiting, &queue).await);
        bed.backend().delete_queues_if_empty(&[queue]).await.unwrap();
        let error = within("the end of the queue", waiting).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
    }
}

/// `delete_queues_if_empty`: it is one step: a message that is published at the same time is either counted or refused.
pub async fn a_message_published_during_a_deletion_is_counted_or_refused(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let (queue, empty) = (bed.queue(class, "a", "reader"), bed.queue(Class::Flow, "b", "reader"));
        let producer = bed.backend().producer(queue.topic()).await.unwrap();
        for round in 0..50 {
            bed.made(class, "a", "reader").await;
            bed.made(Class::Flow, "b", "reader").await;
            let queues = [empty.clone(), queue.clone()];
            let published = async {
                // How far each side is when they meet is another in each round.
                for _ in 0..round % 7 {
                    tokio::task::yield_now().await;
                }
                futures_util::future::join_all((0..3).map(|_| producer.publish_confirmed(message(round)))).await
            };
            let (deleted, published) = tokio::join!(bed.backend().delete_queues_if_empty(&queues), published);
            let count = published.iter().filter(|outcome| outcome.is_ok()).count() as u64;
            let refused = published.iter().filter_map(|outcome| outcome.as_ref().err());
            assert!(refused.clone().all(|error| matches!(error, PubsubError::QueueNotFound { .. })), "{published:?}");
            match deleted.unwrap() {
                Deletion::Deleted => assert_eq!(count, 0, "a confirmed message was deleted"),
                Deletion::NotEmpty(found) => {
                    let expected: Vec<_> = found.iter().map(|backlog| &backlog.queue).collect();
                    assert_eq!(expected, [&queue]);
                    assert_eq!((count, bed.backend().inspect().stats(&queue).await.unwrap().depth_count), (3, 3));
                    assert!(bed.backend().queue_exists(&empty).await.unwrap());
                }
            }
            bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        }
    }
}

/// `queue_exists`: whether the queue exists.
pub async fn a_queue_exists_from_its_making_to_its_deletion(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.queue(class, "a", "reader");
        assert!(!bed.backend().queue_exists(&queue).await.unwrap());
        bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        assert!(bed.backend().queue_exists(&queue).await.unwrap());
        assert!(!bed.backend().queue_exists(&bed.queue(class, "a", "other")).await.unwrap());
        bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        assert!(!bed.backend().queue_exists(&queue).await.unwrap());
    }
}

/// `list_queues`: the names of all `flow` and `request` queues, in order of topic and subscription.
pub async fn all_queues_are_listed_in_their_order(bed: &mut Bed) {
    let mut made = Vec::new();
    for (class, name, subscription) in
        [(Class::Request, "a", "z"), (Class::Flow, "b", "a"), (Class::Flow, "a", "b"), (Class::Flow, "a", "a")]
    {
        made.push(bed.made(class, name, subscription).await);
    }
    let listed = async || {
        let all = bed.backend().list_queues().await.unwrap();
        all.into_iter().filter(|queue| made.contains(queue)).collect::<Vec<_>>()
    };
    let mut expected = made.clone();
    expected.sort();
    assert_eq!(listed().await, expected);
    bed.backend().delete_queue(&made[3], Delete::Always).await.unwrap();
    expected.retain(|queue| *queue != made[3]);
    assert_eq!(listed().await, expected);
}

/// `stats`: what the queue holds.
pub async fn stats_count_what_a_queue_holds(bed: &mut Bed) {
    let queue = bed.made(Class::Flow, "a", "reader").await;
    let producer = bed.backend().producer(queue.topic()).await.unwrap();
    for body in ["12345", "12345"] {
        producer.publish_confirmed(message(body).with("name", "value")).await.unwrap();
    }
    let stats = bed.backend().inspect().stats(&queue).await.unwrap();
    assert_eq!((stats.depth_count, stats.unsettled_count, stats.consumer_count, stats.dropped_count), (2, 0, 0, 0));
    assert_eq!(stats.size_bytes, 2 * (5 + 4 + 5));

    let consumer = bed.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    let stats = bed.backend().inspect().stats(&queue).await.unwrap();
    assert_eq!((stats.depth_count, stats.unsettled_count, stats.consumer_count), (2, 1, 1));

    bed.settle(&held).await;
    drop(consumer);
    let one_left = eventually(DEADLINE, "the consumer to be gone", || async {
        let stats = bed.backend().inspect().stats(&queue).await.unwrap();
        (stats.consumer_count == 0).then_some(stats)
    });
    let expected = QueueStats { depth_count: 1, size_bytes: 14, ..QueueStats::default() };
    assert_eq!(one_left.await, expected);
}

/// `stats`: `QueueNotFound`.
pub async fn stats_of_a_missing_queue_are_queue_not_found(bed: &mut Bed) {
    let error = bed.backend().inspect().stats(&bed.queue(Class::Flow, "a", "reader")).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
}

/// `Backend`: operations on one queue are seen by all who share the backend as soon as they return.
pub async fn what_one_caller_does_the_others_see(bed: &mut Bed) {
    let queue = bed.queue(Class::Flow, "a", "reader");
    let (one, other) = (bed.backend().clone(), bed.backend().clone());
    let producer = other.producer(queue.topic()).await.unwrap();
    for round in 0..20 {
        one.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        assert!(other.queue_exists(&queue).await.unwrap());
        producer.publish_confirmed(message(round)).await.unwrap();
        assert_eq!(one.stats(&queue).await.unwrap().depth_count.unwrap(), 1);
        other.delete_queue(&queue, Delete::Always).await.unwrap();
        assert!(!one.queue_exists(&queue).await.unwrap());
    }
}

/// `QueueSpec`: above its bound the oldest messages are dropped and counted.
pub async fn a_bounded_queue_drops_the_oldest_and_counts_them(bed: &mut Bed) {
    let queue = bed.queue(Class::Flow, "a", "reader");
    bed.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 10 } }).await.unwrap();
    bed.publish(queue.topic(), &["1234", "5678"]).await;
    assert_eq!(bed.backend().inspect().stats(&queue).await.unwrap().dropped_count.unwrap(), 0);
    bed.publish(queue.topic(), &["9012", "3456"]).await;
    assert_eq!(bed.waiting(&queue).await, ["9012", "3456"]);
    let stats = bed.backend().inspect().stats(&queue).await.unwrap();
    assert_eq!((stats.depth_count, stats.size_bytes, stats.dropped_count), (2, 8, 2));
}

/// `delete_queues_if_empty`: all of these queues, or none.
pub async fn queues_deleted_together_are_gone_together_after_a_restart(bed: &mut Bed) {
    let queues = [bed.made(Class::Flow, "a", "one").await, bed.made(Class::Request, "b", "one").await, bed.filled("c", &["1"]).await];
    let refused = bed.backend().delete_queues_if_empty(&queues).await.unwrap();
    assert_eq!(refused, Deletion::NotEmpty(vec![holding(&queues[2], 1)]));
    bed.restart().await;
    assert!(bed.backend().queue_exists(&queues[0]).await.unwrap());
    assert_eq!(bed.waiting(&queues[2]).await, ["1"]);
    bed.settle(&next(&*bed.consumer(&queues[2]).await).await).await;
    bed.made(Class::Request, "b", "one").await;
    assert_eq!(bed.backend().delete_queues_if_empty(&queues).await.unwrap(), Deletion::Deleted);
    bed.restart().await;
    for queue in &queues {
        assert!(!bed.backend().queue_exists(queue).await.unwrap(), "{queue}");
    }
}
