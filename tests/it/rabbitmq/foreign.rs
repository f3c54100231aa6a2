//! Messages of programs that are not aware of Weir.

use serde_json::json;
use weir_pubsub::{Backend, ConsumerOptions, MessageId, QueueSpec, Subscription};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::wait::within;

use super::connection::connected;
use crate::host_fixture::queue;

#[tokio::test]
async fn a_message_without_an_id_has_the_same_one_in_every_delivery() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let (one, other) = (queue("flow:tg:a", "one"), queue("flow:tg:a", "other"));
    for queue in [&one, &other] {
        backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    }
    for body in ["first", "second"] {
        let message = json!({"routing_key": "flow.a", "payload": body, "payload_encoding": "string", "properties": {"headers": {"n": 1}}});
        let answer = broker.management().post(&format!("exchanges/{}/tg/publish", vhost.name()), &message).await;
        assert_eq!(answer["routed"], true, "{answer}");
    }
    let ids = |subscription: Subscription| {
        let backend = backend.clone();
        async move {
            let topic = "flow:tg:a".parse().unwrap();
            let consumer = backend.consumer(&topic, &subscription, ConsumerOptions::default()).await.unwrap();
            let mut ids: Vec<Option<MessageId>> = Vec::new();
            for _ in 0..2 {
                ids.push(within("a delivery", consumer.receive()).await.unwrap().message.id);
            }
            ids
        }
    };
    let first = ids(one.subscription().clone()).await;
    assert!(first.iter().all(Option::is_some) && first[0] != first[1], "{first:?}");
    // The consumer was dropped: both are redelivered.
    assert_eq!(ids(one.subscription().clone()).await, first);
    assert!(ids(other.subscription().clone()).await.iter().all(|id| !first.contains(id)), "each queue has messages of its own");
}
