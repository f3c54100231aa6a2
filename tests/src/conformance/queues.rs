//! Queues: made, ensured, seen by all, deleted with what is in them.

use futures_util::FutureExt;
use weir_pubsub::{Class, Delete, Deletion, Missing, Overflow, PubsubError, QueueSpec, Routing, Settled};

use super::bed::{Bed, expect, message, next, output, texts};
use crate::wait::{DEADLINE, eventually, given_up, within};

/// `create_queue`: it is no error if it is there with the same properties.
pub async fn creating_a_queue_twice_succeeds(bed: &mut Bed) {
    let queue = bed.filled("a", &["kept"]).await;
    bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    assert_eq!(bed.drained(&queue).await, ["kept"]);
}

/// `create_queue`: it gets what is published from then on, also where its topic has other queues that got more.
pub async fn a_new_queue_receives_no_earlier_messages(bed: &mut Bed) {
    let first = bed.filled("a", &["settled", "too"]).await;
    assert_eq!(bed.drained(&first).await, ["settled", "too"]);
    bed.publish(first.topic(), &["waiting"]).await;
    let second = bed.made(Class::Flow, "a", "second").await;
    bed.publish(first.topic(), &["new"]).await;
    assert_eq!(bed.drained(&second).await, ["new"]);
    assert_eq!(bed.drained(&first).await, ["waiting", "new"]);
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
    assert!(!error.is_passing(), "{error}");
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
        for when in [Delete::Always, Delete::IfEmpty] {
            assert_eq!(bed.backend().delete_queue(&queue, when).await.unwrap(), Deletion::Deleted);
        }
        bed.publish(queue.topic(), &["heard"]).await;
        expect(&*subscriber, "heard").await;
    }
}

/// `ensure_queue`: as `create_queue`, also for a queue that is there.
pub async fn ensuring_creates_a_missing_queue_and_keeps_an_existing_one(bed: &mut Bed) {
    for &class in bed.queue_classes() {
        let queue = bed.queue(class, "a", "reader");
        let spec = QueueSpec::new(queue.clone());
        bed.backend().ensure_queue(&spec).await.unwrap();
        bed.publish(queue.topic(), &["kept"]).await;
        bed.backend().ensure_queue(&spec).await.unwrap();
        bed.publish(queue.topic(), &["too"]).await;
        assert_eq!(texts(&*bed.consumer(&queue).await, 2).await, ["kept", "too"]);
    }
}

/// `ensure_queue`: puts the topic's binding right for a queue that is there.
pub async fn ensuring_a_queue_binds_it_to_its_topic_again(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["kept"]).await;
        bed.unbind(&queue).await;
        let producer = bed.backend().producer(queue.topic()).await.unwrap();
        let error = producer.publish_confirmed(message("lost")).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
        bed.backend().ensure_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        bed.publish(queue.topic(), &["new"]).await;
        assert_eq!(bed.drained(&queue).await, ["kept", "new"], "{class}");
    }
}

/// `delete_queue`: deletes a queue, with `Delete::Always` with all that is in it.
pub async fn deleting_a_queue_removes_its_messages(bed: &mut Bed) {
    for &class in bed.queue_classes() {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["1", "2"]).await;
        assert_eq!(bed.backend().delete_queue(&queue, Delete::Always).await.unwrap(), Deletion::Deleted);
        bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        bed.publish(queue.topic(), &["3"]).await;
        assert_eq!(bed.drained(&queue).await, ["3"]);
    }
}

/// `delete_queue`: it is no error if there is none.
pub async fn deleting_a_missing_queue_succeeds(bed: &mut Bed) {
    for class in Class::ALL {
        for when in [Delete::Always, Delete::IfEmpty] {
            assert_eq!(bed.backend().delete_queue(&bed.queue(class, "a", "reader"), when).await.unwrap(), Deletion::Deleted);
        }
    }
}

/// `delete_queue`: its consumers get `QueueNotFound`; a queue that is made again is another one.
pub async fn deleting_a_queue_wakes_its_consumers_with_queue_not_found(bed: &mut Bed) {
    for &class in bed.queue_classes() {
        let queue = bed.made(class, "a", "reader").await;
        let consumer = bed.consumer(&queue).await;
        let mut waiting = consumer.receive();
        assert!(bed.is_waiting(&mut waiting).await);
        bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        let error = within("the end of the queue", waiting).await.unwrap_err();
        assert!(matches!(&error, PubsubError::QueueNotFound { missing: Missing::Queue(named) } if *named == queue), "{error}");
        bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        bed.publish(queue.topic(), &["later"]).await;
        let error = within("an answer", consumer.receive()).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
        expect(&*bed.consumer(&queue).await, "later").await;
    }
}

/// `settle`, `requeue`: what was held of a queue that is deleted, or made again, is no longer held; its outputs are not sent.
pub async fn deliveries_of_a_deleted_queue_are_no_longer_held(bed: &mut Bed) {
    let (queue, to) = (bed.filled("a", &["1", "2"]).await, bed.made(Class::Flow, "b", "reader").await);
    let consumer = bed.consumer(&queue).await;
    let (first, second) = (next(&*consumer).await, next(&*consumer).await);
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
    assert_eq!(bed.settle_with(&first, outputs.clone()).await, Settled::NoLongerHeld);
    bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    bed.publish(queue.topic(), &["other", "another"]).await;
    assert_eq!(bed.settle_with(&first, outputs).await, Settled::NoLongerHeld);
    bed.backend().requeue(&second.receipt).await.unwrap();
    assert_eq!(bed.drained(&queue).await, ["other", "another"]);
    assert!(bed.drained(&to).await.is_empty());
}

/// `queue_exists`: whether the queue exists.
pub async fn a_queue_exists_from_creation_to_deletion(bed: &mut Bed) {
    for &class in bed.queue_classes() {
        let queue = bed.queue(class, "a", "reader");
        assert!(!bed.backend().queue_exists(&queue).await.unwrap());
        bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        assert!(bed.backend().queue_exists(&queue).await.unwrap());
        assert!(!bed.backend().queue_exists(&bed.queue(class, "a", "other")).await.unwrap());
        bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        assert!(!bed.backend().queue_exists(&queue).await.unwrap());
    }
}

/// `Backend`: operations on one queue are seen by all who share the backend as soon as they return.
pub async fn operations_of_one_caller_are_visible_to_the_others(bed: &mut Bed) {
    let queue = bed.queue(Class::Flow, "a", "reader");
    let (one, other) = (bed.backend().clone(), bed.backend().clone());
    let producer = other.producer(queue.topic()).await.unwrap();
    for round in 0..20 {
        one.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        assert!(other.queue_exists(&queue).await.unwrap());
        producer.publish_confirmed(message(round)).await.unwrap();
        expect(&*one.consumer(queue.topic(), queue.subscription(), Default::default()).await.unwrap(), &round.to_string()).await;
        other.delete_queue(&queue, Delete::Always).await.unwrap();
        assert!(!one.queue_exists(&queue).await.unwrap());
    }
}

/// `Backend`: operations are safe to cancel: they happened or did not.
pub async fn a_cancelled_operation_takes_full_effect_or_none(bed: &mut Bed) {
    let queue = bed.queue(Class::Flow, "a", "reader");
    let spec = QueueSpec::new(queue.clone());
    for round in 0..10 {
        let _ = bed.backend().create_queue(&spec).now_or_never();
        bed.backend().create_queue(&spec).await.unwrap();
        let _ = bed.backend().ensure_queue(&spec).now_or_never();
        bed.backend().ensure_queue(&spec).await.unwrap();
        bed.publish(queue.topic(), &[&round.to_string()]).await;
        expect(&*bed.consumer(&queue).await, &round.to_string()).await;
        let _ = bed.backend().delete_queue(&queue, Delete::Always).now_or_never();
        bed.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        assert!(!bed.backend().queue_exists(&queue).await.unwrap());
    }
}

/// `Backend`: the same of giving back: the message comes again.
pub async fn a_requeue_completes_after_its_caller_is_gone(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        let consumer = bed.windowed(&queue, 1).await;
        bed.publish(queue.topic(), &["1"]).await;
        for _ in 0..10 {
            let held = expect(&*consumer, "1").await;
            // If it did not happen it is still held.
            let _ = bed.backend().requeue(&held.receipt).now_or_never();
            bed.backend().requeue(&held.receipt).await.unwrap();
        }
        bed.settle(&expect(&*consumer, "1").await).await;
    }
}

/// `Backend`: the same of a deletion in several steps, wherever it is cancelled: the queue is gone, or there as before.
pub async fn a_cancelled_deletion_leaves_no_queue_without_a_topic(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        for turns_count in 0..8 {
            let queue = bed.made(class, &format!("a{turns_count}"), "reader").await;
            let producer = bed.backend().producer(queue.topic()).await.unwrap();
            let turns = async {
                for _ in 0..turns_count {
                    bed.backend().queue_exists(&queue).await.unwrap();
                }
            };
            tokio::select! {
                deletion = bed.backend().delete_queue(&queue, Delete::IfEmpty) => assert_eq!(deletion.unwrap(), Deletion::Deleted),
                () = turns => {}
            }
            let is_whole = || async {
                match producer.publish_confirmed(message("1")).await {
                    Ok(()) => Some(()),
                    Err(PubsubError::QueueNotFound { .. }) => (!bed.backend().queue_exists(&queue).await.unwrap()).then_some(()),
                    Err(error) => panic!("{error}"),
                }
            };
            eventually(DEADLINE, "the end of the deletion", is_whole).await;
        }
    }
}

/// `Overflow::DropOldest`: a queue drops its oldest messages above its own bound.
pub async fn a_bounded_queue_drops_the_oldest(bed: &mut Bed) {
    let queue = bed.queue(Class::Flow, "a", "reader");
    bed.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 10 } }).await.unwrap();
    bed.publish(queue.topic(), &["1234", "5678", "9012", "3456"]).await;
    assert_eq!(texts(&*bed.consumer(&queue).await, 2).await, ["9012", "3456"]);
}

/// `create_queue`, `ensure_queue`: one that was cancelled is never left half done: where there is a queue, its topic finds it.
pub async fn a_cancelled_creation_leaves_no_queue_without_a_topic(bed: &mut Bed) {
    for &class in bed.queue_classes() {
        for polls_count in 0..20 {
            let queue = bed.queue(class, &format!("a{polls_count}"), "reader");
            let spec = QueueSpec::new(queue.clone());
            match polls_count % 2 {
                0 => drop(within("a queue", given_up(polls_count, bed.backend().create_queue(&spec))).await),
                _ => drop(within("a queue", given_up(polls_count, bed.backend().ensure_queue(&spec))).await),
            }
            let producer = bed.backend().producer(queue.topic()).await.unwrap();
            let whole = || async {
                match producer.publish_confirmed(message("1")).await {
                    Ok(()) => Some(()),
                    Err(PubsubError::QueueNotFound { .. }) => (!bed.backend().queue_exists(&queue).await.unwrap()).then_some(()),
                    Err(error) => panic!("{error}"),
                }
            };
            eventually(DEADLINE, format!("{queue} as a whole"), whole).await;
        }
    }
}

/// `Overflow`: an empty queue accepts a message of any size, also one that drops its oldest messages.
pub async fn an_empty_drop_oldest_queue_keeps_a_message_above_its_bound(bed: &mut Bed) {
    let queue = bed.queue(Class::Flow, "a", "reader");
    bed.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 4 } }).await.unwrap();
    bed.publish(queue.topic(), &["123456"]).await;
    expect(&*bed.consumer(&queue).await, "123456").await;
}

/// `Overflow`: bounds up to the largest numbers that brokers count with.
pub async fn a_bound_may_be_the_largest_number_of_the_broker(bed: &mut Bed) {
    for (name, overflow) in [("a", Overflow::DropOldest { bytes: i64::MAX as u64 }), ("b", Overflow::Refuse { bytes: i64::MAX as u64 - 1 })]
    {
        let spec = QueueSpec { queue: bed.queue(Class::Flow, name, "reader"), overflow };
        for _ in 0..2 {
            bed.backend().create_queue(&spec).await.unwrap();
        }
        bed.publish(spec.queue.topic(), &["1"]).await;
        assert_eq!(bed.drained(&spec.queue).await, ["1"], "{overflow}");
    }
}
