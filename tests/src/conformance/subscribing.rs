//! Subscribers of `response` and `notify` topics, and taps: temporary copies.

use std::num::NonZeroU32;

use weir_pubsub::{Class, Consumer, ConsumerOptions, Message, PubsubError, Routing, Topic};

use super::fixture::{BrokerFixture, expect, message, next, output, text, texts};
use crate::wait::{DEADLINE, eventually, given_up, within};

async fn tap(fixture: &BrokerFixture, topic: &Topic, buffer_count: u32) -> Box<dyn Consumer> {
    fixture.inspect().tap(topic, NonZeroU32::new(buffer_count).unwrap()).await.unwrap()
}

/// `consumer`, `response` and `notify`: every subscriber gets every message; the name only shows which reader it is.
pub async fn every_subscriber_gets_every_message(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let subscribers = [fixture.subscriber(&topic).await, fixture.subscriber(&topic).await];
        fixture.publish(&topic, &["1", "2"]).await;
        for subscriber in &subscribers {
            assert_eq!(texts(&**subscriber, 2).await, ["1", "2"]);
        }
    }
}

/// `consumer`: the subscription is bound when this returns.
pub async fn a_returned_subscription_is_already_bound(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let producer = fixture.backend().producer(&topic).await.unwrap();
        for round in 0..50 {
            let subscriber = fixture.subscriber(&topic).await;
            producer.publish_confirmed(message(round)).await.unwrap();
            expect(&*subscriber, &round.to_string()).await;
        }
    }
}

/// `consumer`: it gets messages published from then on.
pub async fn a_subscriber_receives_only_later_messages(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let early = fixture.subscriber(&topic).await;
        fixture.publish(&topic, &["before"]).await;
        let late = fixture.subscriber(&topic).await;
        fixture.publish(&topic, &["after"]).await;
        expect(&*late, "after").await;
        assert_eq!(texts(&*early, 2).await, ["before", "after"]);
    }
}

/// `consumer`: it leaves nothing behind when it is dropped: no queue and no message.
pub async fn a_closed_subscription_leaves_nothing_behind(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let gone = fixture.subscriber(&topic).await;
        fixture.publish(&topic, &["unread"]).await;
        drop(gone);
        let queue = fixture.queue(class, "a", "subscriber");
        assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
        fixture.publish(&topic, &["not heard"]).await;
        let next = fixture.subscriber(&topic).await;
        fixture.publish(&topic, &["for the next"]).await;
        expect(&*next, "for the next").await;
    }
}

/// `consumer`: its deliveries need no settling.
pub async fn deliveries_to_subscribers_require_no_settling(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let options = ConsumerOptions { window: NonZeroU32::MIN, ..ConsumerOptions::default() };
        let subscriber = fixture.backend().consumer(&topic, &"subscriber".parse().unwrap(), options).await.unwrap();
        for body in ["1", "2", "3"] {
            fixture.publish(&topic, &[body]).await;
            let delivery = expect(&*subscriber, body).await;
            assert!(!delivery.receipt.is_some());
            assert_eq!(delivery.delivery_count.at_least(), 1);
        }
    }
}

/// `tap`: a copy of the messages published on a topic from now on, which removes none from its consumers.
pub async fn a_tap_removes_nothing_from_the_consumers(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["before"]).await;
        let (one, other) = (tap(fixture, queue.topic(), 8).await, tap(fixture, queue.topic(), 8).await);
        fixture.publish(queue.topic(), &["1", "2"]).await;
        assert_eq!(texts(&*one, 2).await, ["1", "2"]);
        assert_eq!(texts(&*fixture.consumer(&queue).await, 3).await, ["before", "1", "2"]);
        assert_eq!(texts(&*other, 2).await, ["1", "2"]);
    }
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let (subscriber, tap) = (fixture.subscriber(&topic).await, tap(fixture, &topic, 8).await);
        fixture.publish(&topic, &["1"]).await;
        expect(&*tap, "1").await;
        expect(&*subscriber, "1").await;
    }
}

/// `tap`: it includes the outputs of settles.
pub async fn a_tap_sees_the_outputs_of_settles(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let tap = tap(fixture, to.topic(), 8).await;
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    fixture.settle_with(&delivery, vec![output(to.topic(), "out", Routing::Required)]).await;
    expect(&*tap, "out").await;
    assert_eq!(fixture.drained(&to).await, ["out"]);
}

/// `tap`: it never makes a missing queue look present, and does not show refused messages.
pub async fn a_tap_never_makes_a_missing_queue_look_present(fixture: &mut BrokerFixture) {
    let topic = fixture.topic(Class::Flow, "a");
    let tap = tap(fixture, &topic, 8).await;
    let producer = fixture.backend().producer(&topic).await.unwrap();
    let error = producer.publish_confirmed(message("not heard")).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueNotFound { .. }), "a tap is not a queue: {error}");
    fixture.made(Class::Flow, "a", "reader").await;
    producer.publish_confirmed(message("published")).await.unwrap();
    assert_eq!(text(&next(&*tap).await.message), "published", "what was refused was not published");
}

/// `tap`: it ends with its reader.
pub async fn a_tap_ends_with_its_reader(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let tap = tap(fixture, queue.topic(), 8).await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    producer.publish_confirmed(message("published")).await.unwrap();
    assert_eq!(text(&next(&*tap).await.message), "published");
    drop(tap);
    producer.publish_confirmed(Message::new("more")).await.unwrap();
    assert_eq!(fixture.drained(&queue).await, ["published", "more"]);
}

/// `tap`: at most `buffer_count` messages wait for the reader; beyond that the oldest are dropped and the gap is reported as `Lagged`; the
/// next call continues.
pub async fn a_slow_tap_loses_the_oldest_messages_and_is_notified(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let tap = tap(fixture, queue.topic(), 2).await;
    fixture.publish(queue.topic(), &["1", "2", "3", "4", "5"]).await;
    let (mut missed_count, mut seen) = (0, Vec::new());
    while seen.last().is_none_or(|last| last != "5") {
        match within("a message or a gap", tap.receive()).await {
            Ok(delivery) => seen.push(text(&delivery.message)),
            Err(PubsubError::Lagged { missed_count: count }) => missed_count += count,
            Err(error) => panic!("{error}"),
        }
    }
    // Messages from a remote broker may still have been in transit at the first read.
    assert!(missed_count > 0 && missed_count + seen.len() as u64 == 5, "{missed_count} missed, {seen:?}");
    assert!(seen.is_sorted() && seen.ends_with(&["4".to_owned(), "5".to_owned()]), "{seen:?}");
    fixture.publish(queue.topic(), &["6"]).await;
    expect(&*tap, "6").await;
}

/// More messages than any broker keeps for a slow subscriber: in number, or in bytes.
const TOO_MANY_COUNT: usize = 1_400;
const LARGE_BYTES: usize = 16 << 10;

/// `receive`: `Lagged` on a `response` or `notify` topic: messages were missed, and the next call continues.
pub async fn a_slow_subscriber_loses_the_oldest_messages_and_is_notified(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let (slow, quick) = (fixture.subscriber(&topic).await, fixture.subscriber(&topic).await);
        let producer = fixture.backend().producer(&topic).await.unwrap();
        for number in 0..TOO_MANY_COUNT {
            producer.publish_confirmed(message(format!("{number:0LARGE_BYTES$}"))).await.unwrap();
            next(&*quick).await;
        }
        // Everything the other one has received is here too, or in transit.
        let end = format!("end of {class}");
        producer.publish_confirmed(message(&end)).await.unwrap();
        expect(&*quick, &end).await;
        let (mut missed_count, mut numbers) = (0, Vec::new());
        loop {
            match within("what is left", slow.receive()).await {
                Ok(delivery) if text(&delivery.message) == end => break,
                Ok(delivery) => numbers.push(text(&delivery.message).parse::<usize>().unwrap()),
                Err(PubsubError::Lagged { missed_count: count }) => missed_count += count as usize,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(missed_count > 0 && missed_count + numbers.len() == TOO_MANY_COUNT, "{missed_count} missed, {} read", numbers.len());
        assert!(numbers.is_sorted() && numbers.last() == Some(&(TOO_MANY_COUNT - 1)));
    }
}

/// `consumer`, `tap`: it leaves nothing behind when it is dropped, even if its caller is gone when it begins.
pub async fn queues_of_subscribers_and_taps_end_with_them(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let before = fixture.visible().await;
    let topics = [fixture.topic(Class::Response, "b"), fixture.topic(Class::Notify, "c")];
    for topic in &topics {
        let subscriber = fixture.subscriber(topic).await;
        fixture.publish(topic, &["1"]).await;
        expect(&*subscriber, "1").await;
    }
    let tapped = tap(fixture, queue.topic(), 2).await;
    fixture.publish(queue.topic(), &["1"]).await;
    expect(&*tapped, "1").await;
    drop(tapped);
    for polls_count in 0..20_u32 {
        let name = "reader".parse().unwrap();
        let opening = fixture.backend().consumer(&topics[polls_count as usize % 2], &name, ConsumerOptions::default());
        drop(within("a subscriber", given_up(polls_count, opening)).await);
        let opening = fixture.inspect().tap(queue.topic(), NonZeroU32::MIN);
        drop(within("a tap", given_up(polls_count, opening)).await);
    }
    eventually(DEADLINE, "the end of what they made", || async { (fixture.visible().await == before).then_some(()) }).await;
}

/// More bodies than a tap keeps: 300 of 60 KiB.
const TAPPED_COUNT: usize = 300;
const TAPPED_BYTES: usize = 60 << 10;

/// `tap`: at most 16 MiB of bodies wait for the reader, whatever the limit in messages.
pub async fn the_backlog_of_a_slow_tap_is_bounded_in_bytes(fixture: &mut BrokerFixture) {
    let topic = fixture.topic(Class::Notify, "a");
    let (slow, quick) = (tap(fixture, &topic, 10_000).await, fixture.subscriber(&topic).await);
    let producer = fixture.backend().producer(&topic).await.unwrap();
    for number in 0..TAPPED_COUNT {
        producer.publish_confirmed(message(format!("{number:0TAPPED_BYTES$}"))).await.unwrap();
        next(&*quick).await;
    }
    let (mut missed_count, mut kept_count) = (0, 0);
    while missed_count + kept_count < TAPPED_COUNT {
        match within("what is left", slow.receive()).await {
            Ok(_) => kept_count += 1,
            Err(PubsubError::Lagged { missed_count: count }) => missed_count += count as usize,
            Err(error) => panic!("{error}"),
        }
    }
    // The last ones may still be in transit while the first are read.
    assert!(missed_count > 0 && (kept_count - 1) * TAPPED_BYTES <= 16 << 20, "{kept_count} kept, {missed_count} missed");
}
