//! Deleting empty queues while other processes read them.

use std::sync::Arc;

use weir_pubsub::{
    Backend, Backlog, ConsumerOptions, Delete, Deletion, Limits, Message, PubsubError, Queue, QueueSpec, RabbitBroker, TlsFiles,
};
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::wait::within;

async fn connected(vhost: &Vhost) -> Arc<RabbitBroker> {
    RabbitBroker::connect(vhost.url(), Limits::default(), &TlsFiles::default(), None).await.unwrap()
}

fn queue() -> Queue {
    Queue::new("flow:tg:a".parse().unwrap(), "reader".parse().unwrap()).unwrap()
}

#[tokio::test]
async fn an_ended_consumer_hides_no_other_process_with_messages() {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let (one, other) = (connected(&vhost).await, connected(&vhost).await);
    let (queue, options) = (queue(), ConsumerOptions::default());
    one.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let ended = one.consumer(queue.topic(), queue.subscription(), options).await.unwrap();
    other.delete_queue(&queue, Delete::Always).await.unwrap();
    let error = within("the end of the consumer", ended.receive()).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");

    other.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    other.producer(queue.topic()).await.unwrap().publish_confirmed(Message::new("held")).await.unwrap();
    let reader = other.consumer(queue.topic(), queue.subscription(), options).await.unwrap();
    let held = within("the message", reader.receive()).await.unwrap();
    let kept = within("a deletion", one.delete_queue(&queue, Delete::IfEmpty)).await.unwrap();
    assert_eq!(kept, Deletion::NotEmpty(vec![Backlog { queue: queue.clone(), count: None }]));

    within("a settle", other.settle(&held.receipt, Vec::new())).await.unwrap();
    drop(reader);
    assert_eq!(within("a deletion", one.delete_queue(&queue, Delete::IfEmpty)).await.unwrap(), Deletion::Deleted);
}
