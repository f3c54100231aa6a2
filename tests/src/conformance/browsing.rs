//! Browsing a queue without consuming it, and removing selected messages: the promises of `Inspect` about messages.

use std::num::NonZeroU32;

use weir_pubsub::{BrowseStart, Browsed, Class, Cursor, Message, Named, Page, PubsubError, Queue};

use super::fixture::{BrokerFixture, expect, message, next, text, texts};
use crate::wait::{DEADLINE, eventually, within};

/// Browses whole messages of a queue.
pub(super) async fn look(fixture: &BrokerFixture, queue: &Queue, start: BrowseStart, limit_count: u32) -> Page {
    fixture.inspect().browse(queue, start, limit_count, usize::MAX).await.unwrap()
}

fn body(shown: &Browsed) -> String {
    text(shown.message.as_ref().unwrap())
}

/// The bodies of all browsed messages of a queue.
pub(super) async fn shown(fixture: &BrokerFixture, queue: &Queue) -> Vec<String> {
    look(fixture, queue, BrowseStart::Oldest, u32::MAX).await.messages.iter().map(body).collect()
}

/// `browse`: shows messages without taking them.
pub async fn browsing_removes_nothing(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["1", "2", "3"]).await;
        for _ in 0..2 {
            assert_eq!(shown(fixture, &queue).await, ["1", "2", "3"]);
        }
        let consumer = fixture.consumer(&queue).await;
        let delivery = expect(&*consumer, "1").await;
        assert_eq!(delivery.delivery_count.at_least(), 1, "looking is no delivery");
        assert_eq!(texts(&*consumer, 2).await, ["2", "3"]);
    }
}

/// `browse`: up to `limit_count` messages, from the oldest or after a cursor; cursors that are positions are in the order of its messages.
pub async fn browsing_continues_after_a_cursor(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3", "4", "5"]).await;
    let mut seen: Vec<Browsed> = Vec::new();
    loop {
        let start = seen.last().map_or(BrowseStart::Oldest, |last| BrowseStart::Behind(last.cursor));
        let page = look(fixture, &queue, start, 2).await;
        assert!(page.messages.len() <= 2);
        if page.messages.is_empty() {
            break;
        }
        seen.extend(page.messages);
    }
    assert_eq!(seen.iter().map(body).collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
    assert!(seen.is_sorted_by(|a, b| if a.cursor.is_position() { a.cursor < b.cursor } else { a.cursor != b.cursor }));
    assert!(look(fixture, &queue, BrowseStart::Oldest, 0).await.messages.is_empty());
}

/// `BrowseStart::At`: at the message with this cursor, or after it if that is gone.
pub async fn browsing_begins_at_a_cursor_or_after_it(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3"]).await;
    let seen = look(fixture, &queue, BrowseStart::Oldest, 9).await.messages;
    let second = seen[1].named();
    let from_second = async || look(fixture, &queue, BrowseStart::At(second.cursor), 9).await.messages.iter().map(body).collect::<Vec<_>>();
    assert_eq!(from_second().await, ["2", "3"]);
    assert!(fixture.inspect().remove(&queue, &second).await.unwrap());
    assert_eq!(from_second().await, ["3"]);
}

/// `browse`: messages in flight are left out.
pub async fn browsing_omits_messages_in_flight(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3"]).await;
    let consumer = fixture.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    assert_eq!(shown(fixture, &queue).await, ["2", "3"]);
    fixture.backend().requeue(&held.receipt).await.unwrap();
    drop(consumer);
    let free = || async { (shown(fixture, &queue).await == ["1", "2", "3"]).then_some(()) };
    eventually(DEADLINE, "the message that was given back", free).await;
}

/// `browse`: at most `body_bytes` of each body, together with the full size, and every other part of the message.
pub async fn browsing_shows_the_beginning_of_each_body_and_its_size(fixture: &mut BrokerFixture) {
    let large = "x".repeat(fixture.backend().limits().max_message_bytes);
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["", "12345"]).await;
        let whole = Message { content_type: Some("text/plain".into()), from: Some("f".into()), ..Message::new(large.clone()) };
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        within("a publish", producer.publish_confirmed(whole.with("colour", "red"))).await.unwrap();
        drop(producer);
        for restarted in [false, true] {
            if restarted && class == Class::Flow {
                fixture.restart().await;
            }
            let heads = fixture.inspect().browse(&queue, BrowseStart::Oldest, 9, 3).await.unwrap().messages;
            let shown: Vec<_> = heads.iter().map(|head| (body(head), head.body_bytes)).collect();
            assert_eq!(shown, [(String::new(), 0), ("123".to_owned(), 5), ("xxx".to_owned(), large.len() as u64)]);
            let wholes = look(fixture, &queue, BrowseStart::Oldest, 9).await.messages;
            let whole = wholes[2].message.as_ref().unwrap();
            let expected = Message { body: b"xxx".as_slice().into(), ..whole.clone() };
            assert_eq!((heads[2].message.as_ref(), heads[2].cursor), (Ok(&expected), wholes[2].cursor));
            assert_eq!((whole.properties.get("colour"), whole.from.as_deref(), whole.body.len()), (Some("red"), Some("f"), large.len()));
        }
    }
}

/// `Page::newest`: the cursor of the newest message that the queue ever had; whatever arrives later is after it.
pub async fn the_last_page_names_the_newest_message(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3", "4"]).await;
    let whole = look(fixture, &queue, BrowseStart::Oldest, 9).await;
    let newest = whole.messages[3].cursor;
    assert_eq!(whole.newest, Some(newest));
    for limit_count in 1..=4 {
        let page = look(fixture, &queue, BrowseStart::Oldest, limit_count).await;
        assert!(page.newest.is_none_or(|named| named == newest), "of {limit_count}: {:?}", page.newest);
    }
    let rest = look(fixture, &queue, BrowseStart::Behind(whole.messages[1].cursor), 9).await;
    assert_eq!((rest.messages.len(), rest.newest), (2, Some(newest)));
}

/// `Page::newest`: also if the page ends before the queue does, and messages are in flight.
pub async fn every_page_names_the_newest_message(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    assert_eq!(look(fixture, &queue, BrowseStart::Oldest, 9).await.newest, None);
    fixture.publish(queue.topic(), &["1", "2", "3"]).await;
    let consumer = fixture.windowed(&queue, 1).await;
    let held = expect(&*consumer, "1").await;
    let page = look(fixture, &queue, BrowseStart::Oldest, 1).await;
    assert_eq!(page.messages.iter().map(body).collect::<Vec<_>>(), ["2"]);
    fixture.settle(&held).await;
    fixture.publish(queue.topic(), &["4"]).await;
    let rest = look(fixture, &queue, BrowseStart::Behind(page.messages[0].cursor), 9).await;
    assert_eq!(rest.messages.iter().map(body).collect::<Vec<_>>(), ["3", "4"]);
    let [third, fourth] = &rest.messages[..] else { unreachable!() };
    assert_eq!((page.newest, rest.newest), (Some(third.cursor), Some(fourth.cursor)));
}

/// `remove`: removes a message that `browse` has shown.
pub async fn a_shown_message_can_be_removed(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["1", "2", "3"]).await;
        let second = look(fixture, &queue, BrowseStart::Oldest, 2).await.messages[1].named();
        assert!(fixture.inspect().remove(&queue, &second).await.unwrap());
        assert_eq!(fixture.drained(&queue).await, ["1", "3"]);
    }
}

/// A cursor that names no message.
pub(super) fn absent() -> Cursor {
    u64::MAX.to_string().parse().unwrap()
}

/// `remove`: `false` if the message is gone or in flight.
pub async fn messages_in_flight_or_gone_cannot_be_removed(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2"]).await;
    let seen: Vec<Named> = look(fixture, &queue, BrowseStart::Oldest, 2).await.messages.iter().map(Browsed::named).collect();
    let consumer = fixture.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    assert!(!fixture.inspect().remove(&queue, &seen[0]).await.unwrap(), "in work");
    assert!(fixture.inspect().remove(&queue, &seen[1]).await.unwrap());
    assert!(!fixture.inspect().remove(&queue, &seen[1]).await.unwrap(), "removed");
    fixture.settle(&held).await;
    drop(consumer);
    assert!(!fixture.inspect().remove(&queue, &seen[0]).await.unwrap(), "settled");
    let other = Named { cursor: absent(), id: None };
    assert!(!fixture.inspect().remove(&queue, &other).await.unwrap(), "never there");
    let foreign = Named { cursor: "f".repeat(32).parse().unwrap(), id: None };
    assert!(!fixture.inspect().remove(&queue, &foreign).await.unwrap(), "of another kind");
    assert!(fixture.drained(&queue).await.is_empty());
}

/// `browse`, `remove`: `QueueNotFound`.
pub async fn browsing_a_missing_queue_is_queue_not_found(fixture: &mut BrokerFixture) {
    let queue = fixture.queue(Class::Flow, "a", "reader");
    let named = Named { cursor: absent(), id: None };
    let errors = [
        fixture.inspect().browse(&queue, BrowseStart::Oldest, 1, 1).await.unwrap_err(),
        fixture.inspect().remove(&queue, &named).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
    }
}

/// `tap`: `Unavailable` when the backend is closed, and a waiting tap is woken.
pub async fn taps_of_a_closed_backend_are_unavailable(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1"]).await;
    let tap = fixture.inspect().tap(queue.topic(), NonZeroU32::MIN).await.unwrap();
    let (woken, ()) = within("the end", async { tokio::join!(tap.receive(), fixture.close()) }).await;
    let later = fixture.inspect().tap(queue.topic(), NonZeroU32::MIN).await;
    for error in [woken.err(), later.err()] {
        assert!(matches!(error, Some(PubsubError::Unavailable { .. })), "{error:?}");
    }
}

/// `browse`, `remove`, `redrive`: `Unavailable` when the backend is closed.
pub async fn browsing_a_closed_backend_is_unavailable(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1"]).await;
    let named = look(fixture, &queue, BrowseStart::Oldest, 1).await.messages[0].named();
    fixture.close().await;
    let inspect = fixture.inspect();
    let errors = [
        ("browse", inspect.browse(&queue, BrowseStart::Oldest, 1, 1).await.err()),
        ("remove", inspect.remove(&queue, &named).await.err()),
        ("redrive", inspect.redrive(&queue, &named, &queue, message("x")).await.err()),
    ];
    for (operation, error) in errors {
        assert!(matches!(error, Some(PubsubError::Unavailable { .. })), "{operation}: {error:?}");
    }
}

/// `browse`: an unreadable message is shown with the reason, and the others are shown nevertheless.
pub async fn an_unreadable_message_is_shown_with_the_reason(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2"]).await;
    fixture.restart().await;
    fixture.stall().await;
    let late = || async {
        let producer = fixture.backend().producer(queue.topic()).await.ok()?;
        producer.publish_confirmed(message("3")).await.ok()
    };
    let is_taken = late().await.is_some();
    let page = fixture.inspect().browse(&queue, BrowseStart::Oldest, 9, usize::MAX).await.unwrap();
    assert_eq!(page.messages.len(), 2 + usize::from(is_taken), "each message is shown");
    for shown in &page.messages[..2] {
        let reason = shown.message.as_ref().unwrap_err();
        assert!(reason.contains("cannot be read") && shown.body_bytes == 0 && shown.named().id.is_none(), "{reason}");
    }
    fixture.go_on().await;
    let page = fixture.inspect().browse(&queue, BrowseStart::Oldest, 9, usize::MAX).await.unwrap();
    assert!(page.messages.iter().all(|shown| shown.message.is_ok()), "{page:?}");
}

/// `BrowseStart`: if the message of the cursor is gone, browsing begins after its position; if the cursor is not a position, at the oldest
/// message.
pub async fn browsing_from_a_removed_message_begins_after_it_or_at_the_oldest(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3", "4"]).await;
    let second = look(fixture, &queue, BrowseStart::Oldest, 9).await.messages[1].clone();
    assert!(fixture.inspect().remove(&queue, &second.named()).await.unwrap());
    let expected: &[&str] = if second.cursor.is_position() { &["3", "4"] } else { &["1", "3", "4"] };
    for start in [BrowseStart::At(second.cursor), BrowseStart::Behind(second.cursor)] {
        let shown: Vec<String> = look(fixture, &queue, start, 9).await.messages.iter().map(body).collect();
        assert_eq!(shown, expected, "{start:?}");
    }
}

/// `remove`: of several messages with one id it removes the one shown, or the oldest if the broker finds messages by their id.
pub async fn only_one_of_two_messages_with_the_same_id_is_removed(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    for text in ["first", "second"] {
        producer.publish_confirmed(Message { id: Some(weir_pubsub::MessageId(7)), ..message(text) }).await.unwrap();
    }
    let second = look(fixture, &queue, BrowseStart::Oldest, 9).await.messages[1].clone();
    assert!(fixture.inspect().remove(&queue, &second.named()).await.unwrap());
    let left = if second.cursor.is_position() { "first" } else { "second" };
    assert_eq!(fixture.drained(&queue).await, [left]);
}
