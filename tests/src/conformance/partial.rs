//! Partial losses: one of several connections, or the answers on all of them.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use weir_pubsub::{Class, ConsumerOptions, LockName, PubsubError, QueueSpec, Routing, Settled};

use super::fixture::{BrokerFixture, expect, message, next, output, publish_again};
use crate::wait::{DEADLINE, before, eventually, within};

/// "Lost connections": publishing may have its own connection: consumers, subscribers and locks do not notice the loss of that one alone.
pub async fn consumers_survive_the_loss_of_the_publishing_connection(fixture: &mut BrokerFixture) {
    let (queue, notices) = (fixture.filled("a", &["1", "2"]).await, fixture.topic(Class::Notify, "b"));
    let (consumer, subscriber) = (fixture.windowed(&queue, 1).await, fixture.subscriber(&notices).await);
    let tap = fixture.inspect().tap(queue.topic(), NonZeroU32::MIN).await.unwrap();
    let mut lock = fixture.backend().lock(&LockName::new("one", queue.topic().topicspace()).unwrap()).await.unwrap();
    let held = expect(&*consumer, "1").await;
    fixture.lose_publishing().await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    publish_again(&*producer, "3").await;
    fixture.settle(&held).await;
    for body in ["2", "3"] {
        fixture.settle(&expect(&*consumer, body).await).await;
    }
    expect(&*tap, "3").await;
    publish_again(&*fixture.backend().producer(&notices).await.unwrap(), "still there").await;
    expect(&*subscriber, "still there").await;
    assert!(fixture.is_waiting(lock.lost()).await);
}

/// "Lost connections": the same for publishing: no publish in flight is in doubt if only the consuming connection is lost.
pub async fn publishing_survives_the_loss_of_the_consuming_connection(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let (producer, consumer) = (fixture.backend().producer(queue.topic()).await.unwrap(), fixture.windowed(&queue, 1).await);
    let bodies: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    let mut confirms = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        confirms.push(within("a publish", producer.publish(message(body))).await.unwrap());
        if number == 50 {
            fixture.lose_consuming().await;
        }
    }
    for confirm in confirms {
        within("a confirmation", confirm).await.unwrap();
    }
    let ended = || async { matches!(consumer.receive().await, Err(PubsubError::Unavailable { .. })).then_some(()) };
    eventually(DEADLINE, "the end of the consumer", ended).await;
    drop(fixture.consumer_again(&queue).await);
    let mut found = fixture.drained(&queue).await;
    found.sort();
    assert_eq!(found, bodies);
}

/// The upper limit of "about ten seconds" on a busy machine.
const BOUNDED: Duration = Duration::from_secs(20);

/// "Lost connections": operations fail within a bounded time even if the broker does not answer over an open connection.
pub async fn unanswered_operations_end_within_a_bounded_time(fixture: &mut BrokerFixture) {
    let (queue, notify) = (fixture.filled("a", &["held"]).await, fixture.topic(Class::Notify, "a"));
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let consumer = fixture.consumer(&queue).await;
    let held = next(&*consumer).await;
    fixture.hold().await;
    let (backend, spec, options) = (fixture.backend().clone(), QueueSpec::new(queue.clone()), ConsumerOptions::default());
    let empty = std::slice::from_ref(&queue);
    let output = vec![output(queue.topic(), "out", Routing::Required)];
    let errors = join_all([
        async { ("create_queue", backend.create_queue(&spec).await.err()) }.boxed(),
        async { ("ensure_queue", backend.ensure_queue(&spec).await.err()) }.boxed(),
        async { ("queue_exists", backend.queue_exists(&queue).await.err()) }.boxed(),
        async { ("delete_queues_if_empty", backend.delete_queues_if_empty(empty).await.err()) }.boxed(),
        async { ("consumer", backend.consumer(queue.topic(), queue.subscription(), options).await.err()) }.boxed(),
        async { ("subscriber", backend.consumer(&notify, queue.subscription(), options).await.err()) }.boxed(),
        async { ("stats", backend.inspect().stats(&queue).await.err()) }.boxed(),
        async { ("tap", backend.inspect().tap(queue.topic(), NonZeroU32::MIN).await.err()) }.boxed(),
    ]);
    for (operation, error) in before(4 * BOUNDED, "the errors", errors).await {
        assert!(matches!(error, Some(PubsubError::Unavailable { .. })), "{operation}: {error:?}");
    }
    let settled = before(4 * BOUNDED, "a settle", backend.settle(&held.receipt, output)).await.map_err(|unsettled| unsettled.error);
    let is_answered =
        matches!(settled, Ok(Settled::NoLongerHeld) | Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. }));
    assert!(is_answered, "{settled:?}");
    let published = before(4 * BOUNDED, "a publish", producer.publish_confirmed(message("x"))).await;
    assert!(matches!(published, Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. })), "{published:?}");
    fixture.release().await;
    drop(consumer);
    let again = fixture.consumer_again(&queue).await;
    publish_again(&*producer, "later").await;
    drop(again);
    assert!(fixture.drained(&queue).await.contains(&"later".to_owned()));
}
