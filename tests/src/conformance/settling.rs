//! Settles: an acknowledgement and its outputs.

use weir_pubsub::{Class, Message, MessageId, Output, PubsubError, Routing, Settled};

use super::bed::{Bed, expect, next, output, text, texts};
use super::publishing::fill;
use crate::wait::within;

/// `Settled::Done`: the message is gone from its queue.
pub async fn what_was_settled_is_gone(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["1", "2", "3"]).await;
        let consumer = bed.consumer(&queue).await;
        let (first, second) = (next(&*consumer).await, next(&*consumer).await);
        bed.settle(&second).await;
        bed.settle(&first).await;
        assert_eq!(bed.backend().inspect().stats(&queue).await.unwrap().depth_count.unwrap(), 1);
        drop(consumer);
        expect(&*bed.consumer(&queue).await, "3").await;
    }
}

/// `settle`: acknowledges a delivery together with sending its outputs; each goes to every queue of its topic.
pub async fn a_settle_sends_its_outputs_to_every_queue(bed: &mut Bed) {
    let from = bed.filled("a", &["in"]).await;
    let to = [bed.made(Class::Flow, "b", "one").await, bed.made(Class::Flow, "b", "two").await];
    let other = bed.made(Class::Flow, "c", "reader").await;
    let consumer = bed.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let outputs = vec![output(to[0].topic(), "out", Routing::Required), output(other.topic(), "aside", Routing::Optional)];
    assert_eq!(bed.settle_with(&delivery, outputs).await, Settled::Done { dropped_count: 0 });
    for queue in &to {
        expect(&*bed.consumer(queue).await, "out").await;
    }
    expect(&*bed.consumer(&other).await, "aside").await;
    assert_eq!(bed.backend().inspect().stats(&from).await.unwrap().depth_count.unwrap(), 0);
}

/// `settle`: outputs leave in their order, with their own ids and properties, and their first delivery is number 1.
pub async fn outputs_keep_their_order_and_ids(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["in"]).await, bed.made(Class::Flow, "b", "reader").await);
    let source = bed.consumer(&from).await;
    let delivery = next(&*source).await;
    let message = |n: u32| Message { id: Some(MessageId(n.into())), ..Message::new(n.to_string()).with("n", n.to_string()) };
    let outputs = (0..100).map(|n| Output { topic: to.topic().clone(), message: message(n), routing: Routing::Required }).collect();
    bed.settle_with(&delivery, outputs).await;
    let consumer = bed.consumer(&to).await;
    for n in 0..100 {
        let delivery = next(&*consumer).await;
        assert_eq!((&delivery.message, delivery.delivery_count), (&message(n), 1));
    }
}

/// `settle`: settles take effect in the order of the calls.
pub async fn settles_take_effect_in_the_order_of_the_calls(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["1", "2", "3", "4"]).await, bed.made(Class::Flow, "b", "reader").await);
    let consumer = bed.consumer(&from).await;
    let mut settles = Vec::new();
    for _ in 0..4 {
        let delivery = next(&*consumer).await;
        let out = output(to.topic(), &text(&delivery.message), Routing::Required);
        settles.push(bed.backend().settle(&delivery.receipt, vec![out]));
    }
    while let Some(settle) = settles.pop() {
        assert_eq!(within("a settle", settle).await.unwrap(), Settled::Done { dropped_count: 0 });
    }
    assert_eq!(texts(&*bed.consumer(&to).await, 4).await, ["1", "2", "3", "4"]);
}

/// `settle`: the future only waits for the outcome, and dropping it changes nothing.
pub async fn dropping_a_settle_changes_nothing(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["1", "2"]).await, bed.made(Class::Flow, "b", "reader").await);
    let consumer = bed.consumer(&from).await;
    let (first, second) = (next(&*consumer).await, next(&*consumer).await);
    drop(bed.backend().settle(&first.receipt, vec![output(to.topic(), "one", Routing::Required)]));
    bed.settle_with(&second, vec![output(to.topic(), "two", Routing::Required)]).await;
    assert_eq!(texts(&*bed.consumer(&to).await, 2).await, ["one", "two"]);
    assert_eq!(bed.settle_with(&first, vec![]).await, Settled::NoLongerHeld);
    assert_eq!(bed.backend().inspect().stats(&from).await.unwrap().depth_count.unwrap(), 0);
}

/// `settle`: may be repeated: what is no longer held is left alone.
pub async fn settling_again_is_no_longer_held(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let (from, to) = (bed.made(class, "a", "reader").await, bed.made(Class::Flow, &format!("to-{class}"), "reader").await);
        bed.publish(from.topic(), &["in"]).await;
        let consumer = bed.consumer(&from).await;
        let delivery = next(&*consumer).await;
        let outputs = vec![output(to.topic(), "out", Routing::Required)];
        assert_eq!(bed.settle_with(&delivery, outputs.clone()).await, Settled::Done { dropped_count: 0 });
        assert_eq!(bed.settle_with(&delivery, outputs).await, Settled::NoLongerHeld);
        assert_eq!(bed.waiting(&to).await, ["out"]);
    }
}

/// `Receipt`: it stays valid until the message was given back.
pub async fn settling_what_was_given_back_is_no_longer_held(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["in"]).await, bed.made(Class::Flow, "b", "reader").await);
    let consumer = bed.consumer(&from).await;
    let delivery = next(&*consumer).await;
    bed.backend().give_back(&delivery.receipt).await.unwrap();
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    assert_eq!(bed.settle_with(&delivery, outputs).await, Settled::NoLongerHeld);
    assert_eq!(bed.backend().inspect().stats(&to).await.unwrap().depth_count.unwrap(), 0);
    bed.settle(&expect(&*consumer, "in").await).await;
}

/// `Receipt`: it stays valid until the consumer went: what another holds by now is left to it.
pub async fn settling_what_another_holds_by_now_is_no_longer_held(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["in"]).await, bed.made(Class::Flow, "b", "reader").await);
    let first_holder = bed.consumer(&from).await;
    let old = next(&*first_holder).await;
    drop(first_holder);
    let second_holder = bed.consumer(&from).await;
    let held = expect(&*second_holder, "in").await;
    assert_ne!(old.receipt, held.receipt);
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    assert_eq!(bed.settle_with(&old, outputs.clone()).await, Settled::NoLongerHeld);
    assert_eq!(bed.settle_with(&held, outputs).await, Settled::Done { dropped_count: 0 });
    assert_eq!(bed.waiting(&to).await, ["out"]);
}

/// `Receipt::consumer`: 0 for what needs no settling, and settling it does nothing.
pub async fn settling_what_needs_no_settling_does_nothing(bed: &mut Bed) {
    let (topic, to) = (bed.topic(Class::Notify, "a"), bed.made(Class::Flow, "b", "reader").await);
    let subscriber = bed.subscriber(&topic).await;
    bed.publish(&topic, &["1"]).await;
    let delivery = expect(&*subscriber, "1").await;
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    assert_eq!(bed.settle_with(&delivery, outputs).await, Settled::NoLongerHeld);
    bed.backend().give_back(&delivery.receipt).await.unwrap();
    bed.publish(&topic, &["2"]).await;
    expect(&*subscriber, "2").await;
    assert_eq!(bed.backend().inspect().stats(&to).await.unwrap().depth_count.unwrap(), 0);
}

/// `Routing::Optional`: without a queue the message is dropped and counted.
pub async fn an_optional_output_without_a_queue_is_dropped_and_counted(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["in"]).await, bed.made(Class::Flow, "b", "reader").await);
    let consumer = bed.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let nobody = bed.topic(Class::Flow, "nobody");
    let outputs = vec![
        output(&nobody, "lost", Routing::Optional),
        output(to.topic(), "kept", Routing::Optional),
        output(&nobody, "lost too", Routing::Optional),
    ];
    assert_eq!(bed.settle_with(&delivery, outputs).await, Settled::Done { dropped_count: 2 });
    assert_eq!(bed.waiting(&to).await, ["kept"]);
    assert_eq!(bed.backend().inspect().stats(&from).await.unwrap().depth_count.unwrap(), 0);
}

/// `settle`: `QueueNotFound` when an output with `Routing::Required` has no queue; the delivery is still held then.
pub async fn a_required_output_without_a_queue_is_queue_not_found_and_the_delivery_stays_held(bed: &mut Bed) {
    let from = bed.filled("a", &["in", "behind"]).await;
    let consumer = bed.windowed(&from, 1).await;
    let delivery = expect(&*consumer, "in").await;
    let to = bed.queue(Class::Flow, "b", "reader");
    let outputs = vec![output(to.topic(), "out", Routing::Required)];
    let error = within("a settle", bed.backend().settle(&delivery.receipt, outputs.clone())).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
    assert_eq!(bed.backend().inspect().stats(&from).await.unwrap().unsettled_count.unwrap(), 1);
    assert!(bed.is_waiting(consumer.receive(), &from).await, "it still fills the window");
    bed.made(Class::Flow, "b", "reader").await;
    assert_eq!(bed.settle_with(&delivery, outputs).await, Settled::Done { dropped_count: 0 });
    assert_eq!(bed.waiting(&to).await, ["out"]);
}

/// `settle`: `TooLarge`; the delivery is still held then.
pub async fn an_output_over_the_limit_is_too_large_and_the_delivery_stays_held(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["in"]).await, bed.made(Class::Flow, "b", "reader").await);
    let consumer = bed.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let mut large = output(to.topic(), "", Routing::Required);
    large.message.body = vec![b'x'; bed.backend().limits().max_message_bytes + 1].into();
    let error = within("a settle", bed.backend().settle(&delivery.receipt, vec![large])).await.unwrap_err();
    assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
    assert_eq!(bed.settle_with(&delivery, vec![output(to.topic(), "small", Routing::Required)]).await, Settled::Done { dropped_count: 0 });
    assert_eq!(bed.waiting(&to).await, ["small"]);
}

/// `Output::topic`: where it goes: of any class; `response` and `notify` with nobody there are dropped without an error.
pub async fn outputs_may_go_to_topics_of_every_class(bed: &mut Bed) {
    let from = bed.filled("a", &["1", "2"]).await;
    let request = bed.made(Class::Request, "b", "reader").await;
    let notify = bed.topic(Class::Notify, "b");
    let response = bed.topic(Class::Response, "nobody");
    let subscriber = bed.subscriber(&notify).await;
    let consumer = bed.consumer(&from).await;
    let delivery = expect(&*consumer, "1").await;
    let outputs = vec![
        output(request.topic(), "ask", Routing::Required),
        output(&notify, "tell", Routing::Optional),
        output(&response, "for nobody", Routing::Optional),
    ];
    assert!(matches!(bed.settle_with(&delivery, outputs).await, Settled::Done { .. }));
    expect(&*subscriber, "tell").await;
    expect(&*bed.consumer(&request).await, "ask").await;
}

/// `settle`: it never fails for a queue being full.
pub async fn a_settle_never_fails_for_a_full_queue(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["in"]).await, bed.made(Class::Flow, "b", "reader").await);
    let sent = fill(&**bed.backend(), to.topic()).await;
    let consumer = bed.consumer(&from).await;
    let delivery = next(&*consumer).await;
    bed.settle_with(&delivery, vec![output(to.topic(), &"x".repeat(1 << 20), Routing::Required)]).await;
    assert_eq!(bed.backend().inspect().stats(&to).await.unwrap().depth_count.unwrap(), sent + 1);
    assert_eq!(bed.backend().inspect().stats(&from).await.unwrap().depth_count.unwrap(), 0);
}

/// `settle`: one atomic write: where one output fails, none of them was sent and nothing was acknowledged.
pub async fn a_settle_that_fails_sends_nothing(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["in"]).await, bed.made(Class::Flow, "b", "reader").await);
    let subscriber = bed.subscriber(&bed.topic(Class::Notify, "b")).await;
    let consumer = bed.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let nobody = bed.topic(Class::Flow, "nobody");
    let outputs = vec![
        output(to.topic(), "first", Routing::Required),
        output(&bed.topic(Class::Notify, "b"), "told too early", Routing::Optional),
        output(&nobody, "fails", Routing::Required),
        output(to.topic(), "last", Routing::Required),
    ];
    let error = within("a settle", bed.backend().settle(&delivery.receipt, outputs)).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
    assert_eq!(bed.backend().inspect().stats(&to).await.unwrap().depth_count.unwrap(), 0);
    assert_eq!(bed.backend().inspect().stats(&from).await.unwrap().unsettled_count.unwrap(), 1);
    bed.publish(&bed.topic(Class::Notify, "b"), &["told in time"]).await;
    expect(&*subscriber, "told in time").await;
}

/// `settle`: after one that failed, later ones of the same consumer fail until it is repeated or its delivery is given back.
pub async fn after_a_settle_that_failed_later_ones_wait_until_it_is_repeated_or_given_back(bed: &mut Bed) {
    let (from, to) = (bed.filled("a", &["1", "2", "3", "4"]).await, bed.made(Class::Flow, "b", "reader").await);
    let missing = bed.queue(Class::Flow, "c", "reader");
    let consumer = bed.consumer(&from).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(&*consumer).await);
    }
    let refused = async |at: usize, topic: &weir_pubsub::Topic| {
        let out = output(topic, &text(&held[at].message), Routing::Required);
        within("a settle", bed.backend().settle(&held[at].receipt, vec![out])).await.unwrap_err()
    };
    assert!(matches!(refused(0, missing.topic()).await, PubsubError::QueueNotFound { .. }));
    assert!(matches!(refused(1, to.topic()).await, PubsubError::Unavailable { .. }));
    for at in [0, 1] {
        bed.settle_with(&held[at], vec![output(to.topic(), &text(&held[at].message), Routing::Required)]).await;
    }
    assert!(matches!(refused(2, missing.topic()).await, PubsubError::QueueNotFound { .. }));
    bed.backend().give_back(&held[2].receipt).await.unwrap();
    bed.settle_with(&held[3], vec![output(to.topic(), "4", Routing::Required)]).await;
    assert_eq!(texts(&*bed.consumer(&to).await, 3).await, ["1", "2", "4"]);
}
