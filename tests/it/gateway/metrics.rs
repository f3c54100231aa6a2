//! `GET /metrics`: its format, and that its figures match what happened.

use std::fs;
use std::path::Path;

use serde_json::json;
use weir_config::records::{HostDetails, HostStatus, ProcessorState, ProcessorStatus};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::exposition::Exposition;
use super::fixture::{GatewayFixture, NDJSON, answer};

async fn scrape(request: reqwest::RequestBuilder) -> Exposition {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    Exposition::parse(&response.text().await.unwrap())
}

/// A flow of one processor from `in` to `out`.
async fn start(weir: &Weir, processor: &str, flow: &str) {
    weir.must(&["deploy", &format!("{processor}@1.0.0"), guest_path(processor).to_str().unwrap()]).await;
    let blueprint = json!({
        "blueprint": {},
        "flow": {format!("{processor}:{{id}}"): {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    let put = json!({"operation": "put-blueprint", "blueprint-name": processor, "blueprint-definition": blueprint.to_string()});
    let start = json!({"operation": "start-flow", "blueprint-name": processor, "flow-id": flow, "description": ""});
    for request in [put, start] {
        let answer = weir.post("/api/v1/flow", &request).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn the_metrics_of_a_running_weir_match_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start(&weir, "echo", "good").await;
    start(&weir, "reject", "bad").await;
    let import = |flow: &str| format!("/api/v1/weir/flows/{flow}/interfaces/in/messages");
    assert_eq!(weir.post_text(&import("good"), NDJSON, "1\n2\n3\n4\n".repeat(5)).await, json!({"count": 20}));
    assert_eq!(weir.post_text(&import("bad"), NDJSON, "{\"reject\": \"so\"}\n".repeat(3)).await, json!({"count": 3}));
    let (good, bad) = ([("processor", "echo"), ("variant", "good"), ("flow", "good")], [("processor", "reject"), ("flow", "bad")]);
    let metrics = eventually(DEADLINE, "all messages in the figures", || async {
        let metrics = scrape(weir.http().get(weir.path("/metrics"))).await;
        let settled = metrics.value("weir_processor_settled_messages_total", &good);
        let dead = metrics.value("weir_processor_dead_messages_total", &bad);
        (settled == Some(20.0) && dead == Some(3.0)).then_some(metrics)
    })
    .await;
    let value = |name: &str, labels: &[(&str, &str)]| metrics.value(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}"));
    assert_eq!(value("weir_processor_sent_messages_total", &good), 20.0);
    assert_eq!(value("weir_processor_sent_messages_total", &bad), 0.0);
    assert_eq!(value("weir_processor_dead_messages_total", &good), 0.0);
    assert_eq!(value("weir_processor_messages_in_hand", &good), 0.0);
    let component = metrics.all("weir_processor_component_info", &good).next().unwrap().0;
    assert_eq!((component["component"].as_str(), component["version"].as_str()), ("echo", "1.0.0"));
    for (state, expected) in [("running", 1.0), ("starting", 0.0), ("paused", 0.0), ("failing", 0.0), ("broken", 0.0), ("stopping", 0.0)] {
        assert_eq!(value("weir_processor_state", &[good[0], ("state", state)]), expected, "{state}");
    }
    // The queues: nothing is left, and the exit is not read.
    assert_eq!(value("weir_queue_messages", &[("subscription", "echo--good--input")]), 0.0);
    assert_eq!(value("weir_queue_consumers", &[("subscription", "echo--good--input")]), 1.0);
    assert_eq!(value("weir_queue_messages", &[("topic", "flow:tg:out:good"), ("subscription", "gateway--good--out")]), 20.0);
    assert_eq!(value("weir_queue_flow_info", &[("subscription", "gateway--good--out"), ("flow", "good"), ("exit", "out")]), 1.0);
    assert_eq!(value("weir_queue_messages", &[("topic", "flow:tg:weir-dead-letters")]), 3.0);
    assert_eq!(value("weir_queue_consumers", &[("topic", "request:tg:config")]), 1.0);
    // The gateway and the configuration.
    let route = [("route", "/api/v1/weir/flows/{flow}/interfaces/{interface}/messages"), ("method", "POST"), ("status", "200")];
    assert_eq!(value("weir_gateway_request_duration_seconds_count", &route), 2.0);
    assert_eq!(value("weir_gateway_requests_waiting", &[]), 1.0, "the scrape itself");
    assert_eq!(value("weir_flows", &[("status", "running")]), 2.0);
    let status = weir.get("/api/v1/weir/status").await;
    assert_eq!(value("weir_config_version", &[]), status["config-version"].as_f64().unwrap());
    assert_eq!(value("weir_build_info", &[("version", status["version"].as_str().unwrap()), ("topicspace", "tg")]), 1.0);
    let host = status["hosts"][0]["host"].as_str().unwrap();
    assert_eq!(value("weir_host_start_time_seconds", &[("host", host)]), status["hosts"][0]["started-ms"].as_f64().unwrap() / 1000.0);
    assert!(metrics.all("weir_service_reachable", &[]).all(|(_, value)| value == 1.0));
}

#[tokio::test]
async fn names_with_any_characters_are_valid_labels() {
    let fixture = GatewayFixture::new().await;
    let name = "a \"b\" \\ {c=\"d\"},\ne\u{301}";
    let status =
        HostStatus { host: name.into(), version: "0".into(), started_ms: 1, time_ms: 2, config_version: 3, ..HostStatus::default() };
    let details = HostDetails { status, serves: None, processors: vec![odd(name)] };
    let bodies = details.messages(&[], 1 << 20).bodies;
    let report = std::str::from_utf8(&bodies[0]).unwrap();
    let metrics = eventually(DEADLINE, "the host in the figures", || async {
        fixture.publish("response:tg:weir-status", report).await;
        let metrics = scrape(fixture.get_request("/metrics")).await;
        metrics.value("weir_host_config_version", &[("host", name)]).map(|_| metrics)
    })
    .await;
    let labels = [("host", name), ("processor", name), ("variant", name), ("flow", "")];
    assert_eq!(metrics.value("weir_processor_settled_messages_total", &labels), Some(7.0));
    assert_eq!(metrics.value("weir_processor_last_error_time_seconds", &labels), Some(1.5));
    assert_eq!(metrics.value("weir_processor_component_info", &labels), None);
    assert_eq!(metrics.value("weir_processor_state", &[labels[0], ("state", "broken")]), Some(1.0));
}

fn odd(name: &str) -> ProcessorStatus {
    ProcessorStatus {
        processor: name.to_owned(),
        variant: name.to_owned(),
        flow: None,
        component: None,
        wanted: None,
        refused: None,
        state: ProcessorState::Broken,
        handled_count: 7,
        failed_count: 0,
        trapped_count: 0,
        dead_count: 0,
        sent_count: 0,
        dropped_count: 0,
        in_hand_count: 0,
        waiting_for_slot_count: 0,
        outputs_bytes: 0,
        waiting_for_outputs_count: 0,
        restarts_count: 0,
        rate_per_1000_s: 0,
        last_error: Some(name.to_owned()),
        last_error_ms: Some(1500),
        last_error_over_ms: None,
    }
}

#[tokio::test]
async fn refused_and_unknown_requests_are_counted_under_few_labels() {
    let fixture = GatewayFixture::new().await;
    for path in ["/metrics", "/made/up", "/made/up/too"] {
        assert_eq!(answer(fixture.get_request(path).header("origin", "http://localhost")).await.0, 403);
    }
    assert_eq!(answer(fixture.get_request("/metrics").header("host", "weir.example")).await.0, 403);
    assert_eq!(fixture.get("/made/up").await.0, 404);
    let metrics = scrape(fixture.get_request("/metrics")).await;
    let count = |route: &str, status: &str| {
        let labels = [("route", route), ("method", "GET"), ("status", status)];
        metrics.value("weir_gateway_request_duration_seconds_count", &labels)
    };
    assert_eq!((count("/metrics", "403"), count("other", "403"), count("other", "404")), (Some(2.0), Some(2.0), Some(1.0)));
    assert_eq!(metrics.all("weir_gateway_request_duration_seconds_count", &[]).count(), 3);
}

#[tokio::test]
async fn unavailable_metrics_are_omitted_and_the_rest_is_reported() {
    let fixture = GatewayFixture::with_flow().await;
    let before = scrape(fixture.get_request("/metrics")).await;
    assert_eq!(before.value("weir_queue_exists", &[("subscription", "worker--one--input")]), Some(1.0));
    fixture.backend.close().await;
    let metrics = scrape(fixture.get_request("/metrics")).await;
    assert_eq!(metrics.value("weir_service_reachable", &[("service", "config")]), Some(0.0));
    assert_eq!(metrics.value("weir_service_reachable", &[("service", "broker")]), Some(0.0));
    assert_eq!(metrics.value("weir_config_version", &[]), None);
    assert_eq!(metrics.all("weir_queue_exists", &[]).count(), 0);
    assert_eq!(metrics.all("weir_gateway_request_duration_seconds_count", &[("route", "/metrics")]).count(), 1);
}

#[tokio::test]
async fn the_documented_table_of_metrics_is_complete() {
    let fixture = GatewayFixture::new().await;
    let metrics = scrape(fixture.get_request("/metrics")).await;
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md")).unwrap();
    let mut documented: Vec<String> = Vec::new();
    for line in document.lines().filter(|line| line.starts_with("| `weir_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        documented.extend(cells[1].split(", ").map(|name| format!("{} {}", name.trim_matches('`'), cells[2])));
    }
    documented.sort_unstable();
    let told: Vec<String> = metrics.families().map(|(name, family)| format!("{name} {}", family.kind)).collect();
    assert_eq!(documented, told);
}
