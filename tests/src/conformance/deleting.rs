//! Deleting queues that are empty, and keeping those that are not.

use std::time::Duration;

use futures_util::future::join_all;
use weir_pubsub::{Backlog, Class, ConsumerOptions, Delete, Deletion, Message, Producer, PubsubError, Queue, QueueSpec, Result};

use super::fixture::{BrokerFixture, expect, message, next};
use crate::wait::{DEADLINE, eventually, within};

async fn delete_if_empty(fixture: &BrokerFixture, queue: &Queue) -> Deletion {
    within("a deletion", fixture.backend().delete_queue(queue, Delete::IfEmpty)).await.unwrap()
}

fn holding(queue: &Queue, count: u64) -> Backlog {
    Backlog { queue: queue.clone(), count: Some(count) }
}

/// Asserts that this one queue was not deleted, and that this number of its messages was reported, if the broker can count them.
fn assert_kept(deletion: &Deletion, queue: &Queue, count: u64) {
    let Deletion::NotEmpty(found) = deletion else { panic!("{deletion:?}") };
    let [Backlog { queue: named, count: counted }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((named, counted.unwrap_or(count)), (queue, count));
}

/// `Delete::IfEmpty`: deletes the queue if it holds no message.
pub async fn an_empty_queue_is_deleted_if_empty(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let (queue, other) = (fixture.made(class, "a", "reader").await, fixture.made(class, "a", "other").await);
        fixture.publish(queue.topic(), &["1"]).await;
        let consumer = fixture.consumer(&queue).await;
        fixture.settle(&expect(&*consumer, "1").await).await;
        drop(consumer);
        assert_eq!(delete_if_empty(fixture, &queue).await, Deletion::Deleted);
        assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
        expect(&*fixture.consumer(&other).await, "1").await;
    }
}

/// `Deletion::NotEmpty`: a queue that holds messages is reported and unchanged.
pub async fn a_queue_with_messages_is_kept_and_reported(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["1", "2"]).await;
        assert_kept(&delete_if_empty(fixture, &queue).await, &queue, 2);
        fixture.publish(queue.topic(), &["3"]).await;
        assert_eq!(fixture.drained(&queue).await, ["1", "2", "3"]);
        assert_eq!(delete_if_empty(fixture, &queue).await, Deletion::Deleted);
    }
}

/// `Delete::IfEmpty`: messages that consumers hold unsettled are in the queue.
pub async fn messages_in_flight_keep_a_queue_from_being_deleted(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["held"]).await;
        let consumer = fixture.consumer(&queue).await;
        let held = expect(&*consumer, "held").await;
        assert_kept(&delete_if_empty(fixture, &queue).await, &queue, 1);
        fixture.publish(queue.topic(), &["next"]).await;
        fixture.settle(&held).await;
        fixture.settle(&expect(&*consumer, "next").await).await;
        drop(consumer);
        assert_eq!(delete_if_empty(fixture, &queue).await, Deletion::Deleted);
    }
}

async fn ask(producer: &dyn Producer, time: Duration) {
    producer.publish_confirmed(Message { expires_in: Some(time), ..message("question") }).await.unwrap();
}

/// `Delete::IfEmpty`: an expired request does not count.
pub async fn expired_requests_do_not_keep_a_queue_from_being_deleted(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    ask(&*producer, Duration::ZERO).await;
    ask(&*producer, Duration::from_secs(600)).await;
    assert_kept(&delete_if_empty(fixture, &queue).await, &queue, 1);
    let consumer = fixture.consumer(&queue).await;
    fixture.settle(&next(&*consumer).await).await;
    drop(consumer);
    ask(&*producer, Duration::ZERO).await;
    assert_eq!(delete_if_empty(fixture, &queue).await, Deletion::Deleted);
}

/// `delete_queue`: its consumers get `QueueNotFound`, like those of a queue that is deleted with its messages.
pub async fn deleting_an_empty_queue_wakes_its_consumers_with_queue_not_found(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let queue = fixture.made(class, "a", "reader").await;
        let consumer = fixture.consumer(&queue).await;
        let mut waiting = consumer.receive();
        assert!(fixture.is_waiting(&mut waiting).await);
        assert_eq!(delete_if_empty(fixture, &queue).await, Deletion::Deleted);
        let error = within("the end of the queue", waiting).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
    }
}

/// Publishes three messages; how far publishing and deletion are when they meet varies from round to round.
async fn publish_late(producer: &dyn Producer, round: usize) -> Vec<Result<()>> {
    for _ in 0..round % 7 {
        tokio::task::yield_now().await;
    }
    join_all((0..3).map(|_| producer.publish_confirmed(message(round)))).await
}

/// Asserts that what was published during a deletion is in the queue that was kept, or was refused, and the queue is then gone.
async fn assert_counted_or_refused(fixture: &BrokerFixture, queue: &Queue, deletion: &Deletion, published: &[Result<()>]) {
    let confirmed_count = published.iter().filter(|outcome| outcome.is_ok()).count();
    let mut refused = published.iter().filter_map(|outcome| outcome.as_ref().err());
    assert!(refused.all(|error| matches!(error, PubsubError::QueueNotFound { .. })), "{published:?}");
    match deletion {
        Deletion::Deleted => assert_eq!(confirmed_count, 0, "a confirmed message was deleted"),
        Deletion::NotEmpty(found) => {
            assert_eq!(found.iter().map(|backlog| &backlog.queue).collect::<Vec<_>>(), [queue]);
            assert_eq!((confirmed_count, fixture.drained(queue).await.len()), (3, 3));
            fixture.backend().delete_queue(queue, Delete::Always).await.unwrap();
        }
    }
}

/// `delete_queue`: `Delete::IfEmpty` is one step: a message that is published at the same time is either counted or refused.
pub async fn a_message_published_during_a_deletion_is_counted_or_refused(fixture: &mut BrokerFixture) {
    for &class in fixture.queue_classes() {
        let queue = fixture.queue(class, "a", "reader");
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        for round in 0..50 {
            fixture.made(class, "a", "reader").await;
            let (deletion, published) = tokio::join!(delete_if_empty(fixture, &queue), publish_late(&*producer, round));
            assert_counted_or_refused(fixture, &queue, &deletion, &published).await;
        }
    }
}

/// `delete_queue`: a confirmed message is not deleted, whichever process published it.
pub async fn messages_of_another_process_during_a_deletion_are_kept_or_refused(fixture: &mut BrokerFixture) {
    let other = fixture.beside().await;
    let queue = fixture.queue(Class::Flow, "a", "reader");
    let producer = other.producer(queue.topic()).await.unwrap();
    for round in 0..50 {
        fixture.made(Class::Flow, "a", "reader").await;
        let (deletion, published) = tokio::join!(delete_if_empty(fixture, &queue), publish_late(&*producer, round));
        let confirmed_count = published.iter().filter(|outcome| outcome.is_ok()).count();
        match deletion {
            Deletion::Deleted => assert_eq!(confirmed_count, 0, "round {round}: {published:?}"),
            Deletion::NotEmpty(_) => {
                assert_eq!(fixture.drained(&queue).await.len(), confirmed_count, "round {round}: {published:?}");
                fixture.backend().delete_queue(&queue, Delete::Always).await.unwrap();
            }
        }
    }
}

/// `delete_queue`: messages held by consumers count, whichever process the consumers are in.
pub async fn messages_in_flight_in_another_process_keep_a_queue_from_being_deleted(fixture: &mut BrokerFixture) {
    let other = fixture.beside().await;
    for &class in fixture.queue_classes() {
        let queue = fixture.made(class, "a", "reader").await;
        fixture.publish(queue.topic(), &["held"]).await;
        let consumer = other.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
        let held = expect(&*consumer, "held").await;
        assert_kept(&delete_if_empty(fixture, &queue).await, &queue, 1);
        within("a settle", other.settle(&held.receipt, Vec::new())).await.unwrap();
        drop(consumer);
        let deleted = || async { (delete_if_empty(fixture, &queue).await == Deletion::Deleted).then_some(()) };
        eventually(DEADLINE, "the deletion", deleted).await;
    }
}

/// `delete_queues_if_empty`: deletes all of these queues if none of them holds a message; a queue that does not exist is empty.
pub async fn empty_queues_are_deleted_together(fixture: &mut BrokerFixture) {
    let mut queues = vec![fixture.made(Class::Flow, "a", "one").await, fixture.made(Class::Flow, "b", "one").await];
    queues.push(fixture.made(Class::Request, "c", "one").await);
    let other = fixture.made(Class::Flow, "a", "other").await;
    queues.extend(Class::ALL.map(|class| fixture.queue(class, "missing", "one")));
    assert_eq!(fixture.backend().delete_queues_if_empty(&queues).await.unwrap(), Deletion::Deleted);
    for queue in &queues {
        assert!(!fixture.backend().queue_exists(queue).await.unwrap(), "{queue}");
    }
    fixture.publish(other.topic(), &["kept"]).await;
    assert_eq!(fixture.drained(&other).await, ["kept"]);
    assert_eq!(fixture.backend().delete_queues_if_empty(&[]).await.unwrap(), Deletion::Deleted);
}

/// `delete_queues_if_empty`: one that holds messages is reported and kept, whatever happens to the others.
pub async fn deleting_several_queues_keeps_and_reports_one_with_messages(fixture: &mut BrokerFixture) {
    let (empty, full) = (fixture.made(Class::Flow, "a", "reader").await, fixture.filled("b", &["1", "2"]).await);
    for queues in [[empty.clone(), full.clone()], [full.clone(), empty.clone()]] {
        assert_kept(&fixture.backend().delete_queues_if_empty(&queues).await.unwrap(), &full, 2);
    }
    assert_eq!(fixture.drained(&full).await, ["1", "2"]);
    assert_eq!(fixture.backend().delete_queues_if_empty(&[empty, full]).await.unwrap(), Deletion::Deleted);
}

/// `delete_queues_if_empty`: if it is not one step, it ends at the first queue that is not empty.
pub async fn deleting_several_queues_keeps_those_after_one_with_messages(fixture: &mut BrokerFixture) {
    let (empty, full) = (fixture.made(Class::Flow, "a", "reader").await, fixture.filled("b", &["1"]).await);
    let behind = [fixture.made(Class::Flow, "c", "reader").await, fixture.made(Class::Request, "d", "reader").await];
    let queues: Vec<Queue> = [empty, full.clone()].into_iter().chain(behind.clone()).collect();
    assert_kept(&fixture.backend().delete_queues_if_empty(&queues).await.unwrap(), &full, 1);
    for queue in [&full].into_iter().chain(&behind) {
        assert!(fixture.backend().queue_exists(queue).await.unwrap(), "{queue}");
    }
}

/// `delete_queues_if_empty`: otherwise none, and each queue that holds messages is reported.
pub async fn while_one_queue_holds_messages_none_is_deleted(fixture: &mut BrokerFixture) {
    let (empty, full) = (fixture.made(Class::Flow, "a", "reader").await, fixture.filled("b", &["1", "2"]).await);
    let asked = fixture.made(Class::Request, "c", "reader").await;
    fixture.publish(asked.topic(), &["question"]).await;
    let refused = fixture.backend().delete_queues_if_empty(&[empty.clone(), full.clone(), full.clone(), asked.clone()]).await.unwrap();
    let Deletion::NotEmpty(mut found) = refused else { panic!("{refused:?}") };
    found.sort_by(|a, b| a.queue.cmp(&b.queue));
    assert_eq!(found, [holding(&full, 2), holding(&asked, 1)]);
    assert_eq!(fixture.drained(&full).await, ["1", "2"]);
    assert_eq!(fixture.drained(&asked).await, ["question"]);
    fixture.publish(empty.topic(), &["still there"]).await;
    assert_eq!(fixture.drained(&empty).await, ["still there"]);
}

/// `delete_queues_if_empty`: one step: if a message is published at the same time, either none of the queues is deleted, or the message is
/// refused.
pub async fn a_message_published_while_several_queues_are_deleted_is_counted_or_refused(fixture: &mut BrokerFixture) {
    for class in [Class::Flow, Class::Request] {
        let (queue, empty) = (fixture.queue(class, "a", "reader"), fixture.queue(Class::Flow, "b", "reader"));
        let producer = fixture.backend().producer(queue.topic()).await.unwrap();
        let queues = [empty.clone(), queue.clone()];
        for round in 0..50 {
            fixture.made(class, "a", "reader").await;
            fixture.made(Class::Flow, "b", "reader").await;
            let deletion = fixture.backend().delete_queues_if_empty(&queues);
            let (deletion, published) = tokio::join!(deletion, publish_late(&*producer, round));
            let deletion = deletion.unwrap();
            assert_eq!(fixture.backend().queue_exists(&empty).await.unwrap(), deletion != Deletion::Deleted);
            assert_counted_or_refused(fixture, &queue, &deletion, &published).await;
        }
    }
}

/// `delete_queues_if_empty`: all of these queues, or none, even if the broker ends.
pub async fn queues_deleted_together_are_gone_together_after_a_restart(fixture: &mut BrokerFixture) {
    let queues =
        [fixture.made(Class::Flow, "a", "one").await, fixture.made(Class::Request, "b", "one").await, fixture.filled("c", &["1"]).await];
    let refused = fixture.backend().delete_queues_if_empty(&queues).await.unwrap();
    assert_eq!(refused, Deletion::NotEmpty(vec![holding(&queues[2], 1)]));
    fixture.restart().await;
    assert!(fixture.backend().queue_exists(&queues[0]).await.unwrap());
    assert_eq!(fixture.drained(&queues[2]).await, ["1"]);
    fixture.made(Class::Request, "b", "one").await;
    assert_eq!(fixture.backend().delete_queues_if_empty(&queues).await.unwrap(), Deletion::Deleted);
    fixture.restart().await;
    for queue in &queues {
        assert!(!fixture.backend().queue_exists(queue).await.unwrap(), "{queue}");
    }
}

/// `delete_queue`: a confirmed message is not deleted, even if the queue is ensured meanwhile.
pub async fn a_queue_ensured_during_a_deletion_keeps_its_messages(fixture: &mut BrokerFixture) {
    let queue = fixture.queue(Class::Flow, "a", "reader");
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    for round in 0..60 {
        fixture.made(Class::Flow, "a", "reader").await;
        let ensured = async {
            for _ in 0..round % 10 {
                let _ = fixture.backend().queue_exists(&queue).await.unwrap();
            }
            fixture.backend().ensure_queue(&QueueSpec::new(queue.clone())).await.unwrap();
            producer.publish_confirmed(message(round)).await
        };
        let (_, published) = tokio::join!(delete_if_empty(fixture, &queue), ensured);
        match published {
            Ok(()) => assert_eq!(fixture.drained(&queue).await, [round.to_string()], "round {round}"),
            Err(PubsubError::QueueNotFound { .. }) => {}
            Err(error) => panic!("round {round}: {error}"),
        }
        fixture.backend().delete_queue(&queue, Delete::Always).await.unwrap();
    }
}

/// `delete_queue`: its consumers get `QueueNotFound`, whichever process they are in.
pub async fn deleting_a_queue_ends_the_consumers_of_other_processes(fixture: &mut BrokerFixture) {
    let other = fixture.beside().await;
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let consumer = other.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    let (received, readable) = (consumer.receive(), consumer.readable());
    let deleted = fixture.backend().delete_queue(&queue, Delete::Always);
    let (received, readable, deleted) = within("the end", async { tokio::join!(received, readable, deleted) }).await;
    deleted.unwrap();
    for ended in [received.map(|_| ()), readable, within("an answer", consumer.receive()).await.map(|_| ())] {
        assert!(matches!(ended, Err(PubsubError::QueueNotFound { .. })), "{ended:?}");
    }
}
