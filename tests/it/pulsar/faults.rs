//! Faults of the connections to a running broker: nothing is lost, and nothing needs a restart.

use reqwest::Method;
use weir_pubsub::{ConsumerOptions, Message, PubsubError, QueueSpec};
use weir_tests::pulsar::Broker;
use weir_tests::wait::{DEADLINE, eventually, within};

use crate::faults::fixture::WeirFixture;
use crate::faults::space::TestBroker;

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_no_message() {
    WeirFixture::on(TestBroker::on_pulsar(Broker::shared().await).await).await.outlives_cuts().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_is_found_and_loses_no_message() {
    WeirFixture::on(TestBroker::on_pulsar(Broker::shared().await).await).await.outlives_half_open_connections().await;
}

/// A Pulsar broker sends its own address to clients. If they connected there, the faults of these tests would strike nothing.
#[tokio::test]
async fn every_connection_of_a_client_passes_the_proxy() {
    let broker = Broker::shared().await;
    let space = TestBroker::on_pulsar(broker).await;
    let line = space.line().await;
    let backend = space.client(Some(&line)).await.backend();
    let queue = space.queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    let consumer = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    producer.publish_confirmed(Message::new("before")).await.unwrap();
    within("a delivery", consumer.receive()).await.unwrap();
    // As seen by the broker.
    let connected_count = async || {
        let stats = broker.admin().must(Method::GET, &format!("persistent/{}/flow/a/stats", space.name()), None).await;
        let consumers = stats["subscriptions"]["reader"]["consumers"].as_array().unwrap().len();
        stats["publishers"].as_array().unwrap().len() + consumers
    };
    assert_eq!(connected_count().await, 2);
    line.refuse();
    let ended = within("the end", consumer.receive()).await.unwrap_err();
    assert!(matches!(ended, PubsubError::Unavailable { .. }), "{ended}");
    eventually(DEADLINE, "the broker to have no client", || async { (connected_count().await == 0).then_some(()) }).await;
    assert!(producer.publish_confirmed(Message::new("during")).await.is_err());
    line.accept();
    eventually(DEADLINE, "a publish", || async { producer.publish_confirmed(Message::new("after")).await.ok() }).await;
}
