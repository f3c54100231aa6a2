//! Faults of the connections to a running broker: nothing is lost, and nothing needs a restart.

use std::num::NonZeroU32;

use weir_pubsub::{Backend, ConsumerOptions, Delivery, Message, PubsubError, QueueSpec, Settled};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::tally::{Tally, rounds};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::connection::connected;
use super::quorum::vhost_of;
use crate::faults::fixture::WeirFixture;
use crate::faults::space::TestBroker;
use crate::host_fixture::queue;

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_no_message() {
    let space = TestBroker::on_rabbitmq(Broker::shared().await, DefaultQueues::Classic).await;
    WeirFixture::on(space).await.outlives_cuts().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_is_found_and_loses_no_message() {
    let space = TestBroker::on_rabbitmq(Broker::shared().await, DefaultQueues::Classic).await;
    WeirFixture::on(space).await.outlives_half_open_connections().await;
}

/// Browsing, a crash or a requeue counts as a delivery of a quorum queue, which drops a message at the 21st unless a policy says otherwise.
#[tokio::test]
async fn a_quorum_queue_with_the_documented_policy_drops_nothing() {
    let vhost = vhost_of(Broker::shared().await, DefaultQueues::Quorum).await;
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    producer.publish_confirmed(Message::new("kept")).await.unwrap();
    let consumer = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    for round in 0..rounds(40) {
        let delivery = within("a delivery", consumer.receive()).await.unwrap();
        assert!(delivery.delivery_count.at_least() >= 1, "{round}");
        backend.requeue(&delivery.receipt).await.unwrap();
    }
    let last = within("a delivery", consumer.receive()).await.unwrap();
    assert_eq!(backend.settle(&last.receipt, Vec::new()).await.unwrap(), Settled::Done { dropped_count: 0 });
    Tally { sent_count: 1, lost_count: 0, doubled_count: 0 }.show("delivery limit");
}

/// Properties and bodies over the limits are refused before the client library gets them: messages of others are not affected.
#[tokio::test]
async fn exceeding_a_limit_affects_only_its_sender() {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    let consumer = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    let bad = [
        Message::new("x").with("n".repeat(256), "v"),
        Message::new("x").with("n", "v".repeat(140_000)),
        Message::new(vec![0; (64 << 20) + 1]),
        Message { content_type: Some("t".repeat(300).into()), ..Message::new("x") },
    ];
    for (round, message) in bad.into_iter().enumerate() {
        let error = producer.publish_confirmed(message).await.unwrap_err();
        assert!(matches!(error, PubsubError::TooLarge { .. }), "{round}: {error}");
        producer.publish_confirmed(Message::new(round.to_string())).await.unwrap();
        let delivery = within("a delivery", consumer.receive()).await.unwrap();
        assert_eq!(delivery.message.body, round.to_string());
    }
}

/// After a change of the window, and once everything held before is settled, the consumer may hold as many messages as the window permits.
#[tokio::test]
async fn a_changed_window_applies_fully_once_held_messages_are_gone() {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    for number in 0..10 {
        producer.publish_confirmed(Message::new(number.to_string())).await.unwrap();
    }
    let window = |count| NonZeroU32::new(count).unwrap();
    let options = ConsumerOptions { window: window(2), ..ConsumerOptions::default() };
    let consumer = backend.consumer(queue.topic(), queue.subscription(), options).await.unwrap();
    let next = async || within("a delivery", consumer.receive()).await.unwrap();
    let before = [next().await, next().await];
    consumer.set_window(window(3));
    let during = next().await;
    let settle = async |deliveries: &[Delivery]| {
        for delivery in deliveries {
            assert_eq!(backend.settle(&delivery.receipt, Vec::new()).await.unwrap(), Settled::Done { dropped_count: 0 });
        }
    };
    settle(&before).await;
    settle(&[during, next().await, next().await]).await;
    for _ in 0..3 {
        next().await;
    }
}

#[tokio::test]
async fn a_channel_closed_by_the_broker_ends_only_one_consumer() {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let (gone, stays) = (queue("flow:tg:gone", "reader"), queue("flow:tg:stays", "reader"));
    for queue in [&gone, &stays] {
        backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    }
    let read =
        async |queue: &weir_pubsub::Queue| backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    let (ends, goes_on) = (read(&gone).await, read(&stays).await);
    let path = format!("queues/{}/{}", vhost.name(), gone.wire_name());
    Broker::shared().await.management().delete(&path).await;
    let error = within("the end", ends.receive()).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
    backend.producer(stays.topic()).await.unwrap().publish_confirmed(Message::new("on")).await.unwrap();
    assert_eq!(within("a delivery", goes_on.receive()).await.unwrap().message.body, "on");
    // And the queue can be read again once its owner recreates it.
    backend.ensure_queue(&QueueSpec::new(gone.clone())).await.unwrap();
    eventually(DEADLINE, "the queue", || async { backend.queue_exists(&gone).await.ok().filter(|is_there| *is_there) }).await;
    read(&gone).await;
}
