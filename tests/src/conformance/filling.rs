//! Queues above their high mark: publishers are refused, settles succeed.

use std::num::NonZeroU32;

use weir_pubsub::{Backend, Class, ConsumerOptions, Message, Overflow, PubsubError, Queue, QueueSpec, Routing, Settled, Sharing, Topic};

use super::fixture::{BrokerFixture, expect, next, output, text};

fn large() -> Message {
    Message::new(vec![b'x'; 1 << 20])
}

/// Fills a topic with bodies of 1 MiB until it is full; returns how many were accepted.
pub(super) async fn fill(backend: &dyn Backend, topic: &Topic) -> u64 {
    let producer = backend.producer(topic).await.unwrap();
    for sent in 0.. {
        match producer.publish_confirmed(large()).await {
            Ok(()) => assert!(sent < 64, "the queue never fills"),
            Err(error @ PubsubError::QueueFull { used_bytes, limit_bytes, .. }) => {
                assert!(used_bytes.zip(limit_bytes).is_none_or(|(used, limit)| used + (1 << 20) > limit), "{error}");
                return sent;
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("the range is endless")
}

/// Takes this many messages of 1 MiB from a queue, and then whatever is left.
async fn emptied(fixture: &BrokerFixture, queue: &Queue, count: u64) -> Vec<String> {
    let consumer = fixture.windowed(queue, 1).await;
    for _ in 0..count {
        let delivery = next(&*consumer).await;
        assert_eq!(delivery.message.body.len(), 1 << 20);
        fixture.settle(&delivery).await;
    }
    drop(consumer);
    fixture.drained(queue).await
}

/// `publish`: `QueueFull`: nothing was sent to any of the topic's queues; once there is room, it succeeds.
pub async fn a_full_queue_is_queue_full_and_nothing_is_sent(fixture: &mut BrokerFixture) {
    let slow = fixture.made(Class::Flow, "a", "slow").await;
    let sent = fill(&**fixture.backend(), slow.topic()).await;
    let quick = fixture.made(Class::Flow, "a", "quick").await;
    let producer = fixture.backend().producer(slow.topic()).await.unwrap();
    let error = producer.publish_confirmed(large()).await.unwrap_err();
    assert!(matches!(&error, PubsubError::QueueFull { what, .. } if what.contains("slow")), "{error}");
    assert!(emptied(fixture, &slow, sent).await.is_empty());
    assert!(fixture.drained(&quick).await.is_empty(), "a message that was refused was sent to the other queue");
    fixture.publish(slow.topic(), &["room"]).await;
    for queue in [&slow, &quick] {
        assert_eq!(fixture.drained(queue).await, ["room"]);
    }
}

/// `publish`: a full queue of a `request` topic does not get the message; the message is refused only if no queue has room.
pub async fn a_full_queue_of_a_request_topic_misses_messages_of_the_others(fixture: &mut BrokerFixture) {
    let slow = fixture.made(Class::Request, "a", "slow").await;
    let sent = fill(&**fixture.backend(), slow.topic()).await;
    let quick = fixture.made(Class::Request, "a", "quick").await;
    let body = "x".repeat(1 << 20);
    fixture.publish(slow.topic(), &[&body, &body]).await;
    let sent_to_quick = 2 + fill(&**fixture.backend(), quick.topic()).await;
    assert!(emptied(fixture, &quick, sent_to_quick).await.is_empty());
    assert!(emptied(fixture, &slow, sent).await.is_empty());
}

/// `publish`: a request is refused if queues have exclusive consumers and none of these queues has room.
pub async fn a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full(fixture: &mut BrokerFixture) {
    let own = fixture.made(Class::Request, "a", "service").await;
    let window = NonZeroU32::MIN;
    let options = ConsumerOptions { sharing: Sharing::Exclusive, window, ..ConsumerOptions::default() };
    let service = fixture.backend().consumer(own.topic(), own.subscription(), options).await.unwrap();
    fill(&**fixture.backend(), own.topic()).await;
    let other = fixture.made(Class::Request, "a", "other").await;
    let producer = fixture.backend().producer(own.topic()).await.unwrap();
    let error = producer.publish_confirmed(large()).await.unwrap_err();
    assert!(matches!(&error, PubsubError::QueueFull { what, .. } if what.contains("service")), "{error}");
    fixture.settle(&next(&*service).await).await;
    fixture.publish(own.topic(), &["room"]).await;
    assert_eq!(text(&next(&*fixture.consumer(&other).await).await.message), "room", "what was refused was not sent");
}

/// `settle`: it never fails because a queue is full.
pub async fn a_settle_never_fails_for_a_full_queue(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let sent = fill(&**fixture.backend(), to.topic()).await;
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    fixture.settle_with(&delivery, vec![output(to.topic(), &"x".repeat(1 << 20), Routing::Required)]).await;
    drop(consumer);
    assert!(fixture.drained(&from).await.is_empty());
    assert!(emptied(fixture, &to, sent + 1).await.is_empty());
}

/// `settle`: never fails because a queue is full: one that drops its oldest messages does so.
pub async fn a_settle_into_a_drop_oldest_queue_drops_the_oldest(fixture: &mut BrokerFixture) {
    let bodies = ["1111", "2222", "3333", "4444"];
    let (from, to) = (fixture.filled("a", &bodies).await, fixture.queue(Class::Flow, "b", "reader"));
    let spec = QueueSpec { queue: to.clone(), overflow: Overflow::DropOldest { bytes: 10 } };
    fixture.backend().create_queue(&spec).await.unwrap();
    let consumer = fixture.consumer(&from).await;
    for body in bodies {
        let delivery = expect(&*consumer, body).await;
        let settled = fixture.settle_with(&delivery, vec![output(to.topic(), body, Routing::Required)]).await;
        assert_eq!(settled, Settled::Done { dropped_count: 0 });
    }
    let reader = fixture.windowed(&to, 1).await;
    let oldest = text(&next(&*reader).await.message);
    assert!(oldest == "3333" || oldest == "4444", "{oldest}");
}
