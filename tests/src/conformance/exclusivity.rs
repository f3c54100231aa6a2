//! Exclusive consumers.

use weir_pubsub::{Class, Consumer, ConsumerOptions, PubsubError, Queue, Result, Sharing};

use super::fixture::{BrokerFixture, expect};
use crate::wait::{DEADLINE, eventually, within};

async fn consume(fixture: &BrokerFixture, queue: &Queue, sharing: Sharing) -> Result<Box<dyn Consumer>> {
    let options = ConsumerOptions { sharing, ..ConsumerOptions::default() };
    fixture.backend().consumer(queue.topic(), queue.subscription(), options).await
}

fn is_held(refused: Result<Box<dyn Consumer>>, queue: &Queue) -> bool {
    matches!(refused, Err(PubsubError::QueueHeld { queue: named }) if named == *queue)
}

async fn others_are_refused(fixture: &BrokerFixture, class: Class) {
    let queue = fixture.made(class, "a", "reader").await;
    let holder = consume(fixture, &queue, Sharing::Exclusive).await.unwrap();
    for sharing in [Sharing::Competing, Sharing::Exclusive] {
        assert!(is_held(consume(fixture, &queue, sharing).await, &queue));
    }
    let other = fixture.made(class, "a", "other").await;
    consume(fixture, &other, Sharing::Exclusive).await.unwrap();
    fixture.publish(queue.topic(), &["mine"]).await;
    expect(&*holder, "mine").await;
}

/// `ConsumerOptions::sharing`: others are refused with `QueueHeld` while it exists: on a `request` queue.
pub async fn other_consumers_of_an_exclusive_request_queue_are_refused(fixture: &mut BrokerFixture) {
    others_are_refused(fixture, Class::Request).await;
}

/// `ConsumerOptions::sharing`: the same on a `flow` queue.
pub async fn other_consumers_of_an_exclusive_flow_queue_are_refused(fixture: &mut BrokerFixture) {
    others_are_refused(fixture, Class::Flow).await;
}

async fn cannot_be_held(fixture: &BrokerFixture, class: Class) {
    let queue = fixture.made(class, "a", "reader").await;
    let sharer = consume(fixture, &queue, Sharing::Competing).await.unwrap();
    assert!(is_held(consume(fixture, &queue, Sharing::Exclusive).await, &queue));
    fixture.publish(queue.topic(), &["mine"]).await;
    expect(&*sharer, "mine").await;
}

/// `consumer`: `QueueHeld` if it, or another, is exclusive: on a `request` queue.
pub async fn a_request_queue_with_consumers_cannot_be_held_exclusively(fixture: &mut BrokerFixture) {
    cannot_be_held(fixture, Class::Request).await;
}

/// `consumer`: the same on a `flow` queue.
pub async fn a_flow_queue_with_consumers_cannot_be_held_exclusively(fixture: &mut BrokerFixture) {
    cannot_be_held(fixture, Class::Flow).await;
}

async fn holds_until_dropped(fixture: &BrokerFixture, class: Class) {
    let queue = fixture.made(class, "a", "reader").await;
    let holder = consume(fixture, &queue, Sharing::Exclusive).await.unwrap();
    fixture.publish(queue.topic(), &["1"]).await;
    expect(&*holder, "1").await;
    drop(holder);
    let next = eventually(DEADLINE, "the queue to be free", || async { consume(fixture, &queue, Sharing::Exclusive).await.ok() }).await;
    if !fixture.queue_classes().contains(&class) {
        fixture.publish(queue.topic(), &["1"]).await;
    }
    expect(&*next, "1").await;
}

/// `ConsumerOptions::sharing`: while it exists, and no longer: on a `request` queue.
pub async fn an_exclusive_consumer_of_a_request_queue_holds_until_it_is_dropped(fixture: &mut BrokerFixture) {
    holds_until_dropped(fixture, Class::Request).await;
}

/// `ConsumerOptions::sharing`: the same on a `flow` queue.
pub async fn an_exclusive_consumer_of_a_flow_queue_holds_until_it_is_dropped(fixture: &mut BrokerFixture) {
    holds_until_dropped(fixture, Class::Flow).await;
}

/// `consumer`: `QueueHeld` also for an exclusive consumer in another process.
pub async fn an_exclusive_consumer_excludes_those_of_other_processes(fixture: &mut BrokerFixture) {
    let other = fixture.beside().await;
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let exclusive = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
    let holder = other.consumer(queue.topic(), queue.subscription(), exclusive).await.unwrap();
    for sharing in [Sharing::Competing, Sharing::Exclusive] {
        assert!(is_held(consume(fixture, &queue, sharing).await, &queue));
    }
    drop(holder);
    let taken = || async { consume(fixture, &queue, Sharing::Exclusive).await.ok() };
    let _holder = eventually(DEADLINE, "the queue", taken).await;
    assert!(is_held(other.consumer(queue.topic(), queue.subscription(), exclusive).await, &queue));
}

/// `set_window`: an exclusive consumer never releases its queue for it: it keeps it, or ends with `Unavailable`.
pub async fn a_changed_window_keeps_the_queue_held_or_ends_its_consumer(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let holder = consume(fixture, &queue, Sharing::Exclusive).await.unwrap();
    for window in [1, 8, 2] {
        holder.set_window(std::num::NonZeroU32::new(window).unwrap());
        for _ in 0..10 {
            if let Ok(other) = consume(fixture, &queue, Sharing::Competing).await {
                let ended = within("the end", holder.receive()).await.map(|_| ());
                assert!(matches!(ended, Err(PubsubError::Unavailable { .. })), "another has the queue beside it: {ended:?}");
                drop(other);
                return;
            }
        }
    }
}
