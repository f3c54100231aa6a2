//! Faults of the broker itself, under load: nothing is lost, and nothing needs a restart.

use std::time::Duration;

use weir_pubsub::{Backend, ConsumerOptions, Message, PubsubError, QueueSpec, Settled};
use weir_tests::rabbitmq::{DefaultQueues, Node, Setup};
use weir_tests::wait::{before, pass, within};

use crate::rabbitmq::place::{Place, connected};
use crate::stage::queue;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_ended_and_killed_under_load_loses_no_message() {
    let node = Node::start().await;
    let place = Place::on(&node).await;
    node.keep_declarations().await;
    let count = place
        .send_during(async {
            for round in 0..2 {
                pass(Duration::from_millis(1_500)).await;
                if round == 0 {
                    node.terminate().await
                } else {
                    node.kill().await
                }
                node.start_again().await;
            }
            pass(Duration::from_millis(1_000)).await;
        })
        .await;
    let doubled = place.expect_all(count).await;
    eprintln!("{count} sent, 0 lost, {doubled} doubled");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_under_load_loses_no_message() {
    let node = Node::start().await;
    let place = Place::on(&node).await;
    let count = place
        .send_during(async {
            for seconds in [3, 14] {
                pass(Duration::from_millis(1_000)).await;
                node.raise_memory_alarm().await;
                pass(Duration::from_secs(seconds)).await;
                node.end_memory_alarm().await;
            }
            pass(Duration::from_millis(1_000)).await;
        })
        .await;
    let doubled = place.expect_all(count).await;
    eprintln!("{count} sent, 0 lost, {doubled} doubled");
    place.end().await;
}

/// The broker takes a message away from a consumer that keeps it too long: it comes again, and the first settle does nothing.
#[tokio::test]
async fn a_message_that_is_held_too_long_comes_again() {
    let node = Setup::default().consumer_timeout(Duration::from_secs(2)).start().await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let read = async || backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    let consumer = read().await;
    backend.producer(queue.topic()).await.unwrap().publish_confirmed(Message::new("slow")).await.unwrap();
    let held = within("a delivery", consumer.receive()).await.unwrap();
    let error = before(Duration::from_secs(120), "the end of the consumer", consumer.receive()).await.unwrap_err();
    assert!(matches!(error, PubsubError::Unavailable { .. }), "{error}");
    let again = read().await;
    let delivery = within("a delivery", again.receive()).await.unwrap();
    assert_eq!(delivery.message.id, held.message.id);
    assert_eq!(backend.settle(&held.receipt, Vec::new()).await.unwrap(), Settled::NoLongerHeld);
    assert_eq!(backend.settle(&delivery.receipt, Vec::new()).await.unwrap(), Settled::Done { dropped_count: 0 });
}
