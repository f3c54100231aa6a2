//! Moving a browsed message from one queue into another.

use futures_util::future::join_all;
use weir_pubsub::{BrowseStart, Class, Message, MessageId, Missing, Named, PubsubError, Queue};

use super::browsing::{absent, look};
use super::filling::fill;
use super::fixture::{BrokerFixture, expect, message, next, publish_again};
use super::refusing;
use crate::wait::{DEADLINE, eventually, within};

/// The identity of the only message of a queue.
async fn named_in(fixture: &BrokerFixture, queue: &Queue) -> Named {
    look(fixture, queue, BrowseStart::Oldest, 1).await.messages[0].named()
}

/// `redrive`: into one queue, bypassing the topic's other subscriptions, as a message that was never delivered.
pub async fn redriving_moves_a_message_into_one_queue(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let from = fixture.filled("letters", &["dead"]).await;
        let (to, other) = (fixture.made(class, "a", "one").await, fixture.made(class, "a", "other").await);
        let sent = Message { id: Some(MessageId(7)), content_type: Some("text/plain".into()), ..message("alive").with("colour", "red") };
        assert!(fixture.inspect().redrive(&from, &named_in(fixture, &from).await, &to, sent.clone()).await.unwrap());
        let consumer = fixture.consumer(&to).await;
        let delivery = next(&*consumer).await;
        assert_eq!((&delivery.message, delivery.delivery_count.at_least()), (&sent, 1));
        fixture.settle(&delivery).await;
        drop(consumer);
        for queue in [&from, &other, &to] {
            assert!(fixture.drained(queue).await.is_empty(), "{queue}");
        }
    }
}

/// `redrive`: `false` if the message is gone or in flight; nothing is sent then.
pub async fn redriving_a_message_in_flight_or_gone_sends_nothing(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("letters", &["1"]).await, fixture.made(Class::Flow, "a", "one").await);
    let named = named_in(fixture, &from).await;
    let consumer = fixture.consumer(&from).await;
    let held = next(&*consumer).await;
    let redriven = async |named: &Named| fixture.inspect().redrive(&from, named, &to, message("1")).await.unwrap();
    assert!(!redriven(&named).await, "in work");
    fixture.settle(&held).await;
    assert!(!redriven(&named).await, "settled");
    assert!(!redriven(&Named { cursor: absent(), id: None }).await, "never there");
    assert!(fixture.drained(&to).await.is_empty());
}

/// `redrive`: `QueueNotFound` if either queue is missing; the message is still in its queue.
pub async fn redriving_without_a_queue_is_queue_not_found_and_the_message_stays(fixture: &mut BrokerFixture) {
    let from = fixture.filled("letters", &["1"]).await;
    fixture.made(Class::Flow, "a", "other").await;
    let missing = fixture.queue(Class::Flow, "a", "one");
    let named = named_in(fixture, &from).await;
    for (from, to) in [(&from, &missing), (&missing, &from)] {
        let error = fixture.inspect().redrive(from, &named, to, message("1")).await.unwrap_err();
        assert!(matches!(&error, PubsubError::QueueNotFound { missing: Missing::Queue(queue) } if *queue == missing), "{error}");
    }
    assert_eq!(fixture.drained(&from).await, ["1"]);
}

/// `redrive`: `TooLarge`, `WrongClass`; the message is still in its queue.
pub async fn redriving_applies_the_publishing_limits_and_keeps_the_message(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("letters", &["1"]).await, fixture.made(Class::Flow, "a", "one").await);
    let named = named_in(fixture, &from).await;
    let large = message("x".repeat(fixture.backend().limits().max_message_bytes + 1));
    let error = fixture.inspect().redrive(&from, &named, &to, large).await.unwrap_err();
    assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
    for class in [Class::Response, Class::Notify] {
        let error = fixture.inspect().redrive(&from, &named, &fixture.queue(class, "a", "one"), message("1")).await.unwrap_err();
        assert!(matches!(error, PubsubError::WrongClass { .. }), "{error}");
    }
    assert_eq!(fixture.drained(&from).await, ["1"]);
    assert!(fixture.drained(&to).await.is_empty());
}

/// `redrive`: exactly once: of several calls for one message exactly one sends.
pub async fn only_one_of_several_redrives_of_a_message_sends(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("letters", &["0", "1", "2", "3"]).await, fixture.made(Class::Flow, "a", "one").await);
    let seen = look(fixture, &from, BrowseStart::Oldest, 4).await.messages;
    let calls = seen.iter().flat_map(|letter| std::iter::repeat_n((letter.named(), letter.message.clone().unwrap()), 8));
    let redrives = calls.map(async |(named, sent)| fixture.inspect().redrive(&from, &named, &to, sent).await.unwrap());
    let sent_count = join_all(redrives).await.into_iter().filter(|sent| *sent).count();
    assert_eq!((sent_count, fixture.drained(&to).await), (4, ["0", "1", "2", "3"].map(str::to_owned).to_vec()));
    assert!(fixture.drained(&from).await.is_empty());
}

/// `redrive`: `QueueFull` if the target is full; the message is still in its queue, and is sent once there is room.
pub async fn redriving_to_a_full_queue_is_queue_full_and_the_message_stays(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("letters", &["1"]).await, fixture.made(Class::Flow, "a", "one").await);
    let named = named_in(fixture, &from).await;
    let sent = fill(&**fixture.backend(), to.topic()).await;
    let large = message("x".repeat(1 << 20));
    let error = fixture.inspect().redrive(&from, &named, &to, large.clone()).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueFull { .. }), "{error}");
    let consumer = fixture.windowed(&to, 1).await;
    fixture.settle(&next(&*consumer).await).await;
    assert!(fixture.inspect().redrive(&from, &named, &to, large).await.unwrap());
    for _ in 0..sent {
        fixture.settle(&next(&*consumer).await).await;
    }
    drop(consumer);
    assert!(fixture.drained(&to).await.is_empty() && fixture.drained(&from).await.is_empty());
}

/// `redrive`: it is durable.
pub async fn a_redrive_survives_a_restart(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("letters", &["1", "2"]).await, fixture.made(Class::Flow, "a", "one").await);
    assert!(fixture.inspect().redrive(&from, &named_in(fixture, &from).await, &to, message("alive")).await.unwrap());
    fixture.restart().await;
    assert_eq!(expect(&*fixture.consumer(&to).await, "alive").await.delivery_count.at_least(), 1);
    assert_eq!(fixture.drained(&from).await, ["2"]);
}

/// `redrive`: `QueueFull` also of a queue that refuses messages above its own limit; the message stays, and is sent once there is room.
pub async fn redriving_to_a_refusing_queue_is_queue_full_and_the_message_stays(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.filled("letters", &["1"]).await, refusing::made(fixture, "a", 6).await);
    let count = refusing::fill(fixture, &to).await;
    let named = named_in(fixture, &from).await;
    let error = fixture.inspect().redrive(&from, &named, &to, message("letter")).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueFull { .. }), "{error}");
    let reader = fixture.windowed(&to, 1).await;
    for number in 0..count {
        fixture.settle(&expect(&*reader, &format!("{number:04}")).await).await;
    }
    let sent = || async { fixture.inspect().redrive(&from, &named, &to, message("letter")).await.ok() };
    assert!(eventually(DEADLINE, "room", sent).await);
    expect(&*reader, "letter").await;
    assert!(fixture.drained(&from).await.is_empty());
}

/// `redrive`: at least once: if it is interrupted by a lost connection, the message is in one of the two queues, or in both.
pub async fn a_redrive_interrupted_by_a_lost_connection_loses_nothing(fixture: &mut BrokerFixture) {
    let (from, to) = (fixture.made(Class::Flow, "letters", "reader").await, fixture.made(Class::Flow, "a", "one").await);
    let producer = fixture.backend().producer(from.topic()).await.unwrap();
    for round in 0..8 {
        publish_again(&*producer, "letter").await;
        drop(fixture.consumer_again(&from).await);
        let looked = || async { fixture.inspect().browse(&from, BrowseStart::Oldest, 1, usize::MAX).await.ok()?.messages.pop() };
        let named = eventually(DEADLINE, "the letter", looked).await.named();
        let backend = fixture.backend().clone();
        let redrive = backend.inspect().redrive(&from, &named, &to, message("letter"));
        let cut = async {
            for _ in 0..round * 3 {
                tokio::task::yield_now().await;
            }
            fixture.lose_connection().await;
        };
        let (redriven, ()) = within("a redrive", async { tokio::join!(redrive, cut) }).await;
        drop((fixture.consumer_again(&from).await, fixture.consumer_again(&to).await));
        let (left, sent) = (fixture.drained(&from).await, fixture.drained(&to).await);
        match redriven {
            Ok(true) => assert!(!sent.is_empty(), "round {round}: {left:?}"),
            Ok(false) => panic!("round {round}: nobody else has it"),
            Err(PubsubError::OutcomeUnknown { .. }) => assert!(!left.is_empty() || !sent.is_empty(), "round {round}: lost"),
            Err(error) => assert!(!left.is_empty() && sent.is_empty(), "round {round}: {error}: {left:?}, {sent:?}"),
        }
    }
}
