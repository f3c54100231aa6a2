//! A broker that is reachable but temporarily accepts or delivers nothing: blocked publishers, and messages that cannot be read.

use std::num::NonZeroU32;

use futures_util::FutureExt;
use weir_pubsub::{Class, PubsubError, Routing};

use super::fixture::{BrokerFixture, expect, message, next, output, publish_again, unsent};
use crate::wait::{DEADLINE, eventually, within};

/// More than a broker reads at a time, or keeps in one file if a test sets that.
const MUCH_BYTES: usize = 2 << 20;
/// How often a waiting publish is tried.
const ATTEMPTS_COUNT: u32 = 5;

/// "Blocked publishers": consuming and acknowledging continue meanwhile.
pub async fn consuming_and_acknowledging_continue_while_publishers_are_blocked(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3"]).await;
    let consumer = fixture.windowed(&queue, 1).await;
    let first = expect(&*consumer, "1").await;
    fixture.block().await;
    fixture.settle(&first).await;
    fixture.settle(&expect(&*consumer, "2").await).await;
    drop(consumer);
    let consumer = fixture.consumer(&queue).await;
    fixture.settle(&expect(&*consumer, "3").await).await;
    fixture.unblock().await;
    drop(consumer);
    assert!(fixture.drained(&queue).await.is_empty());
}

/// "Blocked publishers": a publish waits, and fails within a bounded time; if it failed with `Unavailable`, the message is not stored.
pub async fn a_publish_waits_while_publishers_are_blocked_and_fails_within_a_bounded_time(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    fixture.block().await;
    let error = within("the end of a publish", producer.publish_confirmed(message("blocked"))).await.unwrap_err();
    let may_be_stored = matches!(error, PubsubError::OutcomeUnknown { .. });
    assert!(may_be_stored || matches!(error, PubsubError::Unavailable { .. }), "{error}");
    fixture.unblock().await;
    publish_again(&*producer, "later").await;
    let found = fixture.drained(&queue).await;
    assert!(found.ends_with(&["later".to_owned()]) && (may_be_stored || found.len() == 1), "{found:?}");
}

/// "Blocked publishers": a waiting publish is stored once publishers are unblocked.
pub async fn a_waiting_publish_is_stored_once_publishers_are_unblocked(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    // On a busy machine, unblocking may take longer than a publish waits.
    for _ in 0..ATTEMPTS_COUNT {
        fixture.block().await;
        let mut publish = producer.publish_confirmed(message("1")).boxed();
        assert!(publish.as_mut().now_or_never().is_none(), "it waits");
        fixture.unblock().await;
        match within("the publish", publish).await {
            Err(PubsubError::Unavailable { .. }) => {}
            published => {
                published.unwrap();
                assert_eq!(fixture.drained(&queue).await, ["1"]);
                return;
            }
        }
    }
    panic!("none of {ATTEMPTS_COUNT} publishes waited until publishers were unblocked");
}

/// "Blocked publishers": a settle with outputs waits and fails as a publish does; the delivery is still held, and repeating the settle
/// loses nothing.
pub async fn a_settle_with_outputs_while_publishers_are_blocked_keeps_its_delivery(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("a", &["in"]).await, fixture.made(Class::Flow, "b", "reader").await);
    let consumer = fixture.windowed(&from, 1).await;
    let delivery = next(&*consumer).await;
    fixture.block().await;
    let outputs = vec![output(to.topic(), "1", Routing::Required), output(to.topic(), "2", Routing::Required)];
    let unsettled = fixture.settle_fails(&delivery, outputs.clone()).await;
    assert!(matches!(unsettled.error, PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. }), "{unsettled}");
    fixture.unblock().await;
    let mut rest = unsent(&unsettled, &outputs);
    let settled = eventually(DEADLINE, "the settle", || {
        let settle = fixture.backend().settle(&delivery.receipt, rest.clone());
        async { settle.await.ok() }
    });
    settled.await;
    rest.clear();
    drop(consumer);
    let mut found = fixture.drained(&to).await;
    // Messages in doubt may be stored twice.
    found.sort();
    found.dedup();
    assert_eq!((found, fixture.drained(&from).await), (vec!["1".to_owned(), "2".to_owned()], vec![]));
}

/// `receive`: `Stalled` while the broker cannot deliver: the consumer stays subscribed, keeps what it holds, and continues without
/// intervention.
pub async fn a_consumer_survives_temporarily_unreadable_messages(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["held"]).await;
    // In another part of the broker's storage than what is read first.
    let between = fixture.made(Class::Flow, "b", "reader").await;
    fixture.publish(between.topic(), &[&"x".repeat(MUCH_BYTES)]).await;
    fixture.publish(queue.topic(), &["1", "2"]).await;
    fixture.restart().await;
    // So few are fetched ahead that the others are read after it.
    let consumer = fixture.windowed(&queue, 1).await;
    let held = expect(&*consumer, "held").await;
    consumer.set_window(NonZeroU32::new(3).unwrap());
    fixture.stall().await;
    for _ in 0..2 {
        let error = within("an answer", consumer.receive()).await.unwrap_err();
        assert!(matches!(error, PubsubError::Stalled { .. }) && error.is_transient(), "{error}");
        // An unreadable message may count as available.
        let readable = within("an answer", consumer.readable()).await;
        assert!(matches!(readable, Ok(()) | Err(PubsubError::Stalled { .. })), "{readable:?}");
    }
    fixture.go_on().await;
    let received = || async { consumer.receive().await.ok() };
    let first = eventually(DEADLINE, "a delivery", received).await;
    assert_eq!(first.message.body, "1", "what it held all the time does not come again");
    fixture.settle(&first).await;
    fixture.settle(&held).await;
    fixture.settle(&expect(&*consumer, "2").await).await;
    drop(consumer);
    assert!(fixture.drained(&queue).await.is_empty());
}

/// `outage`: what keeps the broker from working now: that it accepts no messages, while it blocks publishers.
pub async fn blocked_publishers_are_reported(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    fixture.block().await;
    let outage = || async {
        // A broker may report it only to a publisher.
        let _ = producer.publish(message("blocked")).now_or_never();
        fixture.backend().outage()
    };
    eventually(DEADLINE, "trouble", outage).await;
    fixture.unblock().await;
    eventually(DEADLINE, "the end of the trouble", || async { fixture.backend().outage().is_none().then_some(()) }).await;
}
