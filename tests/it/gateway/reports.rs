//! A real host behind the gateway: its summaries are small, its details arrive on request, and none of them is too large.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir_config::records::{DetailsRequest, HostSummary, ProcessorStatus, ReceivedDetails, ReportParts};
use weir_config::{Batch, ComponentFolder};
use weir_pubsub::{Backend, Consumer, ConsumerOptions, Message};
use weir_runtime::{Host, HostSettings};
use weir_tests::wait::{DEADLINE, before, eventually, within};

use super::fixture::GatewayFixture;
use crate::host_fixture::host_settings;

const SUMMARIES: &str = "notify:tg:weir-status";
const DETAILS: &str = "response:tg:weir-status";
const ASKS: &str = "notify:tg:weir-ask";

/// The time-out for a host with very many variants on a busy machine.
const LONG: std::time::Duration = std::time::Duration::from_secs(180);

async fn host(fixture: &GatewayFixture, id: &str) -> Host {
    let components = ComponentFolder::new(fixture.folder().join("components"));
    let settings = HostSettings { id: id.to_owned(), ..host_settings(fixture.folder(), &components) };
    Host::start(fixture.backend.clone(), fixture.config.clone(), settings).await.unwrap()
}

/// Puts entries whose component is not WebAssembly: each variant is permanently refused.
async fn put_entries(fixture: &GatewayFixture, count: usize) {
    let bytes = b"not WebAssembly";
    ComponentFolder::new(fixture.folder().join("components")).put(bytes).await.unwrap();
    let (name, digest) = ("n".repeat(200), weir_runtime::digest_of(bytes).to_string());
    let record =
        json!({"digest": digest, "size-bytes": bytes.len(), "world": "0.1.0", "descriptor": {"schema": 1, "consumers": ["input"]}});
    fixture.config.apply(Batch::new().put("component", format!("{name}@1.0.0"), record.to_string())).await.unwrap();
    let component = json!({"name": name, "version": "1.0.0", "digest": digest});
    let entry = json!({"topics": {"input": "flow:tg:in"}, "component": component}).to_string();
    let numbers: Vec<usize> = (0..count).collect();
    for portion in numbers.chunks(2_000) {
        let put = |batch: Batch, number: &usize| batch.put("processor:p", variant(*number), entry.clone());
        fixture.config.apply(portion.iter().fold(Batch::new(), put)).await.unwrap();
    }
}

fn variant(number: usize) -> String {
    format!("{number}-{}", "v".repeat(200))
}

async fn subscribe(fixture: &GatewayFixture, topic: &str) -> Box<dyn Consumer> {
    fixture.backend.consumer(&topic.parse().unwrap(), &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap()
}

async fn ask(fixture: &GatewayFixture, id: u64) {
    fixture.publish(ASKS, &serde_json::to_string(&DetailsRequest { id }).unwrap()).await;
}

async fn next(consumer: &dyn Consumer) -> Message {
    within("a report", consumer.receive()).await.unwrap().message
}

/// The next details, reassembled.
async fn details(consumer: &dyn Consumer) -> (Vec<u64>, Vec<ProcessorStatus>) {
    let mut parts = ReportParts::default();
    loop {
        let part = ReceivedDetails::read(&next(consumer).await.body).unwrap();
        if let Some(mut whole) = parts.take(part) {
            return (whole.answers.clone(), serde_json::from_str(whole.processors().get()).unwrap());
        }
    }
}

/// The hosts in the gateway's status.
async fn hosts(fixture: &GatewayFixture) -> Vec<Value> {
    fixture.get("/api/v1/weir/status").await.1["hosts"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_host_of_twenty_thousand_variants_reports_arrives() {
    const COUNT: usize = 20_000;
    let fixture = GatewayFixture::new().await;
    let (summaries, unasked) = (subscribe(&fixture, SUMMARIES).await, subscribe(&fixture, DETAILS).await);
    let host = host(&fixture, "h").await;
    put_entries(&fixture, COUNT).await;
    let mut parts = ReportParts::default();
    let whole = async {
        loop {
            let part: HostSummary = serde_json::from_slice(&next(&*summaries).await.body).unwrap();
            if let Some(whole) = parts.take(part).filter(|whole: &HostSummary| whole.refusals.len() == COUNT) {
                return whole;
            }
        }
    };
    let summary = before(LONG, "a summary with all refusals", whole).await;
    assert_eq!((summary.totals.variants_count, summary.processors), (COUNT as u64, vec!["p".to_owned()]));
    let refused: BTreeSet<String> = summary.refusals.into_iter().map(|refusal| refusal.variant).collect();
    assert!((0..COUNT).all(|number| refused.contains(&variant(number))));
    assert!(summary.errors.len() <= 10 && summary.status.report_problem.is_none());
    // A change publishes no details: those requested next are the first.
    ask(&fixture, 7).await;
    let (answers, processors) = details(&*unasked).await;
    assert_eq!((answers, processors.len()), (vec![7], COUNT));
    let shown = eventually(LONG, "all processors in the status", || async {
        let hosts = hosts(&fixture).await;
        let processors = hosts.first()?["processors"].as_array()?;
        (processors.len() == COUNT).then_some(hosts)
    })
    .await;
    let variants: BTreeSet<&str> = shown[0]["processors"].as_array().unwrap().iter().map(|it| it["variant"].as_str().unwrap()).collect();
    assert!((0..COUNT).all(|number| variants.contains(&*variant(number))));
    assert_eq!(shown[0].get("report-problem"), None);
    drop(host);
}

#[tokio::test]
async fn a_summary_has_sums_and_no_details_and_each_request_gets_details() {
    let fixture = GatewayFixture::new().await;
    let (summaries, answers) = (subscribe(&fixture, SUMMARIES).await, subscribe(&fixture, DETAILS).await);
    let _host = host(&fixture, "h").await;
    put_entries(&fixture, 3).await;
    let body: Value = loop {
        let body: Value = serde_json::from_slice(&next(&*summaries).await.body).unwrap();
        if body["refusals"].as_array().unwrap().len() == 3 {
            break body;
        }
    };
    assert_eq!((&body["host"], &body["totals"]["variants-count"], &body["processors"]), (&json!("h"), &json!(3), &json!(["p"])));
    assert!(body["states"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>() == 3, "{body}");
    fixture.publish(ASKS, "nonsense").await;
    for id in [1, 2, 3] {
        ask(&fixture, id).await;
    }
    let mut answered = Vec::new();
    while answered.len() < 3 {
        let (ids, processors) = details(&*answers).await;
        assert!(!ids.is_empty() && processors.len() == 3);
        answered.extend(ids);
    }
    assert_eq!(answered, [1, 2, 3]);
}

#[tokio::test]
async fn concurrent_requests_all_receive_current_details() {
    let fixture = GatewayFixture::new().await;
    let hosts_of_fixture = [host(&fixture, "a").await, host(&fixture, "b").await];
    let both = || async { (hosts(&fixture).await.len() == 2).then_some(()) };
    eventually(DEADLINE, "both hosts", both).await;
    put_entries(&fixture, 2).await;
    eventually(DEADLINE, "both entries at both hosts", || async {
        hosts(&fixture).await.iter().all(|host| host["processors"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    fixture.config.apply(Batch::new().delete("processor:p", variant(0))).await.unwrap();
    let version = fixture.config.version().await.unwrap();
    eventually(DEADLINE, "all who ask to see the change", || async {
        let all = futures_util::future::join_all((0..20).map(|_| fixture.get("/api/v1/weir/status"))).await;
        let is_new = |host: &Value| host["config-version"] == version && host["processors"].as_array().unwrap().len() == 1;
        let mut shown = all.iter().flat_map(|(_, status)| status["hosts"].as_array().unwrap());
        shown.all(|host| is_new(host) && host["age-ms"].as_u64().unwrap() < 500).then_some(())
    })
    .await;
    drop(hosts_of_fixture);
}

#[tokio::test]
async fn an_unresponsive_host_is_shown_with_its_last_details() {
    let fixture = GatewayFixture::new().await;
    let host = host(&fixture, "h").await;
    put_entries(&fixture, 2).await;
    let shown = eventually(DEADLINE, "the processors", || async {
        hosts(&fixture).await.into_iter().next().filter(|host| host["processors"].as_array().unwrap().len() == 2)
    })
    .await;
    drop(host);
    let old = eventually(DEADLINE, "an old report", || async {
        hosts(&fixture).await.into_iter().next().filter(|host| host["age-ms"].as_u64().unwrap() >= 400)
    })
    .await;
    assert!(old["time-ms"].as_u64() >= shown["time-ms"].as_u64());
    assert_eq!(old["processors"].as_array().unwrap().len(), 2);
    // Its figures stay unchanged.
    assert!(fixture.figure("weir_host_report_age_seconds", &[("host", "h")]).await > 0.4);
}

#[tokio::test]
async fn a_host_of_another_version_whose_details_cannot_be_read_is_shown_with_the_reason() {
    let fixture = GatewayFixture::new().await;
    let details =
        json!({"host": "h", "version": "9.0.0", "started-ms": 1, "time-ms": 2, "config-version": 1, "processors": [{"state": "flying"}]});
    let host = eventually(DEADLINE, "the host", || async {
        fixture.publish(DETAILS, &details.to_string()).await;
        hosts(&fixture).await.into_iter().next()
    })
    .await;
    let problem = host["report-problem"].as_str().unwrap();
    assert!(problem.contains("flying") && problem.contains("version 9.0.0"), "{problem}");
    assert_eq!(host["processors"], json!([]));
}
