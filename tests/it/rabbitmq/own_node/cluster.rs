//! A cluster of two nodes: the queue of a lock lives on one of them.

use std::time::Duration;

use weir_pubsub::{Backend, Lock, LockName, PubsubError, RabbitBroker, Result, chain};
use weir_tests::rabbitmq::{DefaultQueues, Node, Setup, Vhost};
use weir_tests::wait::{before, eventually, within};

use super::super::connection::connected;
use super::super::preparing::printed;

/// On a cluster the broker may give no answer for a minute.
const SLOW: Duration = Duration::from_secs(120);

fn name() -> LockName {
    LockName::new("flow", "tg").unwrap()
}

async fn again(backend: &RabbitBroker) -> Box<dyn Lock> {
    eventually(SLOW, "the lock", || async { backend.lock(&name()).await.ok() }).await
}

/// Nobody gets the lock, which every way to look at it says, with what to do.
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

async fn two() -> (Node, Node, Vhost) {
    let first = Node::start().await;
    let second = Setup::default().beside(&first).start().await;
    second.join(&first).await;
    let vhost = first.vhost(DefaultQueues::Quorum).await;
    // Where its maker is connected, there the queue of the lock lives.
    let maker = connected(second.url_of(vhost.name())).await;
    drop(again(&maker).await);
    within("the close", maker.close()).await;
    (first, second, vhost)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_node_of_a_lock_is_away_no_process_takes_it() {
    let (first, second, vhost) = two().await;
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
