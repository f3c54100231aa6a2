//! Producers: which queues get a message, with which id, within which limits.

use futures_util::FutureExt;
use futures_util::future::join_all;
use weir_pubsub::{Class, Message, MessageId, Missing, PubsubError};

use super::fixture::{BrokerFixture, expect, message, next, texts};
use crate::wait::within;

/// `producer`: no queue needs to exist.
pub async fn a_producer_needs_no_queue_yet(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let topic = fixture.topic(class, "a");
        let producer = fixture.backend().producer(&topic).await.unwrap();
        let queue = fixture.made(class, "a", "reader").await;
        producer.publish_confirmed(message("there")).await.unwrap();
        expect(&*fixture.consumer(&queue).await, "there").await;
    }
}

/// `publish`: `flow` and `request` without a queue: `QueueNotFound`, which names the topic, and nothing was sent.
pub async fn flow_and_request_messages_without_a_queue_are_queue_not_found(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let topic = fixture.topic(class, "a");
        let producer = fixture.backend().producer(&topic).await.unwrap();
        let error = producer.publish_confirmed(message("lost?")).await.unwrap_err();
        assert!(matches!(&error, PubsubError::QueueNotFound { missing: Missing::QueueOf(named) } if *named == topic), "{error}");
        assert!(error.to_string().contains(&topic.to_string()), "{error}");
        let queue = fixture.made(class, "a", "reader").await;
        assert!(fixture.drained(&queue).await.is_empty());
    }
}

/// `publish`: `response` and `notify` without a subscriber: the message is dropped without an error.
pub async fn response_and_notify_messages_without_a_subscriber_are_dropped_silently(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        fixture.publish(&topic, &["not heard"]).await;
        let subscriber = fixture.subscriber(&topic).await;
        fixture.publish(&topic, &["heard"]).await;
        expect(&*subscriber, "heard").await;
    }
}

/// `publish`: durable in every queue of the topic; each subscription is a queue of its own.
pub async fn every_subscription_of_a_topic_gets_its_copy(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queues = [fixture.made(class, "a", "one").await, fixture.made(class, "a", "two").await];
        let other_topic = fixture.made(class, "b", "one").await;
        fixture.publish(queues[0].topic(), &["1", "2"]).await;
        for queue in &queues {
            let consumer = fixture.consumer(queue).await;
            for body in ["1", "2"] {
                fixture.settle(&expect(&*consumer, body).await).await;
            }
        }
        assert!(fixture.drained(&other_topic).await.is_empty());
    }
}

/// `publish`: a message without an id gets a random one.
pub async fn a_message_without_an_id_gets_one(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["same", "same"]).await;
        let consumer = fixture.consumer(&queue).await;
        let (first, second) = (next(&*consumer).await, next(&*consumer).await);
        assert_ne!(first.message.id.unwrap(), second.message.id.unwrap());
        fixture.backend().requeue(&first.receipt).await.unwrap();
        assert_eq!(next(&*consumer).await.message.id, first.message.id, "the same in every delivery");
    }
}

/// `publish`: a given id is kept.
pub async fn a_given_id_is_kept(fixture: &mut BrokerFixture) {
    let id = Some(MessageId(7));
    for class in Class::ALL {
        let topic = fixture.topic(class, "a");
        let consumer = if class.has_queues() {
            fixture.consumer(&fixture.made(class, "a", "reader").await).await
        } else {
            fixture.subscriber(&topic).await
        };
        let producer = fixture.backend().producer(&topic).await.unwrap();
        producer.publish_confirmed(Message { id, ..message("mine") }).await.unwrap();
        assert_eq!(next(&*consumer).await.message.id, id, "{class}");
    }
}

/// `publish`: on `response` and `notify` topics an absent id stays absent.
pub async fn an_absent_id_stays_absent_on_response_and_notify(fixture: &mut BrokerFixture) {
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let subscriber = fixture.subscriber(&topic).await;
        fixture.publish(&topic, &["plain"]).await;
        assert_eq!(expect(&*subscriber, "plain").await.message.id, None);
    }
}

/// With the properties sorted by name: not every broker keeps the order in which they were set.
fn in_order(mut message: Message) -> Message {
    let mut properties: Vec<_> = message.properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    properties.sort();
    message.properties = properties.into_iter().collect();
    message
}

/// `Message`: every part of it arrives, whatever its characters.
pub async fn every_part_of_a_message_arrives(fixture: &mut BrokerFixture) {
    let whole = Message {
        id: Some(MessageId(u128::MAX)),
        from: Some("chunker 0123456789ab 7 1".into()),
        content_type: Some("text/plain".into()),
        expires_in: None,
        ..Message::new(vec![0, 159, 146, 150]).with("id", "42").with("name ü", "").with("empty", "value \u{1f600}")
    };
    for class in Class::ALL {
        let topic = fixture.topic(class, "a");
        let consumer = if class.has_queues() {
            fixture.consumer(&fixture.made(class, "a", "reader").await).await
        } else {
            fixture.subscriber(&topic).await
        };
        let producer = fixture.backend().producer(&topic).await.unwrap();
        producer.publish_confirmed(whole.clone()).await.unwrap();
        assert_eq!(in_order(next(&*consumer).await.message), in_order(whole.clone()), "{class}");
    }
}

/// `Producer`: messages of one producer keep their order.
pub async fn messages_of_one_producer_keep_their_order(fixture: &mut BrokerFixture) {
    let bodies: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &bodies).await;
        let consumer = fixture.windowed(&queue, 1000).await;
        assert_eq!(texts(&*consumer, bodies.len()).await, bodies, "{class}");
    }
    for class in [Class::Response, Class::Notify] {
        let subscriber = fixture.subscriber(&fixture.topic(class, "a")).await;
        fixture.publish(&fixture.topic(class, "a"), &bodies[..100]).await;
        assert_eq!(texts(&*subscriber, 100).await, bodies[..100], "{class}");
    }
}

/// Publishes a message that is too large, and checks that it is refused and no part of it was sent.
async fn check_too_large(fixture: &BrokerFixture, word: &str, large: Message) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let error = producer.publish_confirmed(large).await.unwrap_err();
    assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains(word), "{error}");
    fixture.publish(queue.topic(), &["small"]).await;
    assert_eq!(fixture.drained(&queue).await, ["small"]);
}

/// `limits`: refuses a body that is too large. An answer may be larger than a message.
pub async fn a_body_over_the_limit_is_too_large(fixture: &mut BrokerFixture) {
    let limit = fixture.backend().limits().max_message_bytes;
    check_too_large(fixture, "body", Message::new(vec![b'x'; limit + 1])).await;

    let queue = fixture.made(Class::Flow, "b", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    producer.publish_confirmed(Message::new(vec![b'x'; limit])).await.unwrap();
    assert_eq!(next(&*fixture.consumer(&queue).await).await.message.body.len(), limit);

    let answers = fixture.topic(Class::Response, "a");
    let subscriber = fixture.subscriber(&answers).await;
    let producer = fixture.backend().producer(&answers).await.unwrap();
    producer.publish_confirmed(Message::new(vec![b'x'; limit + 1])).await.unwrap();
    assert_eq!(next(&*subscriber).await.message.body.len(), limit + 1);
}

/// `check`: it refuses what publishing refuses, and nothing else.
pub async fn a_check_refuses_a_message_that_is_too_large_to_publish(fixture: &mut BrokerFixture) {
    let (limit, topic) = (fixture.backend().limits().max_message_bytes, fixture.topic(Class::Flow, "a"));
    fixture.backend().check(&topic, &Message::new(vec![b'x'; limit])).unwrap();
    let error = fixture.backend().check(&topic, &Message::new(vec![b'x'; limit + 1])).unwrap_err();
    assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
}

/// `limits`: refuses a property whose name is too long.
pub async fn a_property_name_over_the_limit_is_too_large(fixture: &mut BrokerFixture) {
    let limit = fixture.backend().limits().max_property_name_bytes;
    check_too_large(fixture, "property name", message("x").with("n".repeat(limit + 1), "v")).await;
}

/// `limits`: refuses properties that are too large in total.
pub async fn properties_over_the_limit_are_too_large(fixture: &mut BrokerFixture) {
    let half = fixture.backend().limits().max_properties_bytes / 2;
    check_too_large(fixture, "properties", message("x").with("a", "v".repeat(half)).with("b", "v".repeat(half))).await;
}

/// `publish`: messages of one producer are stored in the order in which their `publish` calls returned, whenever their confirmations are
/// awaited.
pub async fn messages_are_stored_in_the_order_of_their_publishes_whenever_they_are_confirmed(fixture: &mut BrokerFixture) {
    let bodies: Vec<String> = (100..200).map(|n| n.to_string()).collect();
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        let mut confirms = Vec::new();
        for body in &bodies {
            confirms.push(within("a publish", producer.publish(message(body))).await.unwrap());
        }
        let last = confirms.pop().unwrap();
        for confirm in confirms.into_iter().rev() {
            within("a confirmation", confirm).await.unwrap();
        }
        assert_eq!(texts(&*fixture.consumer(&queue).await, bodies.len()).await, bodies, "{class}");
        within("a confirmation that is awaited late", last).await.unwrap();
    }
}

/// `publish`: the order is that in which the calls returned, also if several tasks publish at the same time.
pub async fn publishes_of_several_tasks_are_stored_in_the_order_in_which_they_returned(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        let returned = std::sync::Mutex::new(Vec::new());
        let publishing = (0..60).map(async |n: usize| {
            for _ in 0..n % 5 {
                tokio::task::yield_now().await;
            }
            let confirm = producer.publish(message(n)).await.unwrap();
            returned.lock().unwrap().push(n.to_string());
            confirm.await.unwrap();
        });
        within("the publishes", join_all(publishing)).await;
        assert_eq!(fixture.drained(&queue).await, returned.into_inner().unwrap(), "{class}");
    }
}

/// `Confirm`: dropping it changes nothing: the message is stored nevertheless.
pub async fn a_message_whose_confirmation_is_dropped_is_stored(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        for body in ["1", "2", "3"] {
            drop(producer.publish(message(body)).await.unwrap());
        }
        producer.publish_confirmed(message("4")).await.unwrap();
        assert_eq!(fixture.drained(&queue).await, ["1", "2", "3", "4"], "{class}");
    }
}

/// `publish`: a dropped call may or may not have sent the message, once; the producer stays usable.
pub async fn a_dropped_publish_was_sent_completely_or_not_at_all(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        for round in 0..10 {
            drop(producer.publish(message("dropped")).now_or_never());
            producer.publish_confirmed(message(round)).await.unwrap();
            let found = fixture.drained(&queue).await;
            let round = round.to_string();
            assert!(found == [round.as_str()] || found == ["dropped", &round], "{class}: {found:?}");
        }
    }
}

/// `publish`, `Confirm`: a refusal is reported immediately or by the confirmation, and means that the message was not stored; the others
/// are.
pub async fn among_several_publishes_only_the_refused_one_is_not_stored(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        let large = Message::new(vec![b'x'; fixture.backend().limits().max_message_bytes + 1]);
        let mut confirms = Vec::new();
        for message in [message("1"), large, message("2")] {
            confirms.push(producer.publish(message).await);
        }
        let mut outcomes = Vec::new();
        for confirm in confirms {
            outcomes.push(match confirm {
                Ok(confirm) => within("a confirmation", confirm).await,
                Err(error) => Err(error),
            });
        }
        assert!(matches!(outcomes[..], [Ok(()), Err(PubsubError::TooLarge { .. }), Ok(())]), "{outcomes:?}");
        assert_eq!(fixture.drained(&queue).await, ["1", "2"], "{class}");
    }
}

/// `publish`, `Confirm`: without a queue, every one of several publishes is refused, immediately or by its confirmation.
pub async fn several_publishes_without_a_queue_are_all_refused(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let producer = fixture.backend().producer(&fixture.topic(class, "a")).await.unwrap();
        let publishing = (0..10).map(|n| producer.publish_confirmed(message(n)));
        for outcome in within("the refusals", join_all(publishing)).await {
            assert!(matches!(outcome, Err(PubsubError::QueueNotFound { .. })), "{outcome:?}");
        }
        assert!(fixture.drained(&fixture.made(class, "a", "reader").await).await.is_empty());
    }
}

/// More than a backend allows in flight.
const MANY_COUNT: usize = 6_000;

/// `publish`: it waits while too much is in flight, and refuses nothing because of that.
pub async fn publishes_wait_while_too_many_are_in_flight(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let bodies: Vec<String> = (0..MANY_COUNT).map(|number| number.to_string()).collect();
    let mut confirms = Vec::with_capacity(MANY_COUNT);
    for body in &bodies {
        confirms.push(within("a publish", producer.publish(message(body))).await.unwrap());
    }
    for confirm in confirms {
        within("a confirmation", confirm).await.unwrap();
    }
    assert_eq!(fixture.drained(&queue).await, bodies);
}

/// `Confirm`: once it has returned, it returns `OutcomeUnknown`.
pub async fn a_confirmation_returns_its_outcome_once(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let mut confirm = producer.publish(message("1")).await.unwrap();
    within("a confirmation", &mut confirm).await.unwrap();
    let again = within("an answer", &mut confirm).await;
    assert!(matches!(again, Err(PubsubError::OutcomeUnknown { .. })), "{again:?}");
    assert_eq!(fixture.drained(&queue).await, ["1"]);
}
