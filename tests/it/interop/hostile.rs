//! Messages of other programs that no correct program sends: each affects at most itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir_pubsub::{Backend, ConsumerOptions, Message, QueueSpec};
use weir_tests::guest_path;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::peer::{must, queues, run};
use super::processors::{put_blueprint, start, weir};
use crate::host_fixture::queue;
use crate::rabbitmq::connection::connected;

/// Publishes all cases and reads them: each arrives once, and the connection stays open.
async fn all_arrive(vhost: &Vhost) {
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let mut wanted: BTreeSet<String> = run(vhost, "hostile.py", &["tg", "flow.a"]).await.lines().map(str::to_owned).collect();
    assert!(wanted.len() > 10, "{wanted:?}");
    backend.producer(queue.topic()).await.unwrap().publish_confirmed(Message::new("last")).await.unwrap();
    wanted.insert("last".to_owned());
    // Once to be requeued, so that the broker adds its counters to the headers, and once more.
    for round in 0..2 {
        let consumer = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
        let mut missing = wanted.clone();
        let mut deliveries = Vec::new();
        while !missing.is_empty() {
            let delivery = within(format!("{missing:?}"), consumer.receive()).await.unwrap();
            let case = std::str::from_utf8(&delivery.message.body).unwrap().trim_end();
            assert!(missing.remove(case), "{case:?} came again");
            deliveries.push(delivery);
        }
        for delivery in deliveries {
            if round == 0 {
                backend.requeue(&delivery.receipt).await.unwrap();
            } else {
                backend.settle(&delivery.receipt, Vec::new()).await.unwrap();
            }
        }
    }
    assert!(!backend.is_lost_for_test());
    within("the close", backend.close()).await;
}

#[tokio::test]
async fn invalid_deep_or_oversized_messages_affect_no_other_message() {
    let broker = Broker::shared().await;
    for queues in [DefaultQueues::Classic, DefaultQueues::Quorum] {
        all_arrive(&broker.vhost(queues).await).await;
    }
}

/// Two processors read the input: one forwards it, and one rejects everything.
fn both() -> Value {
    let component = |name: &str, topics: Value| json!({"topics": topics, "component": format!("{name}@1.0.0")});
    json!({
        "blueprint": {},
        "flow": {
            "echo:{id}": component("echo", json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"})),
            "reject:{id}": component("reject", json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"})),
        },
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    })
}

#[tokio::test]
async fn services_and_processors_survive_foreign_messages_and_lose_none() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(&vhost, folder.path()).await;
    for guest in ["echo", "reject"] {
        weir.must(&["deploy", guest_path(guest).to_str().unwrap()]).await;
    }
    must(&vhost, &[put_blueprint("both", &both()), start("both", "one", &json!({}))]).await;
    let cases_count = run(&vhost, "hostile.py", &["tg", "flow.in:one"]).await.lines().count();
    for key in
        ["request.config", "request.flow", "notify.config", "response.config", "response.flow", "notify.weir-status", "notify.weir-ask"]
    {
        run(&vhost, "hostile.py", &["tg", key]).await;
    }
    weir.must(&["send", "one", "in", "--text", "a good one"]).await;
    // Each message is a dead letter of the one that rejects, and at the exit or a dead letter of the other.
    let settled = || async {
        let queues = queues(broker, &vhost).await;
        let depth =
            |name: &str| queues.iter().find(|queue| queue["name"] == name).map_or(0, |queue| queue["messages"].as_u64().unwrap_or(0));
        let inputs = depth("tg.flow.in:one.echo--one--input") + depth("tg.flow.in:one.reject--one--input");
        let requests = depth("tg.request.config.config-svc") + depth("tg.request.flow.flow-svc");
        let kept = depth("tg.flow.out:one.gateway--one--out") + depth("tg.flow.weir-dead-letters.weir");
        (inputs == 0 && requests == 0 && kept >= 2 * (cases_count as u64 + 1)).then_some(())
    };
    eventually(DEADLINE, "all messages to be settled", settled).await;
    let shown = weir.must(&["dead-letters", "list", "--json"]).await;
    assert!(shown.contains("of 60000 bytes was cut") && shown.contains("properties of 256 bytes, sha256"), "{shown}");
    let answers = must(&vhost, &[("flow", json!({"operation": "list-flows"}))]).await;
    assert_eq!(answers[0]["flow_ids"], json!(["one"]));
    let said = weir.said();
    for line in [
        "config requests without property id dropped",
        "flow requests without property id dropped",
        "config notification unreadable",
        "invalid UTF-8",
    ] {
        let count = said.matches(line).count();
        assert!((1..=12).contains(&count), "{line}: {count} times\n{said}");
    }
    assert!(!said.contains("unavailable, retrying") && !said.contains("cannot be settled"), "{said}");
    assert_eq!(weir.end().await.code(), Some(0));
}
