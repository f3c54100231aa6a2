//! Flows whose queues are quorum queues, because the virtual host creates queues as such.

use serde_json::json;
use weir_pubsub::Queue;
use weir_tests::guest_path;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Version, Vhost};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::up::{echoes, queues, queues_of_one};
use crate::cli::{blueprint, start_echo};

/// A vhost with the policy of the guide, without which quorum queues drop a message after 20 deliveries.
pub(crate) async fn vhost_of(broker: &Broker, queues: DefaultQueues) -> Vhost {
    let vhost = broker.vhost(queues).await;
    if queues == DefaultQueues::Quorum && Version::tested() != Version::V3_10 {
        let policy = json!({"delivery-limit": -1});
        broker.management().put_policy(vhost.name(), "weir-quorum", "^tg\\.flow\\.", "quorum_queues", &policy).await;
    }
    vhost
}

async fn type_of(broker: &Broker, vhost: &Vhost, name: &str) -> String {
    let queue = broker.management().get(&format!("queues/{}/{name}", vhost.name())).await;
    queue["type"].as_str().unwrap().to_owned()
}

async fn letters(weir: &Weir, count: u64) {
    let look = || async { (weir.get("/api/v1/weir/dead-letters").await["letters"].as_array()?.len() as u64 == count).then_some(()) };
    eventually(DEADLINE, format!("{count} dead letters"), look).await;
}

#[tokio::test]
async fn a_flow_with_quorum_queues_runs_swaps_keeps_dead_letters_and_stops() {
    let broker = Broker::shared().await;
    let vhost = vhost_of(broker, DefaultQueues::Quorum).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    weir.must(&["deploy", "reject@1.0.0", guest_path("reject").to_str().unwrap()]).await;
    weir.must(&["deploy", "reject@2.0.0", guest_path("echo").to_str().unwrap()]).await;
    let mut definition = blueprint("reject", &json!({}));
    definition["flow"]["reject:{id}"]["component"] = json!("reject@1.0.0");
    let file = folder.path().join("blueprint.json");
    std::fs::write(&file, definition.to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    let named = ["tg.flow.in:one.reject--one--input", "tg.flow.out:one.gateway--one--out", "tg.flow.weir-dead-letters.weir"];
    let mut types = Vec::new();
    for name in named {
        types.push(type_of(broker, &vhost, name).await);
    }
    assert_eq!(types, ["quorum", "classic", "classic"], "looking at dead letters and exits counts as a delivery");
    echoes(&weir, "one", "through quorum queues").await;

    let bad = json!({"reject": "not yet", "text": "kept"}).to_string();
    let message = folder.path().join("message.json");
    std::fs::write(&message, bad).unwrap();
    weir.must(&["send", "one", "in", message.to_str().unwrap()]).await;
    letters(&weir, 1).await;
    let swapped = weir.must(&["swap", "one", "reject", "reject@2.0.0", "--wait"]).await;
    assert!(swapped.contains("reject (one) swapped from reject@1.0.0 to reject@2.0.0"), "{swapped}");
    assert_eq!(weir.must(&["dead-letters", "redrive", "--all"]).await, "1 dead letter resent\n");
    let taken = weir.must(&["take", "one", "out", "--count", "1"]).await;
    assert!(taken.contains("kept"), "{taken}");
    letters(&weir, 0).await;

    weir.must(&["flow", "stop", "one"]).await;
    let left = queues(broker.management(), &vhost).await;
    assert!(!left.iter().any(|name| name.contains(":one")), "{left:?}");
    assert_eq!(weir.end().await.code(), Some(0));
}

/// As after a change of the vhost's default: existing queues stay what they are.
#[tokio::test]
async fn an_existing_classic_queue_is_used_despite_a_quorum_default() {
    let broker = Broker::shared().await;
    let vhost = vhost_of(broker, DefaultQueues::Quorum).await;
    let folder = tempfile::tempdir().unwrap();
    let [input, _] = queues_of_one().map(|queue: Queue| queue.wire_name());
    let classic = json!({"durable": true, "arguments": {"x-queue-type": "classic"}});
    broker.management().put(&format!("queues/{}/{input}", vhost.name()), &classic).await;
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    start_echo(&weir, "b", "one").await;
    echoes(&weir, "one", "through a classic queue").await;
    assert_eq!(type_of(broker, &vhost, &input).await, "classic");
    assert_eq!(weir.end().await.code(), Some(0));
    // And the next start finds it again.
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    echoes(&weir, "one", "after a restart").await;
    weir.must(&["flow", "stop", "one", "--discard"]).await;
    let left = queues(broker.management(), &vhost).await;
    assert!(!left.iter().any(|name| name.contains(":one")), "{left:?}");
    assert_eq!(weir.end().await.code(), Some(0));
}
