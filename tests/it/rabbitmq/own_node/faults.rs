//! Faults of the broker itself, under load: nothing is lost, and nothing needs a restart.

use std::time::Duration;

use weir_pubsub::{Backend, ConsumerOptions, Message, PubsubError, QueueSpec, Settled};
use weir_tests::rabbitmq::{DefaultQueues, Node, Setup, Version};
use weir_tests::tally::{Tally, rounds};
use weir_tests::wait::{before, pass, within};

use crate::faults::fixture::{End, WeirFixture};
use crate::faults::space::TestBroker;
use crate::host_fixture::queue;
use crate::rabbitmq::connection::connected;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_stopped_and_killed_under_load_loses_no_message() {
    let node = Node::start().await;
    for queues in [DefaultQueues::Classic, DefaultQueues::Quorum] {
        let place = WeirFixture::on(TestBroker::on_rabbitmq(&node, queues).await).await;
        node.keep_declarations().await;
        let restart = async |end| {
            match end {
                End::Asked => node.terminate().await,
                End::Killed => node.kill().await,
            }
            node.start_again().await;
        };
        place.outlives_restarts(restart).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_under_load_loses_no_message() {
    let node = Node::start().await;
    let place = WeirFixture::on(TestBroker::on_rabbitmq(&node, DefaultQueues::Classic).await).await;
    let faults = async {
        for round in 0..rounds(2) {
            pass(Duration::from_millis(1_000)).await;
            node.raise_memory_alarm().await;
            // Shorter and longer than publishers wait.
            pass(Duration::from_secs(if round % 2 == 0 { 3 } else { 14 })).await;
            node.end_memory_alarm().await;
        }
        pass(Duration::from_millis(1_000)).await;
    };
    place.outlives("memory alarm", faults).await;
}

/// The broker withdraws a message from a consumer that keeps it too long: it is redelivered, and the first settle does nothing.
#[tokio::test]
async fn a_message_held_too_long_is_redelivered() {
    let node = Setup::default().consumer_timeout(Duration::from_secs(2)).start().await;
    // From 4.3 on classic queues have no such time-out.
    let queues = if node.version() == Version::V4_3 { DefaultQueues::Quorum } else { DefaultQueues::Classic };
    let vhost = node.vhost(queues).await;
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
    Tally { sent_count: 1, lost_count: 0, doubled_count: 1 }.show("consumer time-out");
}
