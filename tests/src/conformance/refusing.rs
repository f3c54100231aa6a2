//! Queues that refuse messages above a limit of their own.

use weir_pubsub::{Class, Overflow, PubsubError, Queue, QueueSpec, Routing};

use super::fixture::{BrokerFixture, expect, message, output, texts, unsent};
use crate::wait::within;

fn bounded(queue: &Queue, bytes: u64) -> QueueSpec {
    QueueSpec { queue: queue.clone(), overflow: Overflow::Refuse { bytes } }
}

pub(super) async fn made(fixture: &BrokerFixture, name: &str, bytes: u64) -> Queue {
    let queue = fixture.queue(Class::Flow, name, "reader");
    fixture.backend().create_queue(&bounded(&queue, bytes)).await.unwrap();
    queue
}

async fn is_full(fixture: &BrokerFixture, queue: &Queue, body: &str) -> bool {
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    match within("a publish", producer.publish_confirmed(message(body))).await {
        Ok(()) => false,
        Err(PubsubError::QueueFull { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

/// Publishes until the queue refuses; returns how many messages it accepted.
pub(super) async fn fill(fixture: &BrokerFixture, queue: &Queue) -> usize {
    for count in 0..64 {
        if is_full(fixture, queue, &format!("{count:04}")).await {
            return count;
        }
    }
    panic!("{queue} refuses nothing");
}

/// `Overflow::Refuse`: above its limit it refuses messages with `QueueFull`; nothing is dropped, and once there is room it accepts again.
pub async fn a_refusing_queue_refuses_above_its_bound_and_drops_nothing(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.queue(class, "a", "reader");
        fixture.backend().create_queue(&bounded(&queue, 10)).await.unwrap();
        let count = fill(fixture, &queue).await;
        assert!(count > 0 && is_full(fixture, &queue, "0000").await);
        let consumer = fixture.windowed(&queue, 1).await;
        for number in 0..count {
            fixture.settle(&expect(&*consumer, &format!("{number:04}")).await).await;
        }
        assert!(!is_full(fixture, &queue, "last").await, "messages were removed");
        expect(&*consumer, "last").await;
    }
}

/// `Overflow::Refuse`: the message that would exceed the limit, counted to the byte, is refused.
pub async fn a_refusing_queue_refuses_exactly_at_its_bound(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.queue(class, "a", "reader");
        fixture.backend().create_queue(&bounded(&queue, 10)).await.unwrap();
        fixture.publish(queue.topic(), &["1234", "5678"]).await;
        assert!(is_full(fixture, &queue, "901").await && !is_full(fixture, &queue, "90").await);
        assert!(is_full(fixture, &queue, "x").await);
        let consumer = fixture.windowed(&queue, 1).await;
        fixture.settle(&expect(&*consumer, "1234").await).await;
        assert!(!is_full(fixture, &queue, "x").await, "a message was removed");
        for body in ["5678", "90", "x"] {
            fixture.settle(&expect(&*consumer, body).await).await;
        }
    }
}

/// `publish`: a full queue of a `flow` topic refuses the message for all queues of the topic.
pub async fn a_message_refused_by_one_queue_of_a_topic_reaches_no_other(fixture: &mut BrokerFixture) {
    let queue = made(fixture, "a", 10).await;
    let other = fixture.made(Class::Flow, "a", "other").await;
    let count = fill(fixture, &queue).await;
    let consumer = fixture.windowed(&queue, 1).await;
    let mut bodies: Vec<String> = (0..count).map(|number| format!("{number:04}")).collect();
    for body in &bodies {
        fixture.settle(&expect(&*consumer, body).await).await;
    }
    fixture.publish(queue.topic(), &["last"]).await;
    bodies.push("last".to_owned());
    assert_eq!(texts(&*fixture.consumer(&other).await, bodies.len()).await, bodies);
}

/// `Overflow`: an empty queue accepts a message of any size.
pub async fn an_empty_queue_accepts_a_message_above_its_bound(fixture: &mut BrokerFixture) {
    let queue = made(fixture, "a", 4).await;
    assert!(!is_full(fixture, &queue, "123456").await);
    assert!(is_full(fixture, &queue, "1").await);
    assert_eq!(texts(&*fixture.consumer(&queue).await, 1).await, ["123456"]);
}

/// `settle`: `QueueFull` for an output to a queue that refuses it; the delivery is still held then.
pub async fn a_settle_into_a_refusing_queue_is_queue_full_and_the_delivery_stays_held(fixture: &mut BrokerFixture) {
    let (from, letters, other) =
        (fixture.filled("a", &["in", "behind"]).await, made(fixture, "letters", 6).await, fixture.made(Class::Flow, "b", "reader").await);
    let count = fill(fixture, &letters).await;
    let consumer = fixture.windowed(&from, 1).await;
    let delivery = expect(&*consumer, "in").await;
    let outputs = vec![output(other.topic(), "out", Routing::Required), output(letters.topic(), "5678", Routing::Optional)];
    let unsettled = fixture.settle_fails(&delivery, outputs.clone()).await;
    assert!(matches!(&unsettled.error, PubsubError::QueueFull { what, .. } if what.contains("letters")), "{unsettled}");
    assert!(fixture.is_waiting(consumer.receive()).await, "it still fills the window");
    let reader = fixture.windowed(&letters, 1).await;
    for number in 0..count {
        fixture.settle(&expect(&*reader, &format!("{number:04}")).await).await;
    }
    fixture.settle_with(&delivery, unsent(&unsettled, &outputs)).await;
    expect(&*reader, "5678").await;
    assert_eq!(fixture.drained(&other).await, ["out"]);
}

/// `settle`: one atomic write: if a queue refuses one output, none of them is sent.
pub async fn a_settle_into_a_refusing_queue_sends_nothing(fixture: &mut BrokerFixture) {
    let (from, letters, other) =
        (fixture.filled("a", &["in"]).await, made(fixture, "letters", 6).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.windowed(&from, 1).await;
    let delivery = expect(&*consumer, "in").await;
    let outputs = vec![
        output(other.topic(), "out", Routing::Required),
        output(letters.topic(), "1234", Routing::Required),
        output(letters.topic(), "5678", Routing::Optional),
    ];
    let unsettled = fixture.settle_fails(&delivery, outputs.clone()).await;
    assert!(
        matches!(unsettled.error, PubsubError::QueueFull { used_bytes: None | Some(4), limit_bytes: None | Some(6), .. }),
        "{unsettled}"
    );
    assert_eq!(unsettled.unsent, [0, 1, 2]);
    assert!(fixture.drained(&other).await.is_empty());
    fixture.settle_with(&delivery, outputs[..2].to_vec()).await;
    expect(&*fixture.consumer(&letters).await, "1234").await;
    assert_eq!(fixture.drained(&other).await, ["out"]);
}

/// `ensure_queue`: a queue without a limit, or with another refusing one, durably gets the refusing limit of the specification.
pub async fn ensuring_changes_a_refusing_bound_permanently(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["1234", "5678"]).await;
        for (bytes, expected) in [(8, true), (9, false), (3, true)] {
            fixture.backend().ensure_queue(&bounded(&queue, bytes)).await.unwrap();
            assert_eq!(is_full(fixture, &queue, "x").await, expected, "{bytes}");
        }
        let error = fixture.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueMismatch { .. }), "{error}");
    }
    fixture.restart().await;
    let queue = fixture.queue(Class::Flow, "a", "reader");
    fixture.backend().create_queue(&bounded(&queue, 3)).await.unwrap();
    assert!(is_full(fixture, &queue, "x").await);
    fixture.backend().ensure_queue(&bounded(&queue, 100)).await.unwrap();
    assert_eq!(fixture.drained(&queue).await, ["1234", "5678", "x"], "what is there stays");
}
