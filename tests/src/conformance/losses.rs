//! Lost connections: what consumers, producers, settles and requests observe, and that the backend reconnects automatically.

use std::collections::BTreeSet;
use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use weir_pubsub::{
    CORRELATION_ID, Class, Confirm, Consumer, ConsumerOptions, Delete, Delivery, Missing, Output, PubsubError, Queue, QueueSpec, Recovery,
    Requester, Result, Routing, Settled, Sharing, chain,
};

use super::fixture::{BrokerFixture, expect, message, next, output, publish_again, text};
use super::requests::requester;
use crate::wait::{DEADLINE, eventually, within};

fn is_unavailable<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(PubsubError::Unavailable { .. }))
}

/// A consumer of a topic of each class.
async fn one_of_each_class(fixture: &BrokerFixture) -> Vec<Box<dyn Consumer>> {
    let mut consumers = Vec::new();
    for class in Class::ALL {
        consumers.push(match class.has_queues() {
            true => fixture.consumer(&fixture.made(class, "a", "reader").await).await,
            false => fixture.subscriber(&fixture.topic(class, "a")).await,
        });
    }
    consumers
}

/// `receive`: `Unavailable` when the connection was lost: the consumer has ended.
pub async fn a_lost_connection_ends_consumers_with_unavailable(fixture: &mut BrokerFixture) {
    let consumers = one_of_each_class(fixture).await;
    let receiving = join_all(consumers.iter().map(|consumer| consumer.receive()));
    let readable = join_all(consumers.iter().map(|consumer| consumer.readable()));
    let (received, readable, ()) = within("the end", async { tokio::join!(receiving, readable, fixture.lose_connection()) }).await;
    assert!(received.iter().all(is_unavailable), "{received:?}");
    assert!(readable.iter().all(is_unavailable), "{readable:?}");
}

/// `tap`: it ends with the connection, like every consumer.
pub async fn a_lost_connection_ends_taps_with_unavailable(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let tap = fixture.inspect().tap(queue.topic(), NonZeroU32::MIN).await.unwrap();
    let (ended, ()) = within("the end", async { tokio::join!(tap.receive(), fixture.lose_connection()) }).await;
    assert!(is_unavailable(&ended), "{ended:?}");
    let _again = fixture.consumer_again(&queue).await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    publish_again(&*producer, "1").await;
    assert!(is_unavailable(&within("an answer", tap.receive()).await));
}

/// `receive`: every later call reports so again, even after the connection is restored.
pub async fn an_ended_consumer_stays_ended(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let consumer = fixture.consumer(&queue).await;
    fixture.lose_connection().await;
    let again = fixture.consumer_again(&queue).await;
    // Publishing may have its own connection, which is restored later.
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    publish_again(&*producer, "1").await;
    for _ in 0..3 {
        assert!(is_unavailable(&within("an answer", consumer.receive()).await));
        assert!(is_unavailable(&within("an answer", consumer.readable()).await));
    }
    expect(&*again, "1").await;
}

/// `receive`: no message is lost: messages the consumer held are redelivered.
pub async fn messages_of_a_lost_consumer_are_redelivered(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["1", "2", "3"]).await;
        let consumer = fixture.windowed(&queue, 2).await;
        let (first, _second) = (expect(&*consumer, "1").await, expect(&*consumer, "2").await);
        fixture.settle(&first).await;
        fixture.let_acknowledgements_arrive().await;
        fixture.lose_connection().await;
        let again = fixture.consumer_again(&queue).await;
        let mut bodies = [text(&next(&*again).await.message), text(&next(&*again).await.message)];
        bodies.sort();
        assert_eq!(bodies, ["2", "3"], "{class}");
        assert!(fixture.is_waiting(again.receive()).await, "what was settled does not come again");
    }
}

/// `receive`: settling what a lost consumer held, by the old receipt, is `NoLongerHeld`: its outputs are not sent, and requeueing it does
/// nothing.
pub async fn settling_a_delivery_of_a_lost_consumer_is_no_longer_held(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&from).await;
    let old = next(&*consumer).await;
    fixture.lose_connection().await;
    let again = fixture.consumer_again(&from).await;
    let held = expect(&*again, "in").await;
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    assert_eq!(fixture.settle_with(&old, outputs.clone()).await, Settled::NoLongerHeld);
    fixture.backend().requeue(&old.receipt).await.unwrap();
    assert!(fixture.is_waiting(again.receive()).await, "an old receipt takes nothing from the next holder");
    assert_eq!(fixture.settle_with(&held, outputs).await, Settled::Done { dropped_count: 0 });
    assert_eq!(fixture.drained(&to).await, ["out"]);
}

/// `PubsubError`: errors keep their sources: what the client library or the operating system reported about a loss.
pub async fn the_error_of_a_loss_keeps_its_source(fixture: &mut BrokerFixture) {
    let consumer = fixture.consumer(&fixture.made(Class::Flow, "a", "reader").await).await;
    let (ended, ()) = within("the end", async { tokio::join!(consumer.receive(), fixture.lose_connection()) }).await;
    for error in [ended.unwrap_err(), consumer.receive().await.unwrap_err()] {
        let source = error.source().unwrap_or_else(|| panic!("{error} has no source")).to_string();
        assert!(chain(&error).contains(&source) && error.is_transient(), "{error}");
    }
}

/// `Producer`: it survives the loss of a connection.
pub async fn producers_survive_a_loss(fixture: &mut BrokerFixture) {
    let (mut queues, mut producers) = (Vec::new(), Vec::new());
    for &class in fixture.queue_classes() {
        queues.push(fixture.made(class, "a", "reader").await);
        producers.push(fixture.backend().producer(&fixture.topic(class, "a")).await.unwrap());
    }
    for round in ["1", "2"] {
        fixture.lose_connection().await;
        for (queue, producer) in queues.iter().zip(&producers) {
            publish_again(&**producer, round).await;
            let consumer = fixture.consumer_again(queue).await;
            fixture.settle(&expect(&*consumer, round).await).await;
        }
        fixture.let_acknowledgements_arrive().await;
    }
}

/// `QueueHeld` while an exclusive consumer lives: a lost connection frees what was held exclusively, although its consumer has not been dropped.
pub async fn a_lost_connection_releases_exclusive_queues(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let exclusive = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
    let consumed = || async { fixture_consumer(fixture, &queue, exclusive).await.ok() };
    let _old = eventually(DEADLINE, "the queue", consumed).await;
    fixture.lose_connection().await;
    let again = || async {
        fixture.backend().ensure_queue(&QueueSpec::new(queue.clone())).await.ok()?;
        fixture_consumer(fixture, &queue, exclusive).await.ok()
    };
    let next_one = eventually(DEADLINE, "the queue again", again).await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    publish_again(&*producer, "for the next one").await;
    expect(&*next_one, "for the next one").await;
}

async fn fixture_consumer(fixture: &BrokerFixture, queue: &Queue, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
    fixture.backend().consumer(queue.topic(), queue.subscription(), options).await
}

/// `publish_repeated`: a message is resent until the broker has confirmed it; it may be stored more than once.
pub async fn a_message_is_republished_until_it_is_confirmed(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    fixture.disconnect().await;
    let mut publish = producer.publish_repeated(message("1"), DEADLINE).boxed();
    assert!(publish.as_mut().now_or_never().is_none(), "it is not published without a connection");
    fixture.reconnect().await;
    within("a publish", publish).await.unwrap();
    drop(fixture.consumer_again(&queue).await);
    let mut found = fixture.drained(&queue).await;
    found.dedup();
    assert_eq!(found, ["1"]);
}

/// `publish_repeated`: the last error when the time-out expires; and immediately an error that another publish would not change.
pub async fn republishing_ends_at_its_time_out_or_a_refusal(fixture: &mut BrokerFixture) {
    let missing = fixture.backend().producer(&fixture.topic(Class::Flow, "missing")).await.unwrap();
    let refused = within("a refusal", missing.publish_repeated(message("1"), 100 * DEADLINE)).await;
    assert!(matches!(refused, Err(PubsubError::QueueNotFound { .. })), "{refused:?}");
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    fixture.disconnect().await;
    let ended = within("the end", producer.publish_repeated(message("1"), Duration::from_millis(100))).await;
    assert!(matches!(ended, Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. })), "{ended:?}");
}

/// The outcome of a publish in two stages.
async fn outcome(publish: Result<Confirm>) -> Result<()> {
    within("a confirmation", publish?).await
}

/// `Confirm`: a message published but not confirmed when the connection was lost is `OutcomeUnknown`, or stored: a confirmed message is
/// stored, one that is `Unavailable` is not, and their order is that of their publishes.
pub async fn unconfirmed_messages_of_a_lost_connection_are_stored_or_in_doubt(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let mut published = Vec::new();
    for n in 100..400 {
        published.push(match n {
            // In flight.
            200 => tokio::join!(producer.publish(message(n)), fixture.lose_connection()).0,
            _ => producer.publish(message(n)).await,
        });
        if n == 300 {
            fixture.lose_connection().await;
        }
    }
    let (mut stored, mut refused) = (Vec::new(), Vec::new());
    for (publish, n) in published.into_iter().zip(100..) {
        match outcome(publish).await {
            Ok(()) => stored.push(n.to_string()),
            Err(PubsubError::Unavailable { .. }) => refused.push(n.to_string()),
            Err(PubsubError::OutcomeUnknown { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    publish_again(&*producer, "connected").await;
    let mut found = fixture.drained(&queue).await;
    found.retain(|body| body != "connected");
    assert!(stored.iter().all(|body| found.contains(body)), "confirmed and lost: {stored:?}, of {found:?}");
    assert!(!refused.iter().any(|body| found.contains(body)), "refused and stored: {refused:?}, of {found:?}");
    // A backend may resend an unconfirmed message, so that it is stored twice.
    let mut seen = BTreeSet::new();
    found.retain(|body| seen.insert(body.clone()));
    assert!(found.is_sorted(), "{found:?}");
}

/// Settles a delivery while the connection is lost after this many turns of other tasks; returns the outputs reported as sent, or `None` if
/// the delivery was no longer held.
async fn settle_beside_a_loss(
    fixture: &mut BrokerFixture,
    delivery: &Delivery,
    outputs: &[Output],
    turns_count: usize,
) -> Option<Vec<String>> {
    let settle = fixture.backend().settle(&delivery.receipt, outputs.to_vec());
    let cut = async {
        for _ in 0..turns_count {
            tokio::task::yield_now().await;
        }
        fixture.lose_connection().await;
    };
    let (outcome, ()) = within("a settle", async { tokio::join!(settle, cut) }).await;
    let unsent = match outcome {
        Ok(Settled::Done { dropped_count: 0 }) => Vec::new(),
        Ok(Settled::Done { .. }) => panic!("every output has a queue"),
        Ok(Settled::NoLongerHeld) => return None,
        Err(unsettled) => unsettled.unsent,
    };
    let sent = outputs.iter().enumerate().filter(|(proxies, _)| !unsent.contains(proxies));
    Some(sent.map(|(_, output)| text(&output.message)).collect())
}

/// `settle`, `Unsettled::unsent`: outputs not named by a settle that is interrupted by a loss are stored, and if an output is missing, the
/// message is redelivered.
pub async fn a_settle_interrupted_by_a_lost_connection_loses_nothing(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.made(Class::Flow, "a", "reader").await, fixture.made(Class::Flow, "b", "reader").await);
    let producer = fixture.backend().producer(from.topic()).await.unwrap();
    for round in 0..12 {
        publish_again(&*producer, "in").await;
        let consumer = fixture.consumer_again(&from).await;
        let delivery = expect(&*consumer, "in").await;
        let outputs = ["1", "2", "3"].map(|body| output(to.topic(), body, Routing::Required));
        let sent = settle_beside_a_loss(fixture, &delivery, &outputs, round * 2).await;
        drop(consumer);
        drop(fixture.consumer_again(&to).await);
        let found = fixture.drained(&to).await;
        match sent {
            None => assert!(found.is_empty(), "round {round}: no longer held, and {found:?} were sent"),
            Some(sent) => assert!(sent.iter().all(|body| found.contains(body)), "round {round}: {sent:?} reported, {found:?} found"),
        }
        let again = fixture.drained(&from).await;
        let is_whole = outputs.iter().all(|output| found.contains(&text(&output.message)));
        assert!(is_whole || again == ["in"], "round {round}: {found:?} found, and {again:?} came again");
    }
}

/// "Lost connections": meanwhile operations fail with `Unavailable`, within a bounded time; the backend reconnects automatically. `failed`:
/// it has not failed permanently.
pub async fn operations_are_unavailable_until_the_connection_is_restored(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let consumer = fixture.consumer(&queue).await;
    fixture.publish(queue.topic(), &["held"]).await;
    let held = next(&*consumer).await;
    fixture.disconnect().await;
    assert!(is_unavailable(&within("the loss", consumer.receive()).await));
    let (backend, spec) = (fixture.backend(), QueueSpec::new(queue.clone()));
    assert!(backend.failed().now_or_never().is_none(), "the broker may come back");
    let (options, notify) = (ConsumerOptions::default(), fixture.topic(Class::Notify, "a"));
    let errors = within("the errors", async {
        [
            ("create_queue", backend.create_queue(&spec).await.err()),
            ("ensure_queue", backend.ensure_queue(&spec).await.err()),
            ("delete_queue", backend.delete_queue(&queue, Delete::Always).await.err()),
            ("delete_queue if empty", backend.delete_queue(&queue, Delete::IfEmpty).await.err()),
            ("queue_exists", backend.queue_exists(&queue).await.err()),
            ("delete_queues_if_empty", backend.delete_queues_if_empty(std::slice::from_ref(&queue)).await.err()),
            ("consumer", backend.consumer(queue.topic(), queue.subscription(), options).await.err()),
            ("subscriber", backend.consumer(&notify, queue.subscription(), options).await.err()),
            ("requeue", backend.requeue(&held.receipt).await.err()),
            ("stats", backend.inspect().stats(&queue).await.err()),
            ("tap", backend.inspect().tap(queue.topic(), NonZeroU32::MIN).await.err()),
        ]
    })
    .await;
    for (operation, error) in errors {
        assert!(matches!(error, Some(PubsubError::Unavailable { .. })), "{operation}: {error:?}");
    }
    for topic in [queue.topic(), &notify] {
        let later = async { backend.producer(topic).await?.publish_confirmed(message("away")).await };
        let (refused, later) = within("a refusal", async { tokio::join!(producer.publish_confirmed(message("away")), later) }).await;
        for refused in [refused, later] {
            assert!(matches!(refused, Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. })), "{refused:?}");
        }
    }
    match within("a settle", backend.settle(&held.receipt, Vec::new())).await {
        Ok(settled) => assert_eq!(settled, Settled::NoLongerHeld),
        Err(unsettled) => assert!(matches!(unsettled.error, PubsubError::Unavailable { .. }), "{unsettled}"),
    }
    fixture.reconnect().await;
    let again = fixture.consumer_again(&queue).await;
    expect(&*again, "held").await;
}

/// `outage`: what keeps the broker from working, for display; `None` while nothing does.
pub async fn an_unreachable_broker_is_reported_until_it_returns(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    assert_eq!(fixture.backend().outage(), None);
    fixture.disconnect().await;
    let outage = || async { fixture.backend().outage() };
    let said = eventually(DEADLINE, "the trouble", outage).await;
    assert!(!said.is_empty() && !said.contains("secret"), "{said}");
    fixture.reconnect().await;
    let _consumer = fixture.consumer_again(&queue).await;
    let is_well = || async { fixture.backend().outage().is_none().then_some(()) };
    eventually(DEADLINE, "the end of the trouble", is_well).await;
}

/// Answers every request of a queue with a text made of its body, across losses; `first` is the first consumer.
async fn serve(fixture: &BrokerFixture, queue: &Queue, first: Box<dyn Consumer>) {
    let producer = || async { fixture.backend().producer(&fixture.topic(Class::Response, "a")).await.ok() };
    let answers = eventually(DEADLINE, "the connection", producer).await;
    let mut recovery = Recovery::of("server of requests");
    let mut consumer = first;
    loop {
        while let Ok(request) = consumer.receive().await {
            let id = request.message.properties.get(CORRELATION_ID).unwrap();
            let answer = message(format!("answer to {}", text(&request.message))).with(CORRELATION_ID, id);
            // An answer that fails here is lost with its request, which fails, too.
            let _ = answers.publish_confirmed(answer).await;
            let _ = fixture.backend().settle(&request.receipt, Vec::new()).await;
        }
        consumer = recovery.get(|| fixture.backend().consumer(queue.topic(), queue.subscription(), ConsumerOptions::default())).await;
    }
}

/// The answer to a request that is repeated while it fails because of losses.
async fn answer(requester: &Requester, question: &str) -> String {
    let asked = || async {
        match requester.request(message(question), DEADLINE).await {
            Ok(answer) => Some(text(&answer)),
            Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    };
    eventually(DEADLINE, "an answer", asked).await
}

/// `Requester`: it survives lost connections: requests in flight fail with `Unavailable` and the cause, later ones are answered.
pub async fn pending_requests_fail_on_a_lost_connection_and_later_ones_are_answered(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let requester = requester(fixture).await;
    for round in 0..3 {
        let begin = || async { requester.begin(message("lost"), DEADLINE).await.ok() };
        let mut replies = eventually(DEADLINE, "the connection", begin).await;
        fixture.lose_connection().await;
        let error = within("the end of the request", replies.next()).await.unwrap_err();
        assert!(matches!(error, PubsubError::Unavailable { source: Some(_), .. }), "with its cause: {error:?}");
        assert_eq!(replies.next().await.unwrap(), None);
        let question = round.to_string();
        // It exists before the first request: not every broker keeps requests for it.
        let server = fixture.consumer_again(&queue).await;
        let answered = tokio::select! {
            () = serve(fixture, &queue, server) => unreachable!("it serves until it is dropped"),
            answered = answer(&requester, &question) => answered,
        };
        assert_eq!(answered, format!("answer to {round}"));
    }
}

/// "Lost connections": a restarted broker has no `request` queues, and their owner ensures them; `flow` queues exist.
pub async fn request_queues_are_lost_on_a_broker_restart_and_ensured_by_their_owner(fixture: &mut BrokerFixture) {
    let (asked, kept) = (fixture.made(Class::Request, "a", "reader").await, fixture.filled("b", &["kept"]).await);
    let producer = fixture.backend().producer(asked.topic()).await.unwrap();
    let consumer = fixture.windowed(&asked, 1).await;
    producer.publish_confirmed(message("gone")).await.unwrap();
    expect(&*consumer, "gone").await;
    fixture.restart_beneath().await;
    let error = within("the end", consumer.receive()).await.unwrap_err();
    assert!(matches!(error, PubsubError::Unavailable { .. }), "a lost connection, and not a deleted queue: {error}");
    let survivor = fixture.consumer_again(&kept).await;
    expect(&*survivor, "kept").await;
    assert!(!fixture.backend().queue_exists(&asked).await.unwrap());
    let refused = || async {
        match producer.publish_confirmed(message("too early")).await {
            Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. }) => None,
            refused => Some(refused),
        }
    };
    let error = eventually(DEADLINE, "an answer", refused).await.unwrap_err();
    assert!(matches!(&error, PubsubError::QueueNotFound { missing: Missing::QueueOf(topic) } if topic == asked.topic()), "{error}");
    fixture.backend().ensure_queue(&QueueSpec::new(asked.clone())).await.unwrap();
    let again = fixture.consumer(&asked).await;
    publish_again(&*producer, "new").await;
    expect(&*again, "new").await;
}

/// `Recovery`: it retries with backoff until the broker is reachable.
pub async fn resubscribing_waits_for_the_broker(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1"]).await;
    fixture.disconnect().await;
    let backend = fixture.backend().clone();
    let mut recovery = Recovery::of("reader");
    let subscribing = recovery.get(|| backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()));
    let subscribed = async {
        let (consumer, ()) = tokio::join!(subscribing, fixture.reconnect());
        consumer
    };
    expect(&*within("the subscription", subscribed).await, "1").await;
}
