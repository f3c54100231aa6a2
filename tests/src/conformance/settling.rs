//! Settles: an acknowledgement and its outputs.

use futures_util::future::join_all;
use weir_pubsub::{Class, Message, MessageId, Missing, Output, PubsubError, Routing, Settled, Topic};

use super::fixture::{BrokerFixture, expect, message, next, output, text, texts, unsent};
use super::requests::{early_consumer, or_now};
use crate::wait::within;

/// `Settled::Done`: the message is gone from its queue.
pub async fn a_settled_message_is_gone(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["1", "2", "3"]).await;
        let consumer = fixture.consumer(&queue).await;
        let (first, second) = (next(&*consumer).await, next(&*consumer).await);
        fixture.settle(&second).await;
        fixture.settle(&first).await;
        drop(consumer);
        assert_eq!(fixture.drained(&queue).await, ["3"]);
    }
}

/// `settle`: acknowledges a delivery together with sending its outputs; each goes to every queue of its topic.
pub async fn a_settle_sends_its_outputs_to_every_queue(fixture: &mut BrokerFixture) {
    let from = fixture.filled("a", &["in"]).await;
    let to = [fixture.made(Class::Flow, "b", "one").await, fixture.made(Class::Flow, "b", "two").await];
    let other = fixture.made(Class::Flow, "c", "reader").await;
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let outputs = vec![output(to[0].topic(), "out", Routing::Required), output(other.topic(), "aside", Routing::Optional)];
    assert_eq!(fixture.settle_with(&delivery, outputs).await, Settled::Done { dropped_count: 0 });
    drop(consumer);
    for queue in &to {
        assert_eq!(fixture.drained(queue).await, ["out"]);
    }
    assert_eq!(fixture.drained(&other).await, ["aside"]);
    assert!(fixture.drained(&from).await.is_empty());
}

/// `settle`: outputs are sent in their order, with their own ids and properties, and their first delivery is number 1.
pub async fn outputs_keep_their_order_and_ids(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let source = fixture.consumer(&from).await;
    let delivery = next(&*source).await;
    let message = |n: u32| Message { id: Some(MessageId(n.into())), ..Message::new(n.to_string()).with("n", n.to_string()) };
    let outputs = (0..100).map(|n| Output { topic: to.topic().clone(), message: message(n), routing: Routing::Required }).collect();
    fixture.settle_with(&delivery, outputs).await;
    let consumer = fixture.consumer(&to).await;
    for n in 0..100 {
        let delivery = next(&*consumer).await;
        assert_eq!((&delivery.message, delivery.delivery_count.at_least()), (&message(n), 1));
    }
}

/// `settle`: settles take effect in the order of the calls.
pub async fn settles_take_effect_in_the_order_of_the_calls(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["1", "2", "3", "4"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&from).await;
    let mut settles = Vec::new();
    for _ in 0..4 {
        let delivery = next(&*consumer).await;
        let out = output(to.topic(), &text(&delivery.message), Routing::Required);
        settles.push(fixture.backend().settle(&delivery.receipt, vec![out]));
    }
    while let Some(settle) = settles.pop() {
        assert_eq!(within("a settle", settle).await.unwrap(), Settled::Done { dropped_count: 0 });
    }
    assert_eq!(texts(&*fixture.consumer(&to).await, 4).await, ["1", "2", "3", "4"]);
}

/// `settle`: the future only waits for the outcome, and dropping it changes nothing.
pub async fn dropping_the_future_of_a_settle_changes_nothing(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["1", "2"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&from).await;
    let (first, second) = (next(&*consumer).await, next(&*consumer).await);
    drop(fixture.backend().settle(&first.receipt, vec![output(to.topic(), "one", Routing::Required)]));
    fixture.settle_with(&second, vec![output(to.topic(), "two", Routing::Required)]).await;
    assert_eq!(texts(&*fixture.consumer(&to).await, 2).await, ["one", "two"]);
    assert_eq!(fixture.settle_with(&first, vec![]).await, Settled::NoLongerHeld);
    drop(consumer);
    assert!(fixture.drained(&from).await.is_empty());
}

/// `settle`: a settle that fails unawaited loses nothing: its delivery is still held, or requeued.
pub async fn an_unawaited_settle_that_fails_loses_nothing(fixture: &mut BrokerFixture) {
    let from = fixture.filled("a", &["in"]).await;
    let missing = fixture.topic(Class::Flow, "missing");
    let consumer = fixture.consumer(&from).await;
    let delivery = expect(&*consumer, "in").await;
    drop(fixture.backend().settle(&delivery.receipt, vec![output(&missing, "out", Routing::Required)]));
    fixture.let_acknowledgements_arrive().await;
    drop(consumer);
    fixture.settle(&expect(&*fixture.consumer(&from).await, "in").await).await;
}

/// `settle`: may be repeated: what is no longer held is left alone.
pub async fn settling_again_is_no_longer_held(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let (from, to) = (fixture.made(class, "a", "reader").await, fixture.made(Class::Flow, &format!("to-{class}"), "reader").await);
        fixture.publish(from.topic(), &["in"]).await;
        let consumer = fixture.consumer(&from).await;
        let delivery = next(&*consumer).await;
        let outputs = vec![output(to.topic(), "out", Routing::Required)];
        assert_eq!(fixture.settle_with(&delivery, outputs.clone()).await, Settled::Done { dropped_count: 0 });
        assert_eq!(fixture.settle_with(&delivery, outputs).await, Settled::NoLongerHeld);
        assert_eq!(fixture.drained(&to).await, ["out"]);
    }
}

/// `Receipt`: it stays valid until the message is requeued.
pub async fn settling_a_requeued_delivery_is_no_longer_held(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    fixture.backend().requeue(&delivery.receipt).await.unwrap();
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    assert_eq!(fixture.settle_with(&delivery, outputs).await, Settled::NoLongerHeld);
    assert!(fixture.drained(&to).await.is_empty());
    fixture.settle(&expect(&*consumer, "in").await).await;
}

/// `Receipt`: it stays valid until the consumer is dropped: a delivery now held by another consumer is left alone.
pub async fn settling_a_delivery_now_held_by_another_is_no_longer_held(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let first_holder = fixture.consumer(&from).await;
    let old = next(&*first_holder).await;
    drop(first_holder);
    let second_holder = fixture.consumer(&from).await;
    let held = expect(&*second_holder, "in").await;
    assert_ne!(old.receipt, held.receipt);
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    assert_eq!(fixture.settle_with(&old, outputs.clone()).await, Settled::NoLongerHeld);
    assert_eq!(fixture.settle_with(&held, outputs).await, Settled::Done { dropped_count: 0 });
    assert_eq!(fixture.drained(&to).await, ["out"]);
}

/// `Receipt`: it stays valid until the consumer is dropped: a settle after that takes effect, or the message is redelivered, and never
/// both.
pub async fn a_settle_after_its_consumer_closed_takes_effect_or_the_message_is_redelivered(fixture: &mut BrokerFixture) {
    for round in 0..10 {
        let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
        let consumer = fixture.consumer(&from).await;
        let delivery = next(&*consumer).await;
        drop(consumer);
        let settled = fixture.settle_with(&delivery, vec![output(to.topic(), "out", Routing::Required)]).await;
        let found = (fixture.drained(&from).await, fixture.drained(&to).await);
        let expected = match settled {
            Settled::Done { .. } => (vec![], vec!["out".to_owned()]),
            Settled::NoLongerHeld => (vec!["in".to_owned()], vec![]),
        };
        assert_eq!(found, expected, "round {round}: {settled:?}");
    }
}

/// `Receipt::none`: for a delivery that needs no settling; settling it does nothing.
pub async fn settling_a_message_that_requires_none_does_nothing(fixture: &mut BrokerFixture) {
    let (topic, to) = (fixture.topic(Class::Notify, "a"), fixture.made(Class::Flow, "b", "reader").await);
    let subscriber = fixture.subscriber(&topic).await;
    fixture.publish(&topic, &["1"]).await;
    let delivery = expect(&*subscriber, "1").await;
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    assert!(!delivery.receipt.is_some());
    assert_eq!(fixture.settle_with(&delivery, outputs).await, Settled::NoLongerHeld);
    fixture.backend().requeue(&delivery.receipt).await.unwrap();
    fixture.publish(&topic, &["2"]).await;
    expect(&*subscriber, "2").await;
    assert!(fixture.drained(&to).await.is_empty());
}

/// `acknowledge`: several deliveries in the order given; one future for each, also for one that is no longer held.
pub async fn several_deliveries_are_acknowledged_together(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3", "4"]).await;
    let consumer = fixture.windowed(&queue, 4).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(&*consumer).await);
    }
    fixture.settle(&held[1]).await;
    let receipts: Vec<_> = held[..3].iter().map(|delivery| delivery.receipt).collect();
    let outcomes = within("the acknowledgements", join_all(fixture.backend().acknowledge(&receipts))).await;
    let outcomes: Vec<Settled> = outcomes.into_iter().map(|outcome| outcome.unwrap()).collect();
    assert_eq!(outcomes, [Settled::Done { dropped_count: 0 }, Settled::NoLongerHeld, Settled::Done { dropped_count: 0 }]);
    assert!(fixture.backend().acknowledge(&[]).is_empty());
    drop(consumer);
    expect(&*fixture.consumer(&queue).await, "4").await;
}

/// `Routing::Optional`: without a queue the message is dropped and counted.
pub async fn an_optional_output_without_a_queue_is_dropped_and_counted(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let unread = fixture.topic(Class::Flow, "unread");
    let outputs = vec![
        output(&unread, "lost", Routing::Optional),
        output(to.topic(), "kept", Routing::Optional),
        output(&unread, "lost too", Routing::Optional),
    ];
    assert_eq!(fixture.settle_with(&delivery, outputs).await, Settled::Done { dropped_count: 2 });
    drop(consumer);
    assert_eq!(fixture.drained(&to).await, ["kept"]);
    assert!(fixture.drained(&from).await.is_empty());
}

fn assert_without_queue(error: &PubsubError, topic: &Topic) {
    assert!(matches!(error, PubsubError::QueueNotFound { missing: Missing::QueueOf(named) } if named == topic), "{error}");
}

/// `settle`: `QueueNotFound`, naming the topic, if an output with `Routing::Required` has no queue; the delivery is still held then.
pub async fn a_required_output_without_a_queue_is_queue_not_found_and_the_delivery_stays_held(fixture: &mut BrokerFixture) {
    let from = fixture.filled("a", &["in", "behind"]).await;
    let consumer = fixture.windowed(&from, 1).await;
    let delivery = expect(&*consumer, "in").await;
    let to = fixture.queue(Class::Flow, "b", "reader");
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    let unsettled = fixture.settle_fails(&delivery, outputs.clone()).await;
    assert_without_queue(&unsettled.error, to.topic());
    assert_eq!(unsettled.unsent, [0]);
    assert!(fixture.is_waiting(consumer.receive()).await, "it still fills the window");
    fixture.made(Class::Flow, "b", "reader").await;
    assert_eq!(fixture.settle_with(&delivery, outputs).await, Settled::Done { dropped_count: 0 });
    assert_eq!(fixture.drained(&to).await, ["out"]);
}

/// `settle`: `TooLarge`; the delivery is still held then, and no output was sent.
pub async fn an_output_over_the_limit_is_too_large_and_the_delivery_stays_held(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let small = output(to.topic(), "small", Routing::Required);
    let mut large = output(to.topic(), "", Routing::Required);
    large.message.body = vec![b'x'; fixture.backend().limits().max_message_bytes + 1].into();
    let unsettled = fixture.settle_fails(&delivery, vec![small.clone(), large]).await;
    assert!(matches!(unsettled.error, PubsubError::TooLarge { .. }), "{unsettled}");
    assert_eq!(unsettled.unsent, [0, 1]);
    assert_eq!(fixture.settle_with(&delivery, vec![small]).await, Settled::Done { dropped_count: 0 });
    assert_eq!(fixture.drained(&to).await, ["small"]);
}

/// `settle`, `Unsettled::unsent`: repeating it with the unsent outputs sends each output once: the first was confirmed, the second had no
/// queue, and then its queue is created.
pub async fn repeating_a_failed_settle_sends_each_output_once(fixture: &mut BrokerFixture) {
    // The failing output: the second of two, the first of two, and one between others.
    for (round, places) in [["kept", "late", ""], ["late", "kept", ""], ["kept", "late", "kept too"]].iter().enumerate() {
        let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
        let missing = fixture.queue(Class::Flow, &format!("missing-{round}"), "reader");
        let consumer = fixture.windowed(&from, 1).await;
        let delivery = expect(&*consumer, "in").await;
        let topic_of = |body: &str| if body == "late" { missing.topic() } else { to.topic() };
        let bodies: Vec<&str> = places.iter().copied().filter(|body| !body.is_empty()).collect();
        let outputs: Vec<Output> = bodies.iter().map(|body| output(topic_of(body), body, Routing::Required)).collect();
        let unsettled = fixture.settle_fails(&delivery, outputs.clone()).await;
        assert_without_queue(&unsettled.error, missing.topic());
        let rest = unsent(&unsettled, &outputs);
        assert!(rest.iter().any(|output| output.topic == *missing.topic()), "{unsettled:?}");
        // It fails again while the queue is missing.
        let unsettled = fixture.settle_fails(&delivery, rest.clone()).await;
        let rest = unsent(&unsettled, &rest);
        fixture.made(Class::Flow, &format!("missing-{round}"), "reader").await;
        assert_eq!(fixture.settle_with(&delivery, rest).await, Settled::Done { dropped_count: 0 });
        drop(consumer);
        let kept: Vec<&str> = bodies.into_iter().filter(|body| *body != "late").collect();
        assert_eq!(
            (fixture.drained(&to).await, fixture.drained(&missing).await),
            (kept.iter().map(|b| (*b).to_owned()).collect(), vec!["late".to_owned()])
        );
        assert!(fixture.drained(&from).await.is_empty());
    }
}

/// `Unsettled`: it is an error with its cause.
pub async fn a_failed_settle_keeps_its_cause(fixture: &mut BrokerFixture) {
    let from = fixture.filled("a", &["in"]).await;
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let missing = fixture.topic(Class::Flow, "missing");
    let unsettled = fixture.settle_fails(&delivery, vec![output(&missing, "out", Routing::Required)]).await;
    assert_eq!(std::error::Error::source(&unsettled).unwrap().to_string(), unsettled.error.to_string());
    assert!(unsettled.to_string().contains(&missing.to_string()), "{unsettled}");
}

/// `Output::topic`: it may be of any class; `response` and `notify` messages without a subscriber are dropped without an error.
pub async fn outputs_may_go_to_topics_of_every_class(fixture: &mut BrokerFixture) {
    let from = fixture.filled("a", &["1"]).await;
    let request = fixture.made(Class::Request, "b", "reader").await;
    let notify = fixture.topic(Class::Notify, "b");
    let response = fixture.topic(Class::Response, "unread");
    let subscriber = fixture.subscriber(&notify).await;
    let early = early_consumer(fixture, &request).await;
    let consumer = fixture.consumer(&from).await;
    let delivery = expect(&*consumer, "1").await;
    let outputs = vec![
        output(request.topic(), "ask", Routing::Required),
        output(&notify, "tell", Routing::Optional),
        output(&response, "not heard", Routing::Optional),
    ];
    assert!(matches!(fixture.settle_with(&delivery, outputs).await, Settled::Done { .. }));
    expect(&*subscriber, "tell").await;
    expect(&*or_now(fixture, &request, early).await, "ask").await;
}

/// `settle`: one atomic write: if one output fails, none of them is sent and nothing is acknowledged.
pub async fn a_failed_settle_sends_nothing(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in", "behind"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let notify = fixture.topic(Class::Notify, "b");
    let subscriber = fixture.subscriber(&notify).await;
    let consumer = fixture.windowed(&from, 1).await;
    let delivery = next(&*consumer).await;
    let outputs = vec![
        output(to.topic(), "first", Routing::Required),
        output(&notify, "told too early", Routing::Optional),
        output(&fixture.topic(Class::Flow, "missing"), "fails", Routing::Required),
        output(to.topic(), "last", Routing::Required),
    ];
    let unsettled = fixture.settle_fails(&delivery, outputs).await;
    assert!(matches!(unsettled.error, PubsubError::QueueNotFound { .. }), "{unsettled}");
    assert_eq!(unsettled.unsent, [0, 1, 2, 3]);
    assert!(fixture.is_waiting(consumer.receive()).await, "it still fills the window");
    assert!(fixture.drained(&to).await.is_empty());
    fixture.publish(&notify, &["told in time"]).await;
    expect(&*subscriber, "told in time").await;
}

/// `settle`: after a failed one, later ones of the same consumer may fail until it is repeated; then each takes effect once.
pub async fn later_settles_succeed_once_a_failed_one_is_repeated(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["1", "2"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let missing = fixture.queue(Class::Flow, "c", "reader");
    let consumer = fixture.consumer(&from).await;
    let (first, second) = (next(&*consumer).await, next(&*consumer).await);
    let unsettled = fixture.settle_fails(&first, vec![output(missing.topic(), "late", Routing::Required)]).await;
    assert_without_queue(&unsettled.error, missing.topic());
    let outputs = vec![output(to.topic(), "2", Routing::Required)];
    let later = within("a settle", fixture.backend().settle(&second.receipt, outputs.clone())).await;
    fixture.settle_with(&first, vec![]).await;
    if let Err(unsettled) = later {
        assert!(matches!(unsettled.error, PubsubError::Unavailable { .. }), "{unsettled}");
        fixture.settle_with(&second, unsent(&unsettled, &outputs)).await;
    }
    drop(consumer);
    assert_eq!(fixture.drained(&to).await, ["2"]);
    assert!(fixture.drained(&from).await.is_empty());
}

/// `settle`: after a failed one, later ones of the same consumer fail until it is repeated or its delivery is requeued.
pub async fn later_settles_are_refused_until_a_failed_one_is_repeated_or_requeued(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["1", "2", "3", "4"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let missing = fixture.queue(Class::Flow, "c", "reader");
    let consumer = fixture.windowed(&from, 4).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(&*consumer).await);
    }
    let refused = async |at: usize, topic: &Topic| {
        let out = output(topic, &text(&held[at].message), Routing::Required);
        fixture.settle_fails(&held[at], vec![out]).await.error
    };
    assert!(matches!(refused(0, missing.topic()).await, PubsubError::QueueNotFound { .. }));
    assert!(matches!(refused(1, to.topic()).await, PubsubError::Unavailable { .. }));
    for at in [0, 1] {
        fixture.settle_with(&held[at], vec![output(to.topic(), &text(&held[at].message), Routing::Required)]).await;
    }
    assert!(matches!(refused(2, missing.topic()).await, PubsubError::QueueNotFound { .. }));
    fixture.backend().requeue(&held[2].receipt).await.unwrap();
    fixture.settle_with(&held[3], vec![output(to.topic(), "4", Routing::Required)]).await;
    assert_eq!(fixture.drained(&to).await, ["1", "2", "4"]);
}

/// `Consumer`: dropping it does not interrupt a settle in flight: it takes effect, or fails and its message is redelivered.
pub async fn a_settle_pending_when_its_consumer_closes_takes_effect_or_the_message_is_redelivered(fixture: &mut BrokerFixture) {
    for round in 0..20 {
        let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
        let consumer = fixture.consumer(&from).await;
        let delivery = next(&*consumer).await;
        let settle = fixture.backend().settle(&delivery.receipt, vec![output(to.topic(), "out", Routing::Required)]);
        for _ in 0..round % 5 {
            tokio::task::yield_now().await;
        }
        drop(consumer);
        let settled = within("a settle", settle).await;
        let (left, sent) = (fixture.drained(&from).await, fixture.drained(&to).await);
        match settled {
            Ok(Settled::Done { .. }) => assert_eq!((left, sent), (vec![], vec!["out".to_owned()]), "round {round}"),
            Ok(Settled::NoLongerHeld) => assert_eq!((left, sent), (vec!["in".to_owned()], vec![]), "round {round}"),
            Err(unsettled) => assert_eq!(left, ["in"], "round {round}: {unsettled}"),
        }
    }
}

/// `settle`: a failure with `TooLarge` blocks no later settle of its consumer.
pub async fn later_settles_succeed_after_one_that_was_too_large(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["1", "2"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&from).await;
    let (first, second) = (expect(&*consumer, "1").await, expect(&*consumer, "2").await);
    let large = "x".repeat(fixture.backend().limits().max_message_bytes + 1);
    let unsettled = fixture.settle_fails(&first, vec![output(to.topic(), &large, Routing::Required)]).await;
    assert!(matches!(unsettled.error, PubsubError::TooLarge { .. }), "{unsettled}");
    fixture.settle(&second).await;
    fixture.settle(&first).await;
    drop(consumer);
    assert!(fixture.drained(&from).await.is_empty() && fixture.drained(&to).await.is_empty());
}

/// `Routing`: no effect on topics without queues: without a subscriber the message is dropped, without an error and uncounted.
pub async fn routing_has_no_effect_on_topics_without_queues(fixture: &mut BrokerFixture) {
    let from = fixture.filled("a", &["in"]).await;
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let outputs = [Class::Response, Class::Notify]
        .into_iter()
        .flat_map(|class| [Routing::Required, Routing::Optional].map(|routing| output(&fixture.topic(class, "nobody"), "1", routing)));
    assert_eq!(fixture.settle_with(&delivery, outputs.collect()).await, Settled::Done { dropped_count: 0 });
}

/// `Output::message`: one without an id gets a random one.
pub async fn outputs_without_an_id_get_one(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let outputs = ["1", "2"].map(|body| Output { topic: to.topic().clone(), message: message(body), routing: Routing::Required });
    fixture.settle_with(&delivery, outputs.to_vec()).await;
    let reader = fixture.consumer(&to).await;
    let ids = [next(&*reader).await, next(&*reader).await].map(|delivery| delivery.message.id.unwrap());
    assert_ne!(ids[0], ids[1]);
}
