//! Messages deeper in a queue than browsing reaches: the broker has no cursors, so all before them are taken and requeued.

use std::time::Duration;

use futures_util::future::join_all;
use weir_pubsub::{Backend, BrowseStart, Message, MessageId, Named, PubsubError, QueueSpec, Result};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::wait::{before, eventually};

use super::connection::connected;
use crate::host_fixture::queue;

/// How deep browsing reaches.
const DEPTH_COUNT: u128 = 10_000;
/// Browsing ten thousand messages takes a round trip for each, and then the broker requeues them: a minute or two in all on a busy machine.
const SLOW: Duration = Duration::from_secs(600);

/// The outcome, once the broker has one: while it requeues ten thousand messages it may answer nothing.
async fn answered<T, F: Future<Output = Result<T>>>(mut look: impl FnMut() -> F) -> Result<T> {
    let look = || {
        let looked = look();
        async { Some(looked.await).filter(|outcome| !matches!(outcome, Err(PubsubError::Unavailable { .. }))) }
    };
    eventually(SLOW, "an outcome", look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deeper_in_a_queue_than_a_look_goes_is_unsupported_and_not_the_end_of_the_queue() {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    let mut confirms = Vec::new();
    for number in 1..=DEPTH_COUNT + 1 {
        confirms.push(producer.publish(Message { id: Some(MessageId(number)), ..Message::new("x") }).await.unwrap());
    }
    let all = before(SLOW, "the confirmations", join_all(confirms)).await;
    assert!(all.iter().all(Result::is_ok));
    let named = |number: u128| Named { cursor: format!("{number:032x}").parse().unwrap(), id: Some(MessageId(number)) };
    let (last_seen, unseen) = (named(DEPTH_COUNT), named(DEPTH_COUNT + 1));
    let inspect = backend.inspect();
    let looked = answered(|| inspect.browse(&queue, BrowseStart::Behind(last_seen.cursor), 1, 0)).await;
    assert!(matches!(looked, Err(PubsubError::Unsupported { .. })), "{looked:?}");
    let removed = answered(|| inspect.remove(&queue, &unseen)).await;
    assert!(matches!(removed, Err(PubsubError::Unsupported { .. })), "{removed:?}");
    // A message that is not too deep is found, and everything is still there.
    assert!(answered(|| inspect.remove(&queue, &last_seen)).await.unwrap());
    assert!(answered(|| inspect.remove(&queue, &unseen)).await.unwrap(), "one before it is gone");
}
