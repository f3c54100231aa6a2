//! Messages and operations that clients of Pulsar are known to lose or repeat.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use futures_util::FutureExt;
use futures_util::future::join_all;
use weir_pubsub::{
    Backend, Class, Consumer, ConsumerOptions, Delivery, LockName, Message, PubsubError, Queue, QueueSpec, Settled, Sharing, Topic,
};
use weir_tests::pulsar::{Broker, Node, Role};
use weir_tests::wait::{DEADLINE, before, eventually, within};

use super::connection::{connected, connected_by};

/// A tenant of a test.
fn tenant() -> String {
    format!("t{:08x}", rand::random::<u32>())
}

fn queue(class: Class, tenant: &str) -> Queue {
    Queue::new(Topic::new(class, tenant, "a").unwrap(), "reader".parse().unwrap()).unwrap()
}

async fn consumer(backend: &dyn Backend, queue: &Queue, window: u32) -> Box<dyn Consumer> {
    let options = ConsumerOptions { window: NonZeroU32::new(window).unwrap(), ..ConsumerOptions::default() };
    backend.consumer(queue.topic(), queue.subscription(), options).await.unwrap()
}

async fn receive(consumer: &dyn Consumer, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::with_capacity(count);
    for _ in 0..count {
        deliveries.push(within("a delivery", consumer.receive()).await.unwrap());
    }
    deliveries
}

fn bodies(deliveries: &[Delivery]) -> BTreeSet<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.message.body.to_vec()).unwrap()).collect()
}

/// Publishes this many numbered messages.
async fn fill(backend: &dyn Backend, queue: &Queue, count: usize) {
    let producer = backend.producer(queue.topic()).await.unwrap();
    let mut confirms = Vec::with_capacity(count);
    for number in 0..count {
        confirms.push(producer.publish(Message::new(number.to_string())).await.unwrap());
    }
    for confirm in join_all(confirms).await {
        confirm.unwrap();
    }
}

/// Acknowledgements are not lost when a consumer stops while its queue has more messages: exactly the unsettled ones are redelivered.
#[tokio::test]
async fn settled_messages_stay_settled_when_a_consumer_stops_with_a_backlog() {
    const COUNT: usize = 3_000;
    let (broker, tenant) = (Broker::shared().await, tenant());
    broker.admin().make_tenant(&tenant, &[Role::Weir.name()]).await;
    let backend = connected(broker).await;
    let queue = queue(Class::Flow, &tenant);
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    fill(&*backend, &queue, COUNT).await;
    let first = consumer(&*backend, &queue, 500).await;
    let mut settled = BTreeSet::new();
    for _ in 0..4 {
        let deliveries = receive(&*first, 250).await;
        let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt).collect();
        for outcome in before(DEADLINE, "the acknowledgements", join_all(backend.acknowledge(&receipts))).await {
            assert_eq!(outcome.unwrap(), Settled::Done { dropped_count: 0 });
        }
        settled.extend(bodies(&deliveries));
    }
    // It stops with a full window of unsettled messages, and a backlog behind them.
    receive(&*first, 100).await;
    drop(first);
    within("the close", backend.close()).await;
    let backend = connected(broker).await;
    let again = consumer(&*backend, &queue, 4_000).await;
    let left = bodies(&receive(&*again, COUNT - settled.len()).await);
    assert_eq!(left.intersection(&settled).count(), 0, "settled messages came again");
    assert_eq!(left.len() + settled.len(), COUNT);
    let depth = backend.inspect().stats(&queue).await.unwrap().depth_count;
    assert_eq!(depth, Some((COUNT - settled.len()) as u64));
}

/// The process of a lock or of an exclusive reader crashes silently: the next one gets it within a bounded time.
#[tokio::test]
async fn a_lock_and_an_exclusive_reader_are_free_after_a_crash() {
    let (broker, tenant) = (Broker::shared().await, tenant());
    broker.admin().make_tenant(&tenant, &[Role::Weir.name()]).await;
    let name = LockName::new("one", &tenant).unwrap();
    let proxy = weir_tests::proxy::Proxy::in_place_of(broker.address()).await;
    let crashing = connected_by(broker, &format!("pulsar://{}", proxy.address()), broker.admin().url()).await;
    let _held = crashing.lock(&name).await.unwrap();
    let other = connected(broker).await;
    let queue = queue(Class::Flow, &tenant);
    other.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let alone = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
    let _reader = crashing.consumer(queue.topic(), queue.subscription(), alone).await.unwrap();
    assert!(matches!(other.lock(&name).await.map(|_| ()), Err(PubsubError::LockHeld { .. })));
    let second = other.consumer(queue.topic(), queue.subscription(), alone).await.map(|_| ());
    assert!(matches!(second, Err(PubsubError::QueueHeld { .. })), "{second:?}");
    proxy.refuse();
    proxy.cut();
    eventually(DEADLINE, "the lock", || async { other.lock(&name).await.ok() }).await;
    eventually(DEADLINE, "the reader", || async { other.consumer(queue.topic(), queue.subscription(), alone).await.ok() }).await;
}

/// Non-persistent topics are gone after a restart: publishing and subscribing restore those of answers, and owners those of requests.
#[tokio::test]
async fn answers_arrive_again_after_a_broker_restart() {
    let (node, tenant) = (Node::start().await, tenant());
    node.admin().make_tenant(&tenant, &[Role::Weir.name()]).await;
    let backend = connected(&node).await;
    let topic = Topic::new(Class::Response, &tenant, "a").unwrap();
    let producer = backend.producer(&topic).await.unwrap();
    let subscribe = || async { backend.consumer(&topic, &"asker".parse().unwrap(), ConsumerOptions::default()).await.ok() };
    let subscriber = subscribe().await.unwrap();
    producer.publish_confirmed(Message::new("before")).await.unwrap();
    assert_eq!(receive(&*subscriber, 1).await[0].message.body, "before");
    node.kill().await;
    let ended = within("the end", subscriber.receive()).await.unwrap_err();
    assert!(matches!(ended, PubsubError::Unavailable { .. }), "{ended}");
    node.start_again().await;
    let subscriber = eventually(DEADLINE, "a subscription", subscribe).await;
    eventually(DEADLINE, "a publish", || async { producer.publish_confirmed(Message::new("after")).await.ok() }).await;
    assert_eq!(receive(&*subscriber, 1).await[0].message.body, "after");
}

/// A topic that exists as a partitioned one is refused, with the fix.
#[tokio::test]
async fn a_partitioned_topic_is_refused() {
    let (broker, tenant) = (Broker::shared().await, tenant());
    broker.admin().make_tenant(&tenant, &[Role::Weir.name()]).await;
    broker.admin().must(reqwest::Method::PUT, &format!("persistent/{tenant}/flow/a/partitions"), Some(&serde_json::json!(2))).await;
    let backend = connected(broker).await;
    let error = backend.create_queue(&QueueSpec::new(queue(Class::Flow, &tenant))).await.unwrap_err();
    assert!(matches!(&error, PubsubError::Refused { .. }) && error.to_string().contains("delete-partitioned-topic"), "{error}");
}

/// Even if the broker creates topics and subscriptions automatically, a consumer and a producer find no queue, and create none.
#[tokio::test]
async fn auto_created_topics_never_create_a_queue() {
    let (broker, tenant) = (Broker::shared().await, tenant());
    broker.admin().make_tenant(&tenant, &[Role::Weir.name()]).await;
    for class in ["flow", "request"] {
        let path = format!("namespaces/{tenant}/{class}");
        let topics = serde_json::json!({"allowAutoTopicCreation": true, "topicType": "non-partitioned"});
        broker.admin().must(reqwest::Method::POST, &format!("{path}/autoTopicCreation"), Some(&topics)).await;
        let subscriptions = serde_json::json!({"allowAutoSubscriptionCreation": true});
        broker.admin().must(reqwest::Method::POST, &format!("{path}/autoSubscriptionCreation"), Some(&subscriptions)).await;
    }
    let backend = connected(broker).await;
    for class in [Class::Flow, Class::Request] {
        let queue = queue(class, &tenant);
        let refused = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.map(|_| ());
        assert!(matches!(refused, Err(PubsubError::QueueNotFound { .. })), "{class}: {refused:?}");
        let producer = backend.producer(queue.topic()).await.unwrap();
        let refused = producer.publish_confirmed(Message::new("lost?")).await;
        assert!(matches!(refused, Err(PubsubError::QueueNotFound { .. })), "{class}: {refused:?}");
        assert!(!backend.queue_exists(&queue).await.unwrap(), "{class}");
    }
}

/// A node that limits the rate of a topic stops reading the connection that publishes on it: services publish on another one.
#[tokio::test]
async fn a_topic_that_is_limited_does_not_delay_signals() {
    const RATE_BYTES: usize = 1_000;
    const SIGNALS_COUNT: usize = 10;
    let (broker, tenant) = (Broker::shared().await, tenant());
    broker.admin().make_tenant(&tenant, &[Role::Weir.name()]).await;
    let rate = serde_json::json!({"publishThrottlingRateInMsg": -1, "publishThrottlingRateInByte": RATE_BYTES});
    broker.admin().must(reqwest::Method::POST, &format!("namespaces/{tenant}/flow/publishRate"), Some(&rate)).await;
    let backend = connected(broker).await;
    let queue = queue(Class::Flow, &tenant);
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let signals = backend.producer(&Topic::new(Class::Notify, &tenant, "a").unwrap()).await.unwrap();
    signals.publish_confirmed(Message::new("before")).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    // It is far above the rate, so the connection is not read for some 15 seconds.
    producer.publish_confirmed(Message::new(vec![b'x'; 15 * RATE_BYTES])).await.unwrap();
    let mut limited = std::pin::pin!(producer.publish(Message::new("next")).await.unwrap());
    for _ in 0..SIGNALS_COUNT {
        within("a signal", signals.publish_confirmed(Message::new("meanwhile"))).await.unwrap();
    }
    assert!(limited.as_mut().now_or_never().is_none(), "the signals waited for the topic that is limited");
    before(2 * DEADLINE, "the message of the limited topic", limited).await.unwrap();
}
