//! Queues: created, ensured, visible to all, deleted with their content.

use futures_util::FutureExt;
use weir_pubsub::{Class, Delete, Deletion, Missing, Overflow, PubsubError, QueueSpec, Routing, Settled};

use super::fixture::{BrokerFixture, expect, message, next, output, texts};
use crate::wait::{DEADLINE, eventually, given_up, within};

/// `create_queue`: succeeds if the queue exists with the same properties.
pub async fn creating_a_queue_twice_succeeds(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["kept"]).await;
    fixture.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    assert_eq!(fixture.drained(&queue).await, ["kept"]);
}

/// `create_queue`: it gets messages published from then on, also if other queues of its topic got more.
pub async fn a_new_queue_receives_no_earlier_messages(fixture: &mut BrokerFixture) {
    let first = fixture.filled("a", &["settled", "too"]).await;
    assert_eq!(fixture.drained(&first).await, ["settled", "too"]);
    fixture.publish(first.topic(), &["waiting"]).await;
    let second = fixture.made(Class::Flow, "a", "second").await;
    fixture.publish(first.topic(), &["new"]).await;
    assert_eq!(fixture.drained(&second).await, ["new"]);
    assert_eq!(fixture.drained(&first).await, ["waiting", "new"]);
}

/// `create_queue`: `QueueMismatch` if it exists with other properties.
pub async fn creating_a_queue_with_other_properties_is_a_mismatch(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let bounded = QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 1 << 20 } };
    let error = fixture.backend().create_queue(&bounded).await.unwrap_err();
    assert!(
        matches!(&error, PubsubError::QueueMismatch { queue: named, difference } if *named == queue && !difference.is_empty()),
        "{error}"
    );
    assert!(!error.is_transient(), "{error}");
    let error = fixture.backend().ensure_queue(&bounded).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueMismatch { .. }), "{error}");
}

/// `create_queue`, `ensure_queue`, `delete_queue`: for `response` and `notify` topics nothing is done. `queue_exists`: never for them.
pub async fn response_and_notify_topics_have_no_queues(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let queue = fixture.queue(class, "a", "reader");
        fixture.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        fixture.backend().ensure_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
        let subscriber = fixture.subscriber(queue.topic()).await;
        assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
        for when in [Delete::Always, Delete::IfEmpty] {
            assert_eq!(fixture.backend().delete_queue(&queue, when).await.unwrap(), Deletion::Deleted);
        }
        fixture.publish(queue.topic(), &["heard"]).await;
        expect(&*subscriber, "heard").await;
    }
}

/// `ensure_queue`: as `create_queue`, also for an existing queue.
pub async fn ensuring_creates_a_missing_queue_and_keeps_an_existing_one(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.queue(class, "a", "reader");
        let spec = QueueSpec::new(queue.clone());
        fixture.backend().ensure_queue(&spec).await.unwrap();
        fixture.publish(queue.topic(), &["kept"]).await;
        fixture.backend().ensure_queue(&spec).await.unwrap();
        fixture.publish(queue.topic(), &["too"]).await;
        assert_eq!(texts(&*fixture.consumer(&queue).await, 2).await, ["kept", "too"]);
    }
}

/// `ensure_queue`: restores the topic's binding of an existing queue.
pub async fn ensuring_a_queue_binds_it_to_its_topic_again(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["kept"]).await;
        fixture.unbind(&queue).await;
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        let error = producer.publish_confirmed(message("lost")).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
        fixture.backend().ensure_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        fixture.publish(queue.topic(), &["new"]).await;
        assert_eq!(fixture.drained(&queue).await, ["kept", "new"], "{class}");
    }
}

/// `delete_queue`: deletes a queue, with `Delete::Always` including its content.
pub async fn deleting_a_queue_removes_its_messages(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["1", "2"]).await;
        assert_eq!(fixture.backend().delete_queue(&queue, Delete::Always).await.unwrap(), Deletion::Deleted);
        fixture.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        fixture.publish(queue.topic(), &["3"]).await;
        assert_eq!(fixture.drained(&queue).await, ["3"]);
    }
}

/// `delete_queue`: succeeds if there is none.
pub async fn deleting_a_missing_queue_succeeds(fixture: &mut BrokerFixture) {
    for class in Class::ALL {
        for when in [Delete::Always, Delete::IfEmpty] {
            assert_eq!(fixture.backend().delete_queue(&fixture.queue(class, "a", "reader"), when).await.unwrap(), Deletion::Deleted);
        }
    }
}

/// `delete_queue`: its consumers get `QueueNotFound`; a queue created again is another one.
pub async fn deleting_a_queue_wakes_its_consumers_with_queue_not_found(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        let consumer = fixture.consumer(&queue).await;
        let mut waiting = consumer.receive();
        assert!(fixture.is_waiting(&mut waiting).await);
        fixture.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        let error = within("the end of the queue", waiting).await.unwrap_err();
        assert!(matches!(&error, PubsubError::QueueNotFound { missing: Missing::Queue(named) } if *named == queue), "{error}");
        fixture.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        fixture.publish(queue.topic(), &["later"]).await;
        let error = within("an answer", consumer.receive()).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
        expect(&*fixture.consumer(&queue).await, "later").await;
    }
}

/// `settle`, `requeue`: deliveries of a queue that is deleted, or created again, are no longer held; their outputs are not sent.
pub async fn deliveries_of_a_deleted_queue_are_no_longer_held(fixture: &mut BrokerFixture) {
    let (queue, to) = (fixture.filled("a", &["1", "2"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&queue).await;
    let (first, second) = (next(&*consumer).await, next(&*consumer).await);
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    fixture.backend().delete_queue(&queue, Delete::Always).await.unwrap();
    assert_eq!(fixture.settle_with(&first, outputs.clone()).await, Settled::NoLongerHeld);
    fixture.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    fixture.publish(queue.topic(), &["other", "another"]).await;
    assert_eq!(fixture.settle_with(&first, outputs).await, Settled::NoLongerHeld);
    fixture.backend().requeue(&second.receipt).await.unwrap();
    assert_eq!(fixture.drained(&queue).await, ["other", "another"]);
    assert!(fixture.drained(&to).await.is_empty());
}

/// `queue_exists`: whether the queue exists.
pub async fn a_queue_exists_from_creation_to_deletion(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.queue(class, "a", "reader");
        assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
        fixture.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        assert!(fixture.backend().queue_exists(&queue).await.unwrap());
        assert!(!fixture.backend().queue_exists(&fixture.queue(class, "a", "other")).await.unwrap());
        fixture.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
    }
}

/// `Backend`: operations on one queue are visible to all users of the backend as soon as they return.
pub async fn operations_of_one_caller_are_visible_to_the_others(fixture: &mut BrokerFixture) {
    let queue = fixture.queue(Class::Flow, "a", "reader");
    let (one, other) = (fixture.backend().clone(), fixture.backend().clone());
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

/// `Backend`: operations are cancel safe: they took effect or did not.
pub async fn a_cancelled_operation_takes_full_effect_or_none(fixture: &mut BrokerFixture) {
    let queue = fixture.queue(Class::Flow, "a", "reader");
    let spec = QueueSpec::new(queue.clone());
    for round in 0..10 {
        let _ = fixture.backend().create_queue(&spec).now_or_never();
        fixture.backend().create_queue(&spec).await.unwrap();
        let _ = fixture.backend().ensure_queue(&spec).now_or_never();
        fixture.backend().ensure_queue(&spec).await.unwrap();
        fixture.publish(queue.topic(), &[&round.to_string()]).await;
        expect(&*fixture.consumer(&queue).await, &round.to_string()).await;
        let _ = fixture.backend().delete_queue(&queue, Delete::Always).now_or_never();
        fixture.backend().delete_queue(&queue, Delete::Always).await.unwrap();
        assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
    }
}

/// `Backend`: the same for requeueing: the message is redelivered.
pub async fn a_requeue_completes_after_its_caller_is_gone(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.made(class, "a", "reader").await;
        let consumer = fixture.windowed(&queue, 1).await;
        fixture.publish(queue.topic(), &["1"]).await;
        for _ in 0..10 {
            let held = expect(&*consumer, "1").await;
            // If it did not take effect, the message is still held.
            let _ = fixture.backend().requeue(&held.receipt).now_or_never();
            fixture.backend().requeue(&held.receipt).await.unwrap();
        }
        fixture.settle(&expect(&*consumer, "1").await).await;
    }
}

/// `Backend`: the same for a deletion in several steps, wherever it is cancelled: the queue is gone, or unchanged.
pub async fn a_cancelled_deletion_leaves_no_queue_without_a_topic(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        for turns_count in 0..8 {
            let queue = fixture.made(class, &format!("a{turns_count}"), "reader").await;
            let producer = fixture.backend().producer(queue.topic()).await.unwrap();
            let turns = async {
                for _ in 0..turns_count {
                    fixture.backend().queue_exists(&queue).await.unwrap();
                }
            };
            tokio::select! {
                deletion = fixture.backend().delete_queue(&queue, Delete::IfEmpty) => assert_eq!(deletion.unwrap(), Deletion::Deleted),
                () = turns => {}
            }
            let is_whole = || async {
                match producer.publish_confirmed(message("1")).await {
                    Ok(()) => Some(()),
                    Err(PubsubError::QueueNotFound { .. }) => (!fixture.backend().queue_exists(&queue).await.unwrap()).then_some(()),
                    Err(error) => panic!("{error}"),
                }
            };
            eventually(DEADLINE, "the end of the deletion", is_whole).await;
        }
    }
}

/// `Overflow::DropOldest`: a queue drops its oldest messages above its own limit.
pub async fn a_bounded_queue_drops_the_oldest(fixture: &mut BrokerFixture) {
    let queue = fixture.queue(Class::Flow, "a", "reader");
    fixture.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 10 } }).await.unwrap();
    fixture.publish(queue.topic(), &["1234", "5678", "9012", "3456"]).await;
    assert_eq!(texts(&*fixture.consumer(&queue).await, 2).await, ["9012", "3456"]);
}

/// `create_queue`, `ensure_queue`: a cancelled call never takes effect in part: if there is a queue, its topic finds it.
pub async fn a_cancelled_creation_leaves_no_queue_without_a_topic(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        for polls_count in 0..20 {
            let queue = fixture.queue(class, &format!("a{polls_count}"), "reader");
            let spec = QueueSpec::new(queue.clone());
            match polls_count % 2 {
                0 => drop(within("a queue", given_up(polls_count, fixture.backend().create_queue(&spec))).await),
                _ => drop(within("a queue", given_up(polls_count, fixture.backend().ensure_queue(&spec))).await),
            }
            let producer = fixture.backend().producer(queue.topic()).await.unwrap();
            let whole = || async {
                match producer.publish_confirmed(message("1")).await {
                    Ok(()) => Some(()),
                    Err(PubsubError::QueueNotFound { .. }) => (!fixture.backend().queue_exists(&queue).await.unwrap()).then_some(()),
                    Err(error) => panic!("{error}"),
                }
            };
            eventually(DEADLINE, format!("{queue} as a whole"), whole).await;
        }
    }
}

/// `Overflow`: an empty queue accepts a message of any size, even one that drops its oldest messages.
pub async fn an_empty_drop_oldest_queue_keeps_a_message_above_its_bound(fixture: &mut BrokerFixture) {
    let queue = fixture.queue(Class::Flow, "a", "reader");
    fixture.backend().create_queue(&QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 4 } }).await.unwrap();
    fixture.publish(queue.topic(), &["123456"]).await;
    expect(&*fixture.consumer(&queue).await, "123456").await;
}

/// `Overflow`: limits up to the largest numbers that brokers support.
pub async fn a_bound_may_be_the_largest_number_of_the_broker(fixture: &mut BrokerFixture) {
    for (name, overflow) in [("a", Overflow::DropOldest { bytes: i64::MAX as u64 }), ("b", Overflow::Refuse { bytes: i64::MAX as u64 - 1 })]
    {
        let spec = QueueSpec { queue: fixture.queue(Class::Flow, name, "reader"), overflow };
        for _ in 0..2 {
            fixture.backend().create_queue(&spec).await.unwrap();
        }
        fixture.publish(spec.queue.topic(), &["1"]).await;
        assert_eq!(fixture.drained(&spec.queue).await, ["1"], "{overflow}");
    }
}
