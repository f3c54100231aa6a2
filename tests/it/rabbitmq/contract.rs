//! Sentences of the contract about what only RabbitMQ can do.

use serde_json::json;
use weir_pubsub::{Backend, LockName, Message, PubsubError, QueueSpec};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::connection::connected;
use crate::host_fixture::queue;

/// `lost`: the broker ended it.
#[tokio::test]
async fn a_lock_whose_queue_is_deleted_is_lost() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let name = LockName::new("one", "tg").unwrap();
    let mut held = backend.lock(&name).await.unwrap();
    broker.management().delete(&format!("queues/{}/{}", vhost.name(), name.wire_name())).await;
    let lost = within("the loss", held.lost()).await;
    assert!(matches!(lost, PubsubError::Unavailable { .. }), "{lost}");
    let again = || async { backend.lock(&name).await.ok() };
    eventually(DEADLINE, "the lock", again).await;
    backend.close().await;
}

/// `Confirm`: a negative confirmation without a reason is `QueueFull` only for a queue that this backend knows to refuse messages.
#[tokio::test]
async fn a_policy_refusal_is_unavailable_and_not_queue_full() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let policy = json!({"max-length": 1, "overflow": "reject-publish"});
    broker.management().put_policy(vhost.name(), "one", "^tg\\.flow\\.", "queues", &policy).await;
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "one");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    let refused = || async { within("a confirmation", producer.publish_confirmed(Message::new("x"))).await.err() };
    let error = eventually(DEADLINE, "the refusal", refused).await;
    assert!(matches!(error, PubsubError::Unavailable { .. }), "{error}");
    backend.close().await;
}
