//! Requests: their expiry, and their answers through [`Requester`].

use std::time::Duration;

use weir_pubsub::{CORRELATION_ID, Class, Consumer, Message, PubsubError, Queue, Requester, WEIR_PART};

use super::fixture::{BrokerFixture, expect, message, next, text, texts};
use crate::wait::{DEADLINE, eventually, within};

/// A consumer that must exist before the messages it is to get, if requests do not wait for it.
pub(super) async fn early_consumer(fixture: &BrokerFixture, queue: &Queue) -> Option<Box<dyn Consumer>> {
    if fixture.queue_classes().contains(&queue.topic().class()) { None } else { Some(fixture.consumer(queue).await) }
}

/// That consumer, or one created now.
pub(super) async fn or_now(fixture: &BrokerFixture, queue: &Queue, early: Option<Box<dyn Consumer>>) -> Box<dyn Consumer> {
    match early {
        Some(consumer) => consumer,
        None => fixture.consumer(queue).await,
    }
}

/// `Message::expires_in`: it is not delivered after that.
pub async fn an_expired_request_is_not_delivered(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let early = early_consumer(fixture, &queue).await;
    producer.publish_confirmed(Message { expires_in: Some(Duration::ZERO), ..message("too late") }).await.unwrap();
    producer.publish_confirmed(message("in time")).await.unwrap();
    expect(&*or_now(fixture, &queue, early).await, "in time").await;
}

/// `Message::expires_in`: it is delivered until then.
pub async fn an_unexpired_request_is_delivered(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let early = early_consumer(fixture, &queue).await;
    for (body, time) in [("minutes", Duration::from_secs(600)), ("days", Duration::from_secs(86_400 * 30))] {
        producer.publish_confirmed(Message { expires_in: Some(time), ..message(body) }).await.unwrap();
    }
    assert_eq!(texts(&*or_now(fixture, &queue, early).await, 2).await, ["minutes", "days"]);
}

pub(super) async fn requester(fixture: &BrokerFixture) -> Requester {
    let (asked, answered) = (fixture.topic(Class::Request, "a"), fixture.topic(Class::Response, "a"));
    Requester::connect(fixture.backend().clone(), &asked, &answered, &"asker".parse().unwrap()).await.unwrap()
}

/// `Requester`: each takes only the answers that carry its own `id`.
pub async fn an_answer_reaches_its_requester(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let (one, other) = (requester(fixture).await, requester(fixture).await);
    let consumer = fixture.consumer(&queue).await;
    let answers = fixture.backend().producer(&fixture.topic(Class::Response, "a")).await.unwrap();
    let answering = async {
        let requests = [next(&*consumer).await, next(&*consumer).await];
        for request in requests.iter().rev() {
            let id = request.message.properties.get(CORRELATION_ID).unwrap();
            let answer = format!("answer to {}", text(&request.message));
            answers.publish_confirmed(message(&answer).with(CORRELATION_ID, id)).await.unwrap();
            fixture.settle(request).await;
        }
    };
    let asking = async { tokio::join!(one.request(message("1"), DEADLINE), other.request(message("2"), DEADLINE)) };
    let ((first, second), ()) = within("both answers", async { tokio::join!(asking, answering) }).await;
    assert_eq!((text(&first.unwrap()).as_str(), text(&second.unwrap()).as_str()), ("answer to 1", "answer to 2"));
}

/// `Replies::next`: the next part; `None` after the last one.
pub async fn an_answer_in_parts_arrives_in_parts(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let requester = requester(fixture).await;
    let early = early_consumer(fixture, &queue).await;
    let mut replies = requester.begin(message("all"), DEADLINE).await.unwrap();
    let request = next(&*or_now(fixture, &queue, early).await).await;
    let id = request.message.properties.get(CORRELATION_ID).unwrap();
    let answers = fixture.backend().producer(&fixture.topic(Class::Response, "a")).await.unwrap();
    for body in ["1", "2"] {
        answers.publish_confirmed(message(body).with(CORRELATION_ID, id).with(WEIR_PART, "more")).await.unwrap();
    }
    answers.publish_confirmed(message("3").with(CORRELATION_ID, id)).await.unwrap();
    for body in ["1", "2", "3"] {
        assert_eq!(text(&replies.next().await.unwrap().unwrap()), body);
    }
    assert_eq!(replies.next().await.unwrap(), None);
}

/// `Requester::request`: `TimedOut`; the request expires with its time-out, which begins when it is published.
pub async fn without_an_answer_a_request_times_out(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let (requester, consumer) = (requester(fixture).await, fixture.windowed(&queue, 1).await);
    let expired = || async {
        // It fills the window, so that the request waits in its queue.
        fixture.publish(queue.topic(), &["before"]).await;
        let before = expect(&*consumer, "before").await;
        let error = requester.request(message("too late"), Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(error, PubsubError::TimedOut { waited_ms: 1, .. }), "{error}");
        fixture.publish(queue.topic(), &["in time"]).await;
        fixture.settle(&before).await;
        let first = next(&*consumer).await;
        fixture.settle(&first).await;
        if text(&first.message) == "in time" {
            return Some(());
        }
        // It was delivered before it expired, as its time-out began later than its caller's.
        fixture.settle(&expect(&*consumer, "in time").await).await;
        None
    };
    eventually(DEADLINE, "a request that has expired", expired).await;
}

/// `Message::expires_in`: for requests only: it has no effect on topics of other classes.
pub async fn only_requests_expire(fixture: &mut BrokerFixture) {
    let late = || Message { expires_in: Some(Duration::ZERO), ..message("late") };
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    fixture.backend().producer(queue.topic()).await.unwrap().publish_confirmed(late()).await.unwrap();
    expect(&*fixture.consumer(&queue).await, "late").await;
    for class in [Class::Response, Class::Notify] {
        let topic = fixture.topic(class, "a");
        let subscriber = fixture.subscriber(&topic).await;
        fixture.backend().producer(&topic).await.unwrap().publish_confirmed(late()).await.unwrap();
        expect(&*subscriber, "late").await;
    }
}
