//! Queues that exist with properties other than Weir's, with the real binary: the error names the queue and the fix, and nothing is lost.

use serde_json::{Value, json};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::weir::Weir;

use super::preparing::printed;
use super::up::{echoes, queues, queues_of_one};
use crate::cli::start_echo;

#[tokio::test]
async fn a_conflicting_queue_of_a_flow_is_reported_and_kept() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    start_echo(&weir, "b", "one").await;
    weir.must(&["flow", "stop", "one"]).await;
    let [input, exit] = queues_of_one().map(|queue| queue.wire_name());
    let bounded = json!({"durable": true, "arguments": {"x-max-length": 5}});
    for (case, name, properties, differs) in [
        ("not durable", &input, json!({"durable": false}), "'durable'"),
        ("with a bound", &input, bounded, "'x-max-length'"),
        ("auto-delete", &input, json!({"durable": true, "auto_delete": true}), "'auto_delete'"),
        ("an exit without its bound", &exit, json!({"durable": true}), "'x-max-length-bytes'"),
    ] {
        let path = format!("queues/{}/{name}", vhost.name());
        broker.management().put(&path, &properties).await;
        let output = weir.run(&["flow", "start", "b", "one"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{case}:\n{said}");
        assert_eq!(output.status.code(), Some(1), "{case}: {said}");
        for words in [name, "exists with other properties", differs, "delete it: rabbitmqctl delete_queue -p"] {
            assert!(said.contains(words), "{case}: no {words:?} in {said}");
        }
        let left: Vec<_> = queues(broker.management(), &vhost).await.into_iter().filter(|queue| queue.contains(":one")).collect();
        assert_eq!(left, [name.as_str()], "{case}: what was made is taken back, and what was there is kept");
        broker.management().delete(&path).await;
    }
    weir.must(&["flow", "start", "b", "one"]).await;
    echoes(&weir, "one", "after all").await;
    assert_eq!(weir.end().await.code(), Some(0));
}

/// A queue that is not a lock cannot be used as one: it would protect nothing.
#[tokio::test]
async fn a_conflicting_queue_of_a_lock_is_reported_with_the_fix() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["weir.lock.config.tg", "weir.lock.flow.tg"] {
        let path = format!("queues/{}/{name}", vhost.name());
        broker.management().put(&path, &json!({"durable": true, "arguments": {"x-queue-type": "quorum"}})).await;
        let fix = format!("rabbitmqctl delete_queue -p '{}' '{name}'", vhost.name());
        for arguments in [&["up", "--listen", "127.0.0.1:0"][..], &["doctor"]] {
            let (code, said) = printed(folder.path(), vhost.url(), arguments).await;
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(code != Some(0) && said.contains("is not the queue of a lock") && said.contains(&fix), "{arguments:?}: {said}");
        }
        broker.management().delete(&path).await;
    }
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    assert_eq!(weir.end().await.code(), Some(0));
}

/// The dead letters must not keep Weir from starting.
#[tokio::test]
async fn a_dead_letter_queue_with_other_properties_is_kept_and_reported() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let name = "tg.flow.weir-dead-letters.weir";
    broker.management().put(&format!("queues/{}/{name}", vhost.name()), &json!({"durable": true})).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    start_echo(&weir, "b", "one").await;
    echoes(&weir, "one", "all the same").await;
    let said = weir.said();
    assert!(said.contains("queue exists with other properties, left unchanged") && said.contains(name), "{said}");
    let queue: Value = broker.management().get(&format!("queues/{}/{name}", vhost.name())).await;
    assert_eq!(queue["arguments"].get("x-max-length-bytes"), None);
    assert_eq!(weir.end().await.code(), Some(0));
}
