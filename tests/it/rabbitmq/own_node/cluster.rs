//! A cluster of two nodes: a queue, and that of a lock, is located on one of them.

use std::time::Duration;

use weir_pubsub::{
    Backend, BrowseStart, ConsumerOptions, Delete, Deletion, Lock, LockName, Message, PubsubError, QueueSpec, RabbitBroker, Result, chain,
};
use weir_tests::rabbitmq::{DefaultQueues, Node, Setup, Vhost};
use weir_tests::wait::{before, eventually, within};

use super::super::connection::connected;
use super::super::preparing::printed;
use crate::host_fixture::queue;

/// On a cluster the broker may give no answer for a minute.
const SLOW: Duration = Duration::from_secs(120);

fn name() -> LockName {
    LockName::new("flow", "tg").unwrap()
}

async fn again(backend: &RabbitBroker) -> Box<dyn Lock> {
    eventually(SLOW, "the lock", || async { backend.lock(&name()).await.ok() }).await
}

/// The lock is not available to any client, which every way of inspecting it reports, with the fix.
async fn is_away(backend: &RabbitBroker, url: &str) {
    let away = "while the node of its queue is down: start that node";
    let says = |refused: Result<()>| match refused {
        Err(error @ PubsubError::Unavailable { .. }) if chain(&error).contains(away) => Some(()),
        Err(PubsubError::Unavailable { .. } | PubsubError::LockHeld { .. }) => None,
        other => panic!("{other:?}"),
    };
    eventually(SLOW, "the refusal", || async { says(backend.lock(&name()).await.map(|_| ())) }).await;
    eventually(SLOW, "the same of a look", || async { says(backend.inspect().lock_holder(&name()).await.map(|_| ())) }).await;
    let folder = tempfile::tempdir().unwrap();
    let (_, said) = printed(folder.path(), url, &["doctor"]).await;
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("fail flow lock") && said.contains(away) && said.contains("forget_cluster_node"), "{said}");
}

async fn two() -> (Node, Node) {
    let first = Node::start().await;
    let second = Setup::default().beside(&first).start().await;
    second.join(&first).await;
    (first, second)
}

async fn two_with_a_lock() -> (Node, Node, Vhost) {
    let (first, second) = two().await;
    let vhost = first.vhost(DefaultQueues::Quorum).await;
    // The queue of the lock is located on the node to which its creator is connected.
    let maker = connected(second.url_of(vhost.name())).await;
    drop(again(&maker).await);
    within("the close", maker.close()).await;
    (first, second, vhost)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_takes_a_lock_while_its_node_is_unreachable() {
    let (first, second, vhost) = two_with_a_lock().await;
    let backend = connected(first.url_of(vhost.name())).await;
    for round in 0..2 {
        let mut lock = again(&backend).await;
        first.keep_declarations().await;
        if round == 0 {
            second.kill().await;
        } else {
            second.terminate().await;
        }
        let lost = before(SLOW, "the loss", lock.lost()).await;
        assert!(matches!(lost, PubsubError::Unavailable { .. }), "{lost}");
        is_away(&backend, vhost.url()).await;
        second.start_again().await;
        drop(again(&backend).await);
    }
    within("the close", backend.close()).await;
}

/// A classic queue is on one node, with its messages.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_node_of_a_queue_is_away_it_is_unavailable_and_keeps_its_messages() {
    let (first, second) = two().await;
    let vhost = first.vhost(DefaultQueues::Classic).await;
    let queue = queue("flow:tg:a", "reader");
    let maker = connected(second.url_of(vhost.name())).await;
    maker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    maker.producer(queue.topic()).await.unwrap().publish_confirmed(Message::new("kept")).await.unwrap();
    within("the close", maker.close()).await;
    first.keep_declarations().await;
    let backend = connected(first.url_of(vhost.name())).await;
    let producer = backend.producer(queue.topic()).await.unwrap();
    second.kill().await;
    let (spec, options) = (QueueSpec::new(queue.clone()), ConsumerOptions::default());
    // Until it has detected the end of the other node, the broker gives no answer.
    let answer = || async {
        let seen = backend.queue_exists(&queue).await;
        let is_silent = seen.as_ref().is_err_and(|error| error.to_string().contains("no answer"));
        (!is_silent).then_some(seen)
    };
    let seen = eventually(SLOW, "an answer", answer).await;
    assert!(matches!(seen, Err(PubsubError::Unavailable { .. })), "{seen:?}");
    let outcomes = [
        ("create_queue", backend.create_queue(&spec).await.err()),
        ("ensure_queue", backend.ensure_queue(&spec).await.err()),
        ("queue_exists", backend.queue_exists(&queue).await.err()),
        ("consumer", backend.consumer(queue.topic(), queue.subscription(), options).await.err()),
        ("stats", backend.inspect().stats(&queue).await.err()),
        ("browse", backend.inspect().browse(&queue, BrowseStart::Oldest, 1, 0).await.err()),
        ("publish", producer.publish_confirmed(Message::new("refused")).await.err()),
    ];
    let wrong: Vec<_> = outcomes.iter().filter(|(_, error)| !matches!(error, Some(PubsubError::Unavailable { .. }))).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let deleted = backend.delete_queue(&queue, Delete::IfEmpty).await;
    assert!(matches!(deleted, Err(PubsubError::Unavailable { .. }) | Ok(Deletion::NotEmpty(_))), "{deleted:?}");
    second.start_again().await;
    let again = || async { backend.consumer(queue.topic(), queue.subscription(), options).await.ok() };
    let consumer = eventually(SLOW, "the queue", again).await;
    assert_eq!(before(SLOW, "its message", consumer.receive()).await.unwrap().message.body.as_ref(), b"kept");
    within("the close", backend.close()).await;
}
