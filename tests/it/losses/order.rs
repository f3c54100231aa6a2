//! What is settled while an earlier message cannot be.

use std::time::Duration;

use serde_json::json;
use weir_pubsub::{Backend, Delete, QueueSpec};

use super::fixture::WeirFixture;
use crate::host_fixture::queue;

const INPUT: &str = "flow:tg:in:one";
const LEFT: (&str, &str) = ("flow:tg:left:one", "echo--one--input");
const RIGHT: (&str, &str) = ("flow:tg:right:one", "gateway--one--right");

#[tokio::test(flavor = "multi_thread")]
async fn no_later_message_is_settled_before_an_earlier_one() {
    // It does not recreate the missing queue.
    let fixture = WeirFixture::resuming_every(Duration::from_secs(3_600)).await;
    for component in ["echo", "two_outputs"] {
        fixture.deploy(component, &json!({"input": "flow:tg:in:{id}"}), &json!({})).await;
    }
    let interface = |name: &str| json!({"flow": format!("flow:tg:{name}:{{id}}")});
    let topics = json!({"input": "flow:tg:in:{id}", "left": "flow:tg:left:{id}", "right": "flow:tg:right:{id}"});
    let blueprint = json!({
        "blueprint": {},
        "flow": {
            "two-outputs:{id}": {"topics": topics, "component": "two_outputs@1.0.0"},
            "echo:{id}": {"topics": {"input": "flow:tg:left:{id}", "output": "flow:tg:out:{id}"}, "component": "echo@1.0.0"},
        },
        "interfaces": {"in": interface("in"), "right": interface("right"), "out": interface("out")},
    });
    fixture.flows.put_blueprint("both", &blueprint.to_string()).await.unwrap();
    let host = fixture.host().await;
    fixture.start("both", "one").await;
    let left = queue(LEFT.0, LEFT.1);
    fixture.broker.delete_queue(&left, Delete::Always).await.unwrap();
    fixture.send(INPUT, json!({"left": 0}).to_string()).await;
    let waits = |error: &str| host.status().processors.iter().any(|status| status.last_error.as_deref().is_some_and(|e| e.contains(error)));
    fixture.until("a message that cannot be settled", async || waits("cannot be settled yet")).await;
    for number in 0..20 {
        fixture.send(INPUT, json!({"right": number}).to_string()).await;
    }
    let in_hand = || host.status().processors.iter().map(|status| status.in_hand_count).sum::<u64>();
    fixture.until("the later messages to be handled", async || in_hand() == 21).await;
    assert_eq!(fixture.depth(RIGHT.0, RIGHT.1).await, 0);
    fixture.broker.ensure_queue(&QueueSpec::new(left)).await.unwrap();
    fixture.until("the later messages", async || fixture.depth(RIGHT.0, RIGHT.1).await == 20).await;
    let order: Vec<u64> = fixture.bodies(RIGHT.0, RIGHT.1).await.iter().map(|body| body.parse().unwrap()).collect();
    assert_eq!(order, (0..20).collect::<Vec<_>>());
    fixture.until("the earlier message", async || fixture.bodies("flow:tg:out:one", "gateway--one--out").await == ["0"]).await;
}
