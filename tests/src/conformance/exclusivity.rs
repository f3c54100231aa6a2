//! Exclusive consumers.

use weir_pubsub::{Class, Consumer, ConsumerOptions, PubsubError, Queue, Result, Sharing};

use super::bed::{Bed, expect};
use crate::wait::{DEADLINE, eventually, within};

async fn consume(bed: &Bed, queue: &Queue, sharing: Sharing) -> Result<Box<dyn Consumer>> {
    let options = ConsumerOptions { sharing, ..ConsumerOptions::default() };
    bed.backend().consumer(queue.topic(), queue.subscription(), options).await
}

fn is_held(refused: Result<Box<dyn Consumer>>, queue: &Queue) -> bool {
    matches!(refused, Err(PubsubError::QueueHeld { queue: named }) if named == *queue)
}

async fn others_are_refused(bed: &Bed, class: Class) {
    let queue = bed.made(class, "a", "reader").await;
    let holder = consume(bed, &queue, Sharing::Exclusive).await.unwrap();
    for sharing in [Sharing::Competing, Sharing::Exclusive] {
        assert!(is_held(consume(bed, &queue, sharing).await, &queue));
    }
    let other = bed.made(class, "a", "other").await;
    consume(bed, &other, Sharing::Exclusive).await.unwrap();
    bed.publish(queue.topic(), &["mine"]).await;
    expect(&*holder, "mine").await;
}

/// `ConsumerOptions::sharing`: others are refused with `QueueHeld` while it lives: on a `request` queue.
pub async fn other_consumers_of_an_exclusive_request_queue_are_refused(bed: &mut Bed) {
    others_are_refused(bed, Class::Request).await;
}

/// `ConsumerOptions::sharing`: the same on a `flow` queue.
pub async fn other_consumers_of_an_exclusive_flow_queue_are_refused(bed: &mut Bed) {
    others_are_refused(bed, Class::Flow).await;
}

async fn cannot_be_held(bed: &Bed, class: Class) {
    let queue = bed.made(class, "a", "reader").await;
    let sharer = consume(bed, &queue, Sharing::Competing).await.unwrap();
    assert!(is_held(consume(bed, &queue, Sharing::Exclusive).await, &queue));
    bed.publish(queue.topic(), &["mine"]).await;
    expect(&*sharer, "mine").await;
}

/// `consumer`: `QueueHeld` when it, or another, is exclusive: on a `request` queue.
pub async fn a_request_queue_with_consumers_cannot_be_held_exclusively(bed: &mut Bed) {
    cannot_be_held(bed, Class::Request).await;
}

/// `consumer`: the same on a `flow` queue.
pub async fn a_flow_queue_with_consumers_cannot_be_held_exclusively(bed: &mut Bed) {
    cannot_be_held(bed, Class::Flow).await;
}

async fn holds_until_dropped(bed: &Bed, class: Class) {
    let queue = bed.made(class, "a", "reader").await;
    let holder = consume(bed, &queue, Sharing::Exclusive).await.unwrap();
    bed.publish(queue.topic(), &["1"]).await;
    expect(&*holder, "1").await;
    drop(holder);
    let next = eventually(DEADLINE, "the queue to be free", || async { consume(bed, &queue, Sharing::Exclusive).await.ok() }).await;
    if !bed.queue_classes().contains(&class) {
        bed.publish(queue.topic(), &["1"]).await;
    }
    expect(&*next, "1").await;
}

/// `ConsumerOptions::sharing`: while it lives, and no longer: on a `request` queue.
pub async fn an_exclusive_consumer_of_a_request_queue_holds_until_it_is_dropped(bed: &mut Bed) {
    holds_until_dropped(bed, Class::Request).await;
}

/// `ConsumerOptions::sharing`: the same on a `flow` queue.
pub async fn an_exclusive_consumer_of_a_flow_queue_holds_until_it_is_dropped(bed: &mut Bed) {
    holds_until_dropped(bed, Class::Flow).await;
}

/// `consumer`: `QueueHeld` also for an exclusive consumer in another process.
pub async fn an_exclusive_consumer_excludes_those_of_other_processes(bed: &mut Bed) {
    let other = bed.beside().await;
    let queue = bed.made(Class::Request, "a", "reader").await;
    let exclusive = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
    let holder = other.consumer(queue.topic(), queue.subscription(), exclusive).await.unwrap();
    for sharing in [Sharing::Competing, Sharing::Exclusive] {
        assert!(is_held(consume(bed, &queue, sharing).await, &queue));
    }
    drop(holder);
    let taken = || async { consume(bed, &queue, Sharing::Exclusive).await.ok() };
    let _holder = eventually(DEADLINE, "the queue", taken).await;
    assert!(is_held(other.consumer(queue.topic(), queue.subscription(), exclusive).await, &queue));
}

/// `set_window`: an exclusive consumer never lets go of its queue for it: it keeps it, or ends with `Unavailable`.
pub async fn a_changed_window_keeps_the_queue_held_or_ends_its_consumer(bed: &mut Bed) {
    let queue = bed.made(Class::Request, "a", "reader").await;
    let holder = consume(bed, &queue, Sharing::Exclusive).await.unwrap();
    for window in [1, 8, 2] {
        holder.set_window(std::num::NonZeroU32::new(window).unwrap());
        for _ in 0..10 {
            if let Ok(other) = consume(bed, &queue, Sharing::Competing).await {
                let ended = within("the end", holder.receive()).await.map(|_| ());
                assert!(matches!(ended, Err(PubsubError::Unavailable { .. })), "another has the queue beside it: {ended:?}");
                drop(other);
                return;
            }
        }
    }
}
