//! 50 swaps in one of two flows at random moments while messages flow, with traps, retries and a `kill -9` in between, in the real Weir.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use weir_pubsub::Queue;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_tests::look::messages;
use weir_tests::marked_guest;
use weir_tests::wait::{DEADLINE, eventually, pass, seed};
use weir_tests::weir::Weir;

use crate::guests;

const SWAPS_COUNT: u32 = 50;
/// Messages imported into each flow before each swap.
const BATCH: u32 = 120;
/// The swap before which Weir is killed.
const KILLED_AT: u32 = 25;

/// A Weir with two flows of the same blueprint and two versions of its component.
async fn with_two_flows(data: &Path) -> Weir {
    let weir = Weir::up(data).await;
    for version in [1, 2] {
        let file = data.join(format!("fickle-{version}.wasm"));
        std::fs::write(&file, marked_guest(guests::FICKLE, version)).unwrap();
        weir.must(&["deploy", &format!("fickle@{version}.0.0"), file.to_str().unwrap()]).await;
    }
    let blueprint = json!({
        "description": "sends what comes in on, sooner or later",
        "blueprint": {},
        "flow": {
            "fickle:{id}": {
                "topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "component": "fickle@1.0.0",
            },
        },
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    let file = data.join("blueprint.json");
    std::fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "fickle", file.to_str().unwrap()]).await;
    for flow in ["one", "two"] {
        weir.must(&["flow", "start", "fickle", flow]).await;
    }
    weir
}

async fn import(weir: &Weir, flow: &str, numbers: Range<u32>) {
    let count = numbers.len();
    let lines: String = numbers.map(|n| format!("{{\"number\": {n}}}\n")).collect();
    let path = format!("/api/v1/weir/flows/{flow}/interfaces/in/messages");
    assert_eq!(weir.post_text(&path, "application/x-ndjson", lines).await, json!({"count": count}));
}

/// The outputs of a flow, in order: numbers, and the digests of their senders.
async fn left(data: &Path, flow: &str) -> (Vec<u64>, BTreeSet<String>) {
    let broker = EmbeddedBroker::open(&data.join("queues"), EmbeddedOptions::default()).unwrap();
    let (topic, subscription) = (format!("flow:tg:out:{flow}"), format!("gateway--{flow}--out"));
    let queue = Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap();
    let (mut numbers, mut digests) = (Vec::new(), BTreeSet::new());
    for message in messages(&*broker, &queue, u32::MAX).await {
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        numbers.push(body["number"].as_u64().unwrap());
        digests.insert(message.from.as_deref().unwrap().split(' ').nth(1).unwrap().to_owned());
    }
    broker.close().await;
    (numbers, digests)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_swaps_under_load_lose_and_duplicate_nothing_and_keep_the_order() {
    let mut rng = StdRng::seed_from_u64(seed());
    let data = tempfile::tempdir().unwrap();
    let mut weir = with_two_flows(data.path()).await;
    for swap in 0..SWAPS_COUNT {
        for flow in ["one", "two"] {
            import(&weir, flow, swap * BATCH..(swap + 1) * BATCH).await;
        }
        if swap == KILLED_AT {
            pass(Duration::from_millis(rng.random_range(0..20))).await;
            weir.kill();
            weir = Weir::up(data.path()).await;
        }
        pass(Duration::from_millis(rng.random_range(0..30))).await;
        let component = format!("fickle@{}.0.0", 2 - swap % 2);
        let mut command = vec!["swap", "one", "fickle", &component];
        // Some immediately after another, before the first is applied.
        if rng.random_bool(0.5) {
            command.push("--wait");
        }
        weir.must(&command).await;
    }
    eventually(2 * DEADLINE, "the flows to have handled everything", || async {
        let status = weir.get("/api/v1/weir/status").await;
        let queues = status["queues"].as_array().unwrap();
        let inputs = queues.iter().filter(|queue| queue["topic"].as_str().unwrap().starts_with("flow:tg:in:"));
        assert_eq!(inputs.clone().count(), 2);
        inputs.clone().all(|queue| queue["depth-count"] == 0).then_some(())
    })
    .await;
    assert_eq!(weir.end().await.code(), Some(0));
    let expected: Vec<u64> = (0..u64::from(SWAPS_COUNT * BATCH)).collect();
    for (flow, versions_count) in [("one", 2), ("two", 1)] {
        let (numbers, digests) = left(data.path(), flow).await;
        assert!(numbers == expected, "flow {flow}: {}", difference(&numbers));
        assert_eq!(digests.len(), versions_count, "flow {flow}: {digests:?}");
    }
}

/// Where the numbers first differ from those from 0 on.
fn difference(numbers: &[u64]) -> String {
    let at = numbers.iter().zip(0..).position(|(found, wanted)| *found != wanted);
    format!("{} numbers; from {at:?}: {:?}", numbers.len(), numbers.iter().skip(at.unwrap_or(0)).take(10).collect::<Vec<_>>())
}
