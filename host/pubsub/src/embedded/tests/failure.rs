//! A commit thread that panics.

use std::time::Duration;

use crate::backend::{Backend, ConsumerOptions, Delete, Inspect, QueueSpec};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions};
use crate::error::PubsubError;
use crate::message::Message;
use crate::topic::{Queue, Topic};

async fn within_deadline<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it should have happened by now")
}

#[tokio::test]
async fn a_panic_of_the_commit_thread_is_reported_and_blocks_no_caller() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
    let topic: Topic = "flow:tg:a".parse().unwrap();
    let queue = Queue::new(topic.clone(), "s".parse().unwrap()).unwrap();
    broker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = broker.producer(&topic).await.unwrap();
    producer.publish_confirmed(Message::new("kept")).await.unwrap();
    let reader = broker.consumer(&topic, queue.subscription(), ConsumerOptions::default()).await.unwrap();
    let held = reader.receive().await.unwrap();
    assert!(!broker.has_failed());

    broker.break_commit_thread();
    let (published, settled, received) = within_deadline(async {
        tokio::join!(producer.publish_confirmed(Message::new("lost")), broker.settle(&held.receipt, Vec::new()), reader.receive())
    })
    .await;
    let is_told = |error: &PubsubError| matches!(error, PubsubError::OutcomeUnknown { .. } | PubsubError::Unavailable { .. });
    assert!(matches!(published, Err(PubsubError::OutcomeUnknown { .. })), "{published:?}");
    assert!(is_told(&settled.unwrap_err().error) && is_told(&received.unwrap_err()));
    assert_eq!(within_deadline(broker.failed()).await, "panic: ordered by a test");
    assert!(broker.has_failed());

    let later = within_deadline(async {
        [
            producer.publish_confirmed(Message::new("later")).await.unwrap_err(),
            broker.settle(&held.receipt, Vec::new()).await.unwrap_err().error,
            broker.requeue(&held.receipt).await.unwrap_err(),
            broker.delete_queue(&queue, Delete::Always).await.unwrap_err(),
            broker.stats(&queue).await.unwrap_err(),
            reader.receive().await.unwrap_err(),
        ]
    });
    for error in later.await {
        assert!(matches!(error, PubsubError::Unavailable { .. }), "{error}");
    }
    within_deadline(broker.close()).await;
    let again = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
    assert_eq!(again.opening_report().messages_count, 1);
}

#[tokio::test]
async fn a_closed_broker_has_not_failed() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
    broker.close().await;
    assert!(!broker.has_failed());
    assert!(tokio::time::timeout(Duration::from_millis(1), broker.failed()).await.is_err());
}
