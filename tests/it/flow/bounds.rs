//! What flows add is bounded, and anything large or broken nevertheless does not keep other flows from starting and stopping.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_config::{Batch, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowService, StartFlow};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, Limits};

use super::support::*;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn descriptions_and_parameters_are_bounded() {
    let (fixture, _service) = FlowFixture::ready().await;
    let before = fixture.everything().await;
    let check = async |flow: StartFlow, words: &[&str]| {
        let flow = StartFlow { id: "one".into(), blueprint: "text".into(), ..flow };
        let error = within_deadline(fixture.flows.start_flow(flow)).await.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    check(
        StartFlow { description: "x".repeat(16 * 1024 + 1), ..StartFlow::default() },
        &["`description`", "16385 bytes; the limit is 16384"],
    )
    .await;
    let parameters = |count: usize, bytes: usize| {
        let extra = (0..count).map(|at| (format!("p{at}"), json!("x".repeat(bytes))));
        StartFlow { parameters: extra.chain([("size".into(), json!(1))]).collect::<BTreeMap<_, _>>(), ..StartFlow::default() }
    };
    check(parameters(1, 65 << 10), &["`parameters`", "`p0`", "the limit is 65536"]).await;
    check(parameters(2_000, 1), &["`parameters`", "2001", "the limit is 1000"]).await;
    check(parameters(10, 32 << 10), &["`parameters`", "the limit is 262144"]).await;
    let put = async |change: fn(&mut Value), words: &[&str]| {
        let mut text = blueprint();
        change(&mut text);
        let error = within_deadline(fixture.flows.put_blueprint("large", &text.to_string())).await.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    put(|text| text["description"] = json!("x".repeat(17 << 10)), &["field `description`", "the limit is 16384"]).await;
    put(
        |text| text["flow"]["splitter:{id}"]["parameters"]["size"] = json!("x".repeat(65 << 10)),
        &["`splitter:{id}`", "`size`", "the limit is 65536"],
    )
    .await;
    put(|text| text["parameters"] = (0..1_001).map(|at| (format!("p{at}"), json!({}))).collect(), &["section `parameters`", "1001"]).await;
    assert_eq!(fixture.everything().await, before);
    fixture.start("one", json!({"size": 1})).await.unwrap();
}

/// A fixture whose broker carries answers of 4 MiB, with 12 MiB of configuration.
async fn large(folder: &std::path::Path, records: &[(String, String)]) -> (std::sync::Arc<dyn Backend>, ConfigService, ConfigClient) {
    let limits = Limits { max_answer_bytes: 4 * MIB, ..Limits::default() };
    let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
    let backend: std::sync::Arc<dyn Backend> = EmbeddedBroker::open_limited(&folder.join("queues"), limits, options).unwrap();
    let store = Store::open(&folder.join("config.sqlite")).await.unwrap();
    for at in 0..4 {
        store.apply(&Batch::new().put("large", at.to_string(), "x".repeat(MIB))).await.unwrap();
    }
    for (id, record) in records {
        store.apply(&Batch::new().put("flow", id, record)).await.unwrap();
    }
    let blueprint = json!({"blueprint": {}, "flow": {"p:{id}": {"topics": {"input": "flow:tg:in:{id}"}}}}).to_string();
    store.apply(&Batch::new().put("flow-blueprint", "b", blueprint)).await.unwrap();
    let service = ConfigService::start(backend.clone(), "tg", store).await.unwrap();
    let config = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
    (backend, service, config)
}

#[tokio::test]
async fn large_and_broken_records_block_nothing_and_stops_work_beyond_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    // As accepted by an earlier version, or written by another program.
    let described = |at: usize| {
        json!({"blueprint-name": "b", "description": "x".repeat(MIB), "interfaces": {}, "parameters": {}, "plan": {
            "queues": [{"topic": format!("flow:tg:in:large{at}"), "subscription": format!("p--large{at}--input")}],
            "entries": [{"processor": "p", "variant": format!("large{at}")}],
        }})
    };
    let mut records: Vec<(String, String)> = (0..8).map(|at| (format!("large{at}"), described(at).to_string())).collect();
    records.extend((0..50).map(|at| (format!("broken{at}"), "not JSON".to_owned())));
    let (backend, _config_service, config) = large(folder.path(), &records).await;
    assert!(config.everything().await.is_err(), "everything is more than one answer carries");
    let _service = within_deadline(FlowService::start(backend.clone(), config.clone(), "tg", quick())).await.unwrap();
    let flows = FlowClient::connect(backend.clone(), "tg").await.unwrap();
    // Nothing that makes it larger is accepted, and the error has the figures.
    let one = || StartFlow { id: "one".into(), blueprint: "b".into(), ..StartFlow::default() };
    let error = within_deadline(flows.start_flow(one())).await.unwrap_err().to_string();
    assert!(error.contains("bytes; the limit is"), "{error}");
    assert!(!backend.queue_exists(&spec("flow:tg:in:one", "p--one--input").queue).await.unwrap());
    // Each stop makes it smaller.
    for at in 0..8 {
        within_deadline(flows.stop_flow(&format!("large{at}"))).await.unwrap();
    }
    within_deadline(flows.stop_flow("broken7")).await.unwrap();
    config.apply(Batch::new().delete("large", "0").delete("large", "1")).await.unwrap();
    within_deadline(flows.start_flow(one())).await.unwrap();
    within_deadline(flows.stop_empty_flow("one")).await.unwrap();
    assert_eq!(flows.list_flows().await.unwrap().len(), 49);
}

#[tokio::test]
async fn flows_sharing_a_topic_are_found_among_many_that_do_not() {
    let (fixture, _service) = FlowFixture::ready().await;
    for at in 0..20 {
        fixture.start(&format!("f{at}"), json!({"size": 1})).await.unwrap();
    }
    let reader = json!({"blueprint": {}, "flow": {"reader:{id}": {"topics": {"input": "flow:tg:chunks:f7"}}}});
    fixture.flows.put_blueprint("reader", &reader.to_string()).await.unwrap();
    let consumed = async |flow: &str| fixture.get("processor:splitter", flow).await.unwrap()["consumed"].clone();
    assert_eq!((consumed("f7").await, consumed("f8").await), (json!(["counts", "output"]), json!(["counts", "output"])));
    fixture.start_on("reader", "r", json!({})).await.unwrap();
    fixture.flows.stop_flow("r").await.unwrap();
    for at in 1..20 {
        fixture.flows.stop_flow(&format!("f{at}")).await.unwrap();
    }
    assert!(fixture.get("processor:counter", "text").await.is_some(), "the last flow still uses the shared entry");
    fixture.flows.stop_flow("f0").await.unwrap();
    assert!(fixture.get("processor:counter", "text").await.is_none() && fixture.queues().is_empty());
}
