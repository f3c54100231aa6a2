//! Stops of flows that must not lose a message, under traffic, with the real binary: a flow `r` relays to the exit of a flow `s`, where
//! everything confirmed must be in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_pubsub::{Backend, Queue};
use weir_tests::look::messages;
use weir_tests::wait::{DEADLINE, eventually, pass, seed};
use weir_tests::weir::Weir;

/// Stops in a row under traffic.
const STOPS_COUNT: u32 = 25;
/// How often Weir is killed during stops.
const KILLS_COUNT: u32 = 10;
/// Concurrent senders.
const SENDERS_COUNT: u64 = 3;

/// A Weir with both flows.
async fn with_relay(data: &Path) -> Weir {
    let weir = Weir::up(data).await;
    weir.must(&["deploy", weir_tests::guest_path("echo").to_str().unwrap()]).await;
    let relay = json!({
        "blueprint": {},
        "flow": {"echo:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:sink"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}},
    });
    // A blueprint needs a processor; nothing is sent to this one.
    let sink = json!({
        "blueprint": {},
        "flow": {"nobody:{id}": {"topics": {"input": "flow:tg:unused:{id}"}}},
        "interfaces": {"all": {"flow": "flow:tg:sink"}},
    });
    for (name, blueprint, flow) in [("sink", sink, "s"), ("relay", relay, "r")] {
        let definition = blueprint.to_string();
        ask(&weir, json!({"operation": "put-blueprint", "blueprint-name": name, "blueprint-definition": definition})).await.unwrap();
        start(&weir, name, flow).await;
    }
    weir
}

/// Sends a request to the flow service; returns the message of an error.
async fn ask(weir: &Weir, request: Value) -> Result<Value, String> {
    let answer = weir.post("/api/v1/flow", &request).await;
    match answer["error"]["message"].as_str() {
        Some(message) => Err(message.to_owned()),
        None => Ok(answer),
    }
}

async fn start(weir: &Weir, blueprint: &str, flow: &str) {
    ask(weir, json!({"operation": "start-flow", "blueprint-name": blueprint, "flow-id": flow, "description": ""})).await.unwrap();
}

/// The status of flow `r`; `None` if there is none.
async fn status(weir: &Weir) -> Option<String> {
    let status = weir.get("/api/v1/weir/status").await;
    let flow = status["flows"].as_array().unwrap().iter().find(|flow| flow["id"] == "r")?;
    Some(flow["status"].as_str().unwrap().to_owned())
}

/// Senders that send numbered messages one after the other until they are stopped, and record what was confirmed.
struct Traffic {
    end: CancellationToken,
    senders: JoinSet<Vec<u64>>,
}

impl Traffic {
    fn begin(weir: &Weir, next: &Arc<AtomicU64>) -> Self {
        let end = CancellationToken::new();
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS_COUNT {
            let (end, http, next) = (end.clone(), weir.http().clone(), next.clone());
            let path = weir.path("/api/v1/flow/r/service/in");
            senders.spawn(async move {
                let mut confirmed = Vec::new();
                while !end.is_cancelled() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    // While Weir is down there is no service to ask.
                    let Ok(answer) = http.post(&path).json(&json!({"number": number})).send().await else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    if answer.json::<Value>().await.is_ok_and(|answer| answer == json!({})) {
                        confirmed.push(number);
                    }
                }
                confirmed
            });
        }
        Traffic { end, senders }
    }

    async fn end(self) -> Vec<u64> {
        self.end.cancel();
        self.senders.join_all().await.into_iter().flatten().collect()
    }
}

/// How often each number is in a queue of a folder that is not in use; nothing if there is no such queue.
async fn at_rest(broker: &EmbeddedBroker, topic: &str, subscription: &str, counts: &mut BTreeMap<u64, u32>) {
    let queue = Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap();
    if !broker.queue_exists(&queue).await.unwrap() {
        return;
    }
    for message in messages(broker, &queue, u32::MAX).await {
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        *counts.entry(body["number"].as_u64().unwrap()).or_default() += 1;
    }
}

/// Every confirmed message is at the exit of `s`, or still waits for `r`; nothing is there twice.
async fn check(data: &Path, confirmed: &BTreeSet<u64>) {
    let broker = EmbeddedBroker::open(&data.join("queues"), EmbeddedOptions::default()).unwrap();
    let mut counts = BTreeMap::new();
    at_rest(&broker, "flow:tg:sink", "gateway--s--all", &mut counts).await;
    at_rest(&broker, "flow:tg:in:r", "echo--r--input", &mut counts).await;
    broker.close().await;
    let lost: Vec<_> = confirmed.iter().filter(|number| !counts.contains_key(number)).collect();
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(lost.is_empty() && doubled.is_empty(), "of {} confirmed: lost {lost:?}, doubled {doubled:?}", confirmed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusing_stops_under_traffic_lose_no_confirmed_message() {
    let mut rng = StdRng::seed_from_u64(seed());
    let data = tempfile::tempdir().unwrap();
    let weir = with_relay(data.path()).await;
    let next = Arc::new(AtomicU64::new(0));
    let (mut confirmed, mut stopped_count) = (BTreeSet::new(), 0);
    let traffic = Traffic::begin(&weir, &next);
    for _ in 0..STOPS_COUNT {
        pass(Duration::from_millis(rng.random_range(0..100))).await;
        match ask(&weir, json!({"operation": "stop-flow", "flow-id": "r", "backlog": "refuse"})).await {
            Ok(_) => {
                stopped_count += 1;
                assert_eq!(status(&weir).await, None);
                start(&weir, "relay", "r").await;
            }
            Err(refused) => {
                assert!(refused.contains("flow `r` still holds") && refused.contains("echo--r--input"), "{refused}");
                assert_eq!(status(&weir).await.as_deref(), Some("running"));
            }
        }
    }
    confirmed.extend(traffic.end().await);
    println!("{stopped_count} of {STOPS_COUNT} stops were done, {} messages confirmed", confirmed.len());
    // What the refused stops left is handled as if nothing had happened.
    eventually(DEADLINE, "the flow to have handled everything", || async {
        let queues = weir.get("/api/v1/weir/queues").await;
        let input = queues["queues"].as_array().unwrap().iter().find(|queue| queue["topic"] == "flow:tg:in:r")?;
        (input["depth-count"] == 0).then_some(())
    })
    .await;
    assert_eq!(weir.end().await.code(), Some(0));
    check(data.path(), &confirmed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weir_killed_during_refusing_stops_loses_no_confirmed_message() {
    let mut rng = StdRng::seed_from_u64(seed());
    let data = tempfile::tempdir().unwrap();
    let mut weir = with_relay(data.path()).await;
    let next = Arc::new(AtomicU64::new(0));
    let mut confirmed = BTreeSet::new();
    for round in 0..KILLS_COUNT {
        let traffic = Traffic::begin(&weir, &next);
        pass(Duration::from_millis(rng.random_range(0..100))).await;
        let stop = json!({"operation": "stop-flow", "flow-id": "r", "backlog": "refuse"});
        let stopping = tokio::spawn(weir.http().post(weir.path("/api/v1/flow")).json(&stop).send());
        pass(Duration::from_millis(rng.random_range(0..60))).await;
        weir.kill();
        stopping.abort();
        confirmed.extend(traffic.end().await);
        // Every other time Weir itself is the first to open what the kill left behind.
        if round % 2 == 1 {
            check(data.path(), &confirmed).await;
        }
        weir = Weir::up(data.path()).await;
        let after = eventually(DEADLINE, "the flow to run or to be gone", || async {
            let now = status(&weir).await;
            (now.as_deref().is_none_or(|now| now == "running")).then_some(now)
        })
        .await;
        println!("killed with {} messages confirmed; the flow is {}", confirmed.len(), after.as_deref().unwrap_or("gone"));
        if after.is_none() {
            start(&weir, "relay", "r").await;
        }
    }
    println!("{} stops were taken back", weir.said().matches("stop of a flow reverted").count());
    assert_eq!(weir.end().await.code(), Some(0));
    check(data.path(), &confirmed).await;
}
