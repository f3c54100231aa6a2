//! Missing permissions: a forbidden operation is `Refused`, and works once permitted.

use futures_util::FutureExt;
use weir_pubsub::{Class, Consumer, ConsumerOptions, Delete, PubsubError, QueueSpec, Requester, Result, Routing, Settled};

use super::fixture::{BrokerFixture, expect, message, next, output, unsent};
use super::requests::requester;
use crate::wait::{DEADLINE, eventually, within};

/// Asserts that an operation was permanently refused, with an actionable reason.
fn assert_refused<T>(what: &str, outcome: Result<T>) {
    match outcome {
        Err(error @ PubsubError::Refused { .. }) => assert!(!error.is_transient() && !error.to_string().is_empty(), "{what}: {error}"),
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} was not refused"),
    }
}

/// `create_queue`, `ensure_queue`: `Refused`; afterwards the queue can be created.
pub async fn creating_a_queue_without_permission_is_refused(fixture: &mut BrokerFixture) {
    fixture.deny().await;
    for class in [Class::Flow, Class::Request] {
        let spec = QueueSpec::new(fixture.queue(class, "a", "reader"));
        assert_refused("create_queue", within("a refusal", fixture.backend().create_queue(&spec)).await);
        assert_refused("ensure_queue", within("a refusal", fixture.backend().ensure_queue(&spec)).await);
    }
    fixture.allow().await;
    let queue = fixture.queue(Class::Flow, "a", "reader");
    assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
    fixture.backend().ensure_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    fixture.publish(queue.topic(), &["1"]).await;
    assert_eq!(fixture.drained(&queue).await, ["1"]);
}

/// `delete_queue`: `Refused`; the queue is unchanged.
pub async fn deleting_a_queue_without_permission_is_refused(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1"]).await;
    let empty = fixture.made(Class::Flow, "b", "reader").await;
    fixture.deny().await;
    assert_refused("delete_queue", within("a refusal", fixture.backend().delete_queue(&queue, Delete::Always)).await);
    assert_refused("delete_queue if empty", within("a refusal", fixture.backend().delete_queue(&empty, Delete::IfEmpty)).await);
    fixture.allow().await;
    assert_eq!(fixture.drained(&queue).await, ["1"]);
    assert!(fixture.backend().queue_exists(&empty).await.unwrap());
}

/// `consumer`: `Refused`, on topics of every class; afterwards it can be read.
pub async fn subscribing_without_permission_is_refused(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1"]).await;
    fixture.made(Class::Request, "a", "reader").await;
    fixture.deny().await;
    for class in Class::ALL {
        let (topic, name) = (fixture.topic(class, "a"), queue.subscription());
        let consumer = within("a refusal", fixture.backend().consumer(&topic, name, ConsumerOptions::default())).await;
        assert_refused("consumer", consumer);
    }
    fixture.allow().await;
    expect(&*fixture.consumer(&queue).await, "1").await;
}

/// `producer`, `Confirm`: `Refused`, and nothing was stored; afterwards the same producer can be used.
pub async fn publishing_without_permission_is_refused(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let earlier = fixture.backend().producer(queue.topic()).await.unwrap();
    fixture.deny().await;
    assert_refused("publish", within("a refusal", earlier.publish_confirmed(message("1"))).await);
    let later = async { fixture.backend().producer(queue.topic()).await?.publish_confirmed(message("2")).await };
    assert_refused("publish of a later producer", within("a refusal", later).await);
    fixture.allow().await;
    let published = || async { earlier.publish_confirmed(message("3")).await.ok() };
    eventually(DEADLINE, "a publish", published).await;
    assert_eq!(fixture.drained(&queue).await, ["3"]);
}

/// `settle`: `Refused`; the delivery is still held then, and repeating the settle sends what was not sent.
pub async fn a_settle_without_permission_is_refused_and_the_delivery_stays_held(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in", "behind"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.windowed(&from, 1).await;
    let delivery = expect(&*consumer, "in").await;
    fixture.deny().await;
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    let unsettled = fixture.settle_fails(&delivery, outputs.clone()).await;
    assert_refused::<()>("settle", Err(unsettled.error.clone()));
    assert!(consumer.receive().now_or_never().is_none(), "it still fills the window");
    fixture.allow().await;
    assert_eq!(fixture.settle_with(&delivery, unsent(&unsettled, &outputs)).await, Settled::Done { dropped_count: 0 });
    expect(&*consumer, "behind").await;
    assert_eq!(fixture.drained(&to).await, ["out"]);
}

/// `Requester`: requests fail with `Refused`, not with a time-out, while the subscription to the answers is refused; later ones are
/// answered.
pub async fn a_request_whose_answer_cannot_be_subscribed_to_is_refused(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let requester = requester(fixture).await;
    fixture.deny().await;
    fixture.lose_connection().await;
    let refused = || async {
        match requester.begin(message("1"), DEADLINE).await.map(|_| ()) {
            Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. }) => None,
            refused => Some(refused),
        }
    };
    assert_refused("request", eventually(DEADLINE, "a refusal", refused).await);
    fixture.allow().await;
    answered(&requester, &*fixture.consumer_again(&queue).await, fixture).await;
}

/// Repeats a request until it is received and answered.
async fn answered(requester: &Requester, questions: &dyn Consumer, fixture: &BrokerFixture) {
    let asked = || async { requester.begin(message("question"), DEADLINE).await.ok() };
    let mut replies = eventually(DEADLINE, "a request", asked).await;
    let question = next(questions).await;
    let id = question.message.properties.get(weir_pubsub::CORRELATION_ID).unwrap();
    let producer = fixture.backend().producer(&fixture.topic(Class::Response, "a")).await.unwrap();
    producer.publish_confirmed(message("answer").with(weir_pubsub::CORRELATION_ID, id)).await.unwrap();
    assert_eq!(within("the answer", replies.next()).await.unwrap().unwrap().body, "answer");
}

/// `Recovery`: refused operations are retried, so that granting permissions later suffices.
pub async fn resubscribing_survives_a_refusal(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1"]).await;
    fixture.deny().await;
    let backend = fixture.backend().clone();
    let mut recovery = weir_pubsub::Recovery::of("reader");
    let subscribe = || backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default());
    assert_refused("the first try", recovery.attempt(subscribe).await);
    fixture.allow().await;
    expect(&*within("the subscription", recovery.get(subscribe)).await, "1").await;
}
