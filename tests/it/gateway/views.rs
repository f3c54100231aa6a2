//! What people look at: status, queues, dead letters, health.

use serde_json::json;
use weir_config::records::HostStatus;
use weir_pubsub::{Message, Queue};
use weir_tests::look::put;
use weir_tests::wait::{DEADLINE, eventually};

use super::fixture::GatewayFixture;

#[tokio::test]
async fn status_joins_hosts_flows_and_queues() {
    let fixture = GatewayFixture::with_flow().await;
    fixture.publish("flow:tg:in:one", "1").await;
    let status = eventually(DEADLINE, "a host in the status", || async {
        fixture.publish("notify:tg:weir-status", &report()).await;
        let (_, status) = fixture.get("/api/v1/weir/status").await;
        status["hosts"].as_array().is_some_and(|hosts| !hosts.is_empty()).then_some(status)
    })
    .await;
    assert_eq!(status["hosts"][0]["host"], "h");
    let flow = &status["flows"][0];
    assert_eq!((&flow["id"], &flow["blueprint"], &flow["status"]), (&json!("one"), &json!("b"), &json!("running")));
    assert_eq!(flow["interfaces"], json!({"ask": "request", "in": "flow", "out": "flow"}));
    assert_eq!(flow["processors"], json!([{"processor": "worker", "variant": "one"}]));
    let (_, queues) = fixture.get("/api/v1/weir/queues").await;
    assert_eq!(queues["queues"], status["queues"]);
    let depths: Vec<_> = queues["queues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| (queue["subscription"].as_str().unwrap(), queue["depth-count"].as_u64()))
        .collect();
    assert_eq!(
        depths,
        [("worker--one--input", Some(1)), ("gateway--one--out", Some(0)), ("worker--one--request", Some(0)), ("weir", Some(0))]
    );
}

#[tokio::test]
async fn listing_dead_letters_removes_none() {
    let fixture = GatewayFixture::new().await;
    let queue = Queue::new("flow:tg:weir-dead-letters".parse().unwrap(), "weir".parse().unwrap()).unwrap();
    for at in 0..3 {
        let letter = Message::new(format!("{{\"at\": {at}}}"))
            .with("weir-dead-topic", "flow:tg:in:one")
            .with("weir-dead-subscription", "worker--one--input")
            .with("weir-dead-error", "reject")
            .with("weir-dead-reason", "no page")
            .with("weir-dead-attempts", "1");
        put(&*fixture.backend, &queue, letter).await.unwrap();
    }
    let (_, answer) = fixture.get("/api/v1/weir/dead-letters?limit=2").await;
    assert_eq!((&answer["depth-count"], answer["letters"].as_array().unwrap().len()), (&json!(3), 2));
    let letter = &answer["letters"][0];
    assert_eq!((&letter["error"], &letter["reason"], &letter["body"]), (&json!("reject"), &json!("no page"), &json!("{\"at\": 0}")));
    let after = answer["letters"][1]["position"].as_u64().unwrap();
    let (_, rest) = fixture.get(&format!("/api/v1/weir/dead-letters?after={after}")).await;
    assert_eq!(rest["letters"][0]["body"], "{\"at\": 2}");
    assert_eq!(fixture.depth("flow:tg:weir-dead-letters", "weir").await, 3);
    let (status, _) = fixture.get("/api/v1/weir/dead-letters?limit=0").await;
    assert_eq!(status, 400);
}

/// The report of a host.
fn report() -> String {
    report_of(3, None)
}

fn report_of(config_version: u64, config_problem: Option<String>) -> String {
    let (host, version) = ("h".into(), "0".into());
    let host = HostStatus { host, version, started_ms: 1, time_ms: 2, config_version, config_problem, ..HostStatus::default() };
    serde_json::to_string(&host).unwrap()
}

#[tokio::test]
async fn a_gateway_is_ready_when_nothing_is_missing() {
    let fixture = GatewayFixture::new().await;
    assert_eq!(fixture.get("/healthz").await, (200, json!({"status": "ok"})));
    let (status, answer) = fixture.get("/readyz").await;
    assert_eq!((status, &answer["status"]), (503, &json!("not ready")));
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.ends_with("no host is reporting (hosts report every 5 s)"), "{reason}");
    let ready = eventually(DEADLINE, "the gateway to be ready", || async {
        fixture.publish("notify:tg:weir-status", &report()).await;
        let (status, answer) = fixture.get("/readyz").await;
        (status == 200).then_some(answer)
    })
    .await;
    assert_eq!(ready, json!({"status": "ready"}));
    for (version, problem, words) in
        [(0, None, "host h has not fetched"), (3, Some("too large".to_owned()), "host h cannot fetch the configuration: too large")]
    {
        let report = report_of(version, problem);
        eventually(DEADLINE, "the gateway not to be ready", || async {
            fixture.publish("notify:tg:weir-status", &report).await;
            let (status, answer) = fixture.get("/readyz").await;
            (status == 503 && answer["reason"].as_str().unwrap().contains(words)).then_some(())
        })
        .await;
    }
}
