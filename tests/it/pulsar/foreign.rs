//! Messages of programs that are not aware of Weir.

use serde_json::json;
use weir_pubsub::{Backend, ConsumerOptions, MessageId, PulsarBroker, Queue, QueueSpec};
use weir_tests::pulsar::Broker;
use weir_tests::wait::within;

use super::connection::connected;

/// The ids of the next two messages, which are redelivered afterwards because their consumer is dropped.
async fn ids(backend: &PulsarBroker, queue: &Queue) -> Vec<Option<MessageId>> {
    let consumer = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(within("a delivery", consumer.receive()).await.unwrap().message.id);
    }
    ids
}

#[tokio::test]
async fn a_message_without_an_id_has_the_same_one_in_every_delivery() {
    let broker = Broker::shared().await;
    let tenant = format!("t{:08x}", rand::random::<u32>());
    broker.admin().make_tenant(&tenant, &[]).await;
    let backend = connected(broker).await;
    let queue = |subscription: &str| Queue::new(format!("flow:{tenant}:a").parse().unwrap(), subscription.parse().unwrap()).unwrap();
    let (one, other) = (queue("one"), queue("other"));
    for queue in [&one, &other] {
        backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    }
    // Without a client of the protocol: messages sent by HTTP have only the properties given.
    for body in ["first", "second"] {
        let messages = json!({"producerName": "foreign", "messages": [{"payload": body, "properties": {"n": "1", "a": "b"}}]});
        broker.admin().publish(&format!("persistent/{tenant}/flow/a"), &messages).await;
    }
    let first = ids(&backend, &one).await;
    assert!(first.iter().all(Option::is_some) && first[0] != first[1], "{first:?}");
    assert_eq!(ids(&backend, &one).await, first, "both are delivered again");
    let others = ids(&backend, &other).await;
    assert!(others.iter().all(|id| id.is_some() && !first.contains(id)), "each queue has messages of its own: {others:?}");
    // Another process reads what this one has read.
    within("the close", backend.close()).await;
    assert_eq!(ids(&*connected(broker).await, &one).await, first);
}
