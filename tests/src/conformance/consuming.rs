//! Consumers of queues: sharing, windows, requeueing.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use futures_util::FutureExt;
use futures_util::future::{join_all, select_all};
use weir_pubsub::{Class, ConsumerOptions, Delete, Delivery, DeliveryCount, Message, Missing, PubsubError, Settled, chain};

use super::fixture::{BrokerFixture, expect, next, text, texts};
use crate::wait::{given_up, within};

/// `consumer`: `QueueNotFound`: a consumer never creates a queue.
pub async fn a_consumer_never_creates_a_queue(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.queue(class, "a", "reader");
        let refused = fixture.backend().consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await;
        let error = refused.err().unwrap();
        assert!(matches!(&error, PubsubError::QueueNotFound { missing: Missing::Queue(named) } if *named == queue), "{error}");
        assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
    }
}

/// `consumer`: `Refused` if no queue can have that name.
pub async fn a_queue_name_that_is_too_long_is_refused(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let (topic, name) = (fixture.topic(class, &"n".repeat(150)), "s".repeat(150).parse().unwrap());
        let error = fixture.backend().consumer(&topic, &name, Default::default()).await.err().unwrap();
        assert!(matches!(error, PubsubError::Refused { .. }) && chain(&error).contains("bytes"), "{error:?}");
    }
}

/// A queue filled while its consumer was away delivers everything.
pub async fn a_consumer_receives_everything_queued_during_its_absence(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        let consumer = fixture.consumer(&queue).await;
        fixture.publish(queue.topic(), &["1"]).await;
        fixture.settle(&expect(&*consumer, "1").await).await;
        drop(consumer);
        fixture.publish(queue.topic(), &["2", "3", "4"]).await;
        assert_eq!(texts(&*fixture.consumer(&queue).await, 3).await, ["2", "3", "4"]);
    }
}

/// `Backend`: a `request` queue is like a `flow` queue: each subscription has its own, and messages published while it has no consumer wait
/// there. If this is an exception, the promises below are tested only on `flow` queues wherever they depend on it.
pub async fn requests_wait_in_a_queue_of_their_own(fixture: &mut BrokerFixture) {
    let queues = [fixture.made(Class::Request, "a", "one").await, fixture.made(Class::Request, "a", "two").await];
    fixture.publish(queues[0].topic(), &["1", "2"]).await;
    for queue in &queues {
        assert_eq!(fixture.drained(queue).await, ["1", "2"]);
    }
}

/// `consumer`, `settle`, `requeue`: the same for requests whose consumer exists when they are published.
pub async fn a_request_can_be_delivered_settled_and_requeued(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let consumer = fixture.windowed(&queue, 2).await;
    fixture.publish(queue.topic(), &["1", "2", "3"]).await;
    let (first, second) = (expect(&*consumer, "1").await, expect(&*consumer, "2").await);
    let mut third = consumer.receive();
    assert!(fixture.is_waiting(&mut third).await, "the window is full");
    fixture.settle(&first).await;
    let third = within("room in the window", third).await.unwrap();
    assert_eq!(text(&third.message), "3");
    fixture.backend().requeue(&second.receipt).await.unwrap();
    let again = expect(&*consumer, "2").await;
    assert_eq!(again.message.id, second.message.id);
    for delivery in [&third, &again] {
        fixture.settle(delivery).await;
        assert_eq!(fixture.settle_with(delivery, vec![]).await, Settled::NoLongerHeld);
    }
    assert!(fixture.is_waiting(consumer.receive()).await);
}

/// `Sharing::Competing`: any number of consumers share the queue's messages: each goes to one of them.
pub async fn competing_consumers_share_a_queue(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.made(class, "a", "reader").await;
        let consumers = [fixture.windowed(&queue, 5).await, fixture.windowed(&queue, 5).await];
        let bodies: Vec<String> = (10..20).map(|n| n.to_string()).collect();
        fixture.publish(queue.topic(), &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let shares = join_all(consumers.iter().map(|c| texts(&**c, 5))).await;
        let all: BTreeSet<&String> = shares.iter().flatten().collect();
        assert_eq!(all, bodies.iter().collect(), "each to one");
        assert!(shares.iter().all(|share| share.is_sorted()), "in order");
    }
}

/// `receive`: several tasks may wait on one consumer; each message goes to one of them.
pub async fn several_tasks_may_wait_on_one_consumer(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let consumer = fixture.consumer(&queue).await;
    let waiting = join_all((0..4).map(|_| next(&*consumer)));
    let (deliveries, ()) = tokio::join!(waiting, fixture.publish(queue.topic(), &["1", "2", "3", "4"]));
    let all: BTreeSet<String> = deliveries.iter().map(|d| text(&d.message)).collect();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), ["1", "2", "3", "4"]);
}

/// `ConsumerOptions::window`: how many messages it may hold unsettled.
pub async fn a_window_limits_the_unsettled_messages(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3"]).await;
    let consumer = fixture.windowed(&queue, 2).await;
    let (first, second) = (next(&*consumer).await, next(&*consumer).await);
    let mut third = consumer.receive();
    assert!(fixture.is_waiting(&mut third).await);
    expect(&*fixture.windowed(&queue, 1).await, "3").await;
    fixture.settle(&first).await;
    assert_eq!(text(&within("room in the window", third).await.unwrap().message), "3");
    fixture.backend().requeue(&second.receipt).await.unwrap();
    expect(&*consumer, "2").await;
    assert!(fixture.is_waiting(consumer.receive()).await);
}

/// `ConsumerOptions::window_bytes`: the maximum size of these messages, bodies and properties together.
pub async fn a_window_limits_the_unsettled_bytes(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.made(class, "a", "reader").await;
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        for digit in ["1", "2", "3", "4"] {
            let message = Message::new(digit.repeat(300)).with("p", "v".repeat(99));
            within("a publish", producer.publish_confirmed(message)).await.unwrap();
        }
        let is = |delivery: &Delivery, digit: &str| assert_eq!(text(&delivery.message), digit.repeat(300), "{class}");
        let consumer = fixture.windowed_bytes(&queue, 1_000).await;
        let (first, second) = (next(&*consumer).await, next(&*consumer).await);
        let mut waiting = consumer.receive();
        assert!(fixture.is_waiting(&mut waiting).await, "three have 1,200 bytes");
        is(&next(&*fixture.windowed_bytes(&queue, 0).await).await, "3");
        fixture.settle(&first).await;
        let third = within("room in the window", waiting).await.unwrap();
        is(&third, "3");
        assert!(fixture.is_waiting(consumer.receive()).await);
        fixture.backend().requeue(&second.receipt).await.unwrap();
        is(&next(&*consumer).await, "2");
        fixture.settle(&third).await;
        is(&next(&*consumer).await, "4");
    }
}

/// `ConsumerOptions::window_bytes`: a consumer that holds nothing gets a message of any size.
pub async fn a_message_larger_than_the_window_is_held_alone(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["larger than it", "1", "2"]).await;
    let consumer = fixture.windowed_bytes(&queue, 4).await;
    let large = expect(&*consumer, "larger than it").await;
    let mut waiting = consumer.receive();
    assert!(fixture.is_waiting(&mut waiting).await);
    fixture.settle(&large).await;
    assert_eq!(text(&within("room in the window", waiting).await.unwrap().message), "1");
    expect(&*consumer, "2").await;
}

/// `set_window`: changes how many messages the consumer may hold unsettled; waiting calls continue immediately.
pub async fn a_window_can_be_widened(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3"]).await;
    let consumer = fixture.windowed(&queue, 1).await;
    expect(&*consumer, "1").await;
    let mut second = consumer.receive();
    assert!(fixture.is_waiting(&mut second).await);
    consumer.set_window(NonZeroU32::new(2).unwrap());
    assert_eq!(text(&within("a wider window", second).await.unwrap().message), "2");
    assert!(fixture.is_waiting(consumer.receive()).await);
}

/// `set_window`: the limit in bytes stays.
pub async fn a_changed_window_keeps_its_byte_limit(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["11111", "22222", "33333"]).await;
    let consumer = fixture.windowed_bytes(&queue, 12).await;
    for window in [1, 2, 256] {
        consumer.set_window(NonZeroU32::new(window).unwrap());
    }
    let (first, _second) = (expect(&*consumer, "11111").await, expect(&*consumer, "22222").await);
    assert!(fixture.is_waiting(consumer.receive()).await, "three have 15 bytes");
    consumer.set_window(NonZeroU32::new(300).unwrap());
    assert!(fixture.is_waiting(consumer.receive()).await, "three have 15 bytes");
    fixture.settle(&first).await;
    expect(&*consumer, "33333").await;
}

/// `set_window`: messages it holds above a smaller window stay held.
pub async fn messages_above_a_narrowed_window_stay_held(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3", "4"]).await;
    let consumer = fixture.windowed(&queue, 3).await;
    let held = [next(&*consumer).await, next(&*consumer).await, next(&*consumer).await];
    consumer.set_window(NonZeroU32::MIN);
    for (settled, delivery) in held.iter().enumerate() {
        assert!(fixture.is_waiting(consumer.receive()).await, "after {settled}");
        fixture.settle(delivery).await;
    }
    expect(&*consumer, "4").await;
}

/// `Consumer`: dropping it requeues what it holds unsettled, and settled messages are not redelivered.
pub async fn dropping_a_consumer_requeues_its_messages(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["1", "2", "3", "4"]).await;
        let consumer = fixture.consumer(&queue).await;
        let (_first, second, _third) = (next(&*consumer).await, next(&*consumer).await, next(&*consumer).await);
        fixture.settle(&second).await;
        drop(consumer);
        let consumer = fixture.consumer(&queue).await;
        let mut again = texts(&*consumer, 3).await;
        again.sort();
        assert_eq!(again, ["1", "3", "4"], "{class}");
        assert!(fixture.is_waiting(consumer.receive()).await, "what was settled does not come again");
    }
}

/// `Consumer`: a requeued message is redelivered before those behind it; `requeue`: in its old position.
pub async fn a_requeued_message_precedes_later_messages(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3", "4"]).await;
    let consumer = fixture.windowed(&queue, 3).await;
    let (first, second, third) = (next(&*consumer).await, next(&*consumer).await, next(&*consumer).await);
    for delivery in [&second, &first] {
        fixture.backend().requeue(&delivery.receipt).await.unwrap();
    }
    assert_eq!(texts(&*consumer, 2).await, ["1", "2"]);
    fixture.backend().requeue(&third.receipt).await.unwrap();
    drop(consumer);
    assert_eq!(texts(&*fixture.consumer(&queue).await, 4).await, ["1", "2", "3", "4"]);
}

/// `requeue`: it is delivered again, to any consumer.
pub async fn a_requeued_message_goes_to_any_consumer(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2"]).await;
    let (holder, other) = (fixture.windowed(&queue, 2).await, fixture.windowed(&queue, 2).await);
    let held = next(&*holder).await;
    expect(&*holder, "2").await;
    holder.set_window(NonZeroU32::MIN);
    let mut waiting = other.receive();
    assert!(fixture.is_waiting(&mut waiting).await);
    fixture.backend().requeue(&held.receipt).await.unwrap();
    let again = within("what was given back", waiting).await.unwrap();
    assert_eq!((text(&again.message), again.message.id), ("1".to_owned(), held.message.id));
}

/// `requeue`: nothing happens if it is no longer held.
pub async fn requeueing_an_unheld_message_does_nothing(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2"]).await;
    let consumer = fixture.windowed(&queue, 1).await;
    let first = next(&*consumer).await;
    fixture.settle(&first).await;
    fixture.backend().requeue(&first.receipt).await.unwrap();
    let second = expect(&*consumer, "2").await;
    drop(consumer);
    let consumer = fixture.windowed(&queue, 1).await;
    let again = expect(&*consumer, "2").await;
    fixture.backend().requeue(&second.receipt).await.unwrap();
    assert!(fixture.is_waiting(consumer.receive()).await, "an old receipt takes nothing from its successor");
    fixture.settle(&again).await;
    drop(consumer);
    assert!(fixture.drained(&queue).await.is_empty());
}

/// `DeliveryCount`: how often it was delivered, including this time, or fewer if the broker does not count; from 1.
pub async fn a_delivery_count_is_exact_or_a_lower_bound(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1"]).await;
    let consumer = fixture.windowed(&queue, 1).await;
    for true_count in 1..4 {
        let delivery = expect(&*consumer, "1").await;
        match delivery.delivery_count {
            DeliveryCount::Exact(count) => assert_eq!(count, true_count),
            DeliveryCount::AtLeast(count) => assert!((1..=true_count).contains(&count), "{count} of {true_count}"),
        }
        fixture.backend().requeue(&delivery.receipt).await.unwrap();
    }
}

/// `DeliveryCount::Exact`: every delivery is counted, and waiting behind others is not one.
pub async fn deliveries_are_counted_exactly(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2"]).await;
    let consumer = fixture.windowed(&queue, 1).await;
    for count in 1..4 {
        let delivery = expect(&*consumer, "1").await;
        assert_eq!(delivery.delivery_count, DeliveryCount::Exact(count));
        fixture.backend().requeue(&delivery.receipt).await.unwrap();
    }
    assert_eq!(expect(&*consumer, "1").await.delivery_count, DeliveryCount::Exact(4));
    drop(consumer);
    let consumer = fixture.consumer(&queue).await;
    assert_eq!(expect(&*consumer, "1").await.delivery_count, DeliveryCount::Exact(5));
    assert_eq!(expect(&*consumer, "2").await.delivery_count, DeliveryCount::Exact(1), "waiting behind others is no delivery");
}

/// `readable`: waits until a message is available, delivers nothing, and does not withhold it from a task that waits in `receive`.
pub async fn a_message_can_be_waited_for_without_taking_it(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let consumer = fixture.consumer(&queue).await;
    let (mut readable, mut taken) = (consumer.readable(), consumer.receive());
    assert!(fixture.is_waiting(&mut readable).await && fixture.is_waiting(&mut taken).await);
    fixture.publish(queue.topic(), &["1"]).await;
    within("a message to read", readable).await.unwrap();
    let delivery = within("a delivery", taken).await.unwrap();
    assert_eq!((text(&delivery.message).as_str(), delivery.delivery_count.at_least()), ("1", 1));
    assert!(fixture.is_waiting(consumer.readable()).await, "the only message is taken");
    fixture.publish(queue.topic(), &["2"]).await;
    for _ in 0..3 {
        within("a message to read", consumer.readable()).await.unwrap();
    }
    assert_eq!(expect(&*consumer, "2").await.delivery_count.at_least(), 1);
    let deleted = consumer.readable();
    fixture.backend().delete_queue(&queue, Delete::Always).await.unwrap();
    assert!(matches!(within("an answer", deleted).await, Err(PubsubError::QueueNotFound { .. })));
}

/// `receive`: no message is lost when the future is dropped.
pub async fn dropping_a_receive_loses_no_message(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let consumer = fixture.consumer(&queue).await;
    let bodies: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for body in &bodies {
        let mut dropped = consumer.receive();
        assert!(dropped.as_mut().now_or_never().is_none(), "nothing was published yet");
        fixture.publish(queue.topic(), &[body]).await;
        drop(dropped);
        let delivery = expect(&*consumer, body).await;
        fixture.settle(&delivery).await;
    }
    // Many wait, one wins, the others are dropped with whatever was being delivered to them.
    fixture.publish(queue.topic(), &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for body in &bodies {
        let (delivery, ..) = within("a delivery", select_all((0..3).map(|_| consumer.receive()))).await;
        let delivery = delivery.unwrap();
        assert_eq!(text(&delivery.message), *body);
        fixture.settle(&delivery).await;
    }
    drop(consumer);
    assert!(fixture.drained(&queue).await.is_empty());
}

/// `consumer`: one whose caller is gone when it begins is closed.
pub async fn a_consumer_abandoned_during_its_start_holds_no_message(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        // More polls than it takes to begin a consumer.
        for polls_count in 0..20 {
            let backend = fixture.backend();
            let opening = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default());
            drop(within("a consumer", given_up(polls_count, opening)).await);
        }
        let sent: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        fixture.publish(queue.topic(), &sent.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let consumer = fixture.consumer(&queue).await;
        let mut seen = BTreeSet::new();
        while seen.len() < sent.len() {
            let delivery = next(&*consumer).await;
            seen.insert(text(&delivery.message));
            fixture.settle(&delivery).await;
        }
    }
}

/// `ConsumerOptions::window`: a number above the broker's largest is treated as the largest.
pub async fn a_window_may_exceed_the_largest_number_of_the_broker(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let consumer = fixture.windowed(&queue, u32::MAX).await;
    fixture.publish(queue.topic(), &["1"]).await;
    let first = expect(&*consumer, "1").await;
    // Truncated to 16 bits the last one would be 1.
    for window in [u32::MAX, 1 << 31, u32::from(u16::MAX) + 2] {
        consumer.set_window(NonZeroU32::new(window).unwrap());
    }
    fixture.publish(queue.topic(), &["2"]).await;
    let second = expect(&*consumer, "2").await;
    fixture.settle(&first).await;
    fixture.settle(&second).await;
    drop(consumer);
    assert!(fixture.drained(&queue).await.is_empty());
}

/// `Consumer`: for strict order use a window of 1: requeued messages come before those behind them.
pub async fn with_a_window_of_one_a_requeued_message_comes_first(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3"]).await;
    let consumer = fixture.windowed(&queue, 1).await;
    for _ in 0..3 {
        let first = expect(&*consumer, "1").await;
        fixture.backend().requeue(&first.receipt).await.unwrap();
    }
    for body in ["1", "2", "3"] {
        fixture.settle(&expect(&*consumer, body).await).await;
    }
}
