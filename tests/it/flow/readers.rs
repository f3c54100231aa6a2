//! A flow with a processor that nothing serves is refused if that is required, and otherwise gets a note.

use serde_json::{Value, json};
use weir_flow::{FlowError, StartFlow};
use weir_pubsub::Message;

use super::support::*;

/// Two processors that nothing serves, one of them misspelt, and one that is deployed.
fn blueprint() -> Value {
    json!({
        "blueprint": {"index:{blueprint}": {"topics": {"input": "flow:tg:index:{blueprint}"}}},
        "flow": {
            "splitter:{id}": {"topics": {"input": "flow:tg:text:{id}", "output": "flow:tg:chunks:{id}"}, "parameters": {"size": "1"}},
            "splittre:{id}": {"topics": {"input": "flow:tg:chunks:{id}"}},
        }
    })
}

async fn start(fixture: &FlowFixture, id: &str, external: &[&str]) -> Result<Vec<String>, FlowError> {
    let external = external.iter().map(ToString::to_string).collect();
    let flow = StartFlow { id: id.into(), blueprint: "b".into(), require_readers: true, external, ..StartFlow::default() };
    within_deadline(fixture.flows.start_flow(flow)).await
}

/// A host's summary: what it was started to serve, and which entries it has.
async fn report(fixture: &FlowFixture, serves: &[&str], has: &[&str]) {
    let report = json!({
        "host": "h", "version": "0", "started-ms": 0, "time-ms": 0, "config-version": 1, "states": {}, "totals": {}, "flows-count": 0,
        "digests-count": 0, "serves": serves, "processors": has,
    });
    let producer = fixture.backend.producer(&"notify:tg:weir-status".parse().unwrap()).await.unwrap();
    producer.publish_confirmed(Message::new(report.to_string())).await.unwrap();
}

async fn ready() -> (FlowFixture, weir_flow::FlowService) {
    let (fixture, service) = FlowFixture::ready().await;
    fixture.flows.put_blueprint("b", &blueprint().to_string()).await.unwrap();
    (fixture, service)
}

#[tokio::test]
async fn all_unserved_processors_are_reported_at_once_and_nothing_is_created() {
    let (fixture, _service) = ready().await;
    let before = (fixture.everything().await, fixture.queues());
    let error = start(&fixture, "one", &[]).await.unwrap_err().to_string();
    for words in ["`index`", "`splittre` (did you mean `splitter`?)", "weir deploy NAME FILE.wasm", "--external NAME"] {
        assert!(error.contains(words), "`{words}` is missing in {error}");
    }
    assert!(!error.contains("`splitter`,"), "{error}");
    assert_eq!((fixture.everything().await, fixture.queues()), before);
    // As on the shared wire, where it is a note.
    let notes = fixture.start_on("b", "two", json!({})).await.unwrap();
    assert_eq!(notes.iter().filter(|note| note.contains("nothing is deployed or registered")).count(), 2, "{notes:?}");
}

#[tokio::test]
async fn undeployed_components_are_in_the_same_list() {
    let (fixture, _service) = ready().await;
    let mut text = blueprint();
    text["flow"]["reader:{id}"] = json!({"topics": {"input": "flow:tg:chunks:{id}"}, "component": "reader@9.0.0"});
    fixture.flows.put_blueprint("b", &text.to_string()).await.unwrap();
    let error = start(&fixture, "one", &["index"]).await.unwrap_err().to_string();
    for words in ["`splittre`", "`reader` (its component `reader@9.0.0` is not deployed)"] {
        assert!(error.contains(words), "`{words}` is missing in {error}");
    }
    // Alone it is reported with what exists, and no program outside of Weir takes its place.
    let error = start(&fixture, "one", &["index", "splittre", "reader"]).await.unwrap_err().to_string();
    assert!(error.contains("`reader@9.0.0` is not deployed (deployed: none of that name)"), "{error}");
}

#[tokio::test]
async fn external_processors_are_named_by_the_start() {
    let (fixture, _service) = ready().await;
    let error = start(&fixture, "one", &["index"]).await.unwrap_err().to_string();
    assert!(error.contains("`splittre`") && !error.contains("`index`"), "{error}");
    let notes = start(&fixture, "one", &["index", "splittre", "indx"]).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("`indx` is not a processor of the blueprint") && note.contains("`index`")), "{notes:?}");
    // On the wire in both forms of the name.
    let raw = fixture.raw().await;
    for (field, flow) in [("require_readers", "three"), ("require-readers", "four")] {
        let mut request = json!({"operation": "start-flow", "flow_id": flow, "blueprint_name": "b", "external": ["index"]});
        request[field] = json!(true);
        let (kind, message) = raw.error(&request).await;
        assert!(kind == "flow-error" && message.contains("`splittre`"), "{kind}: {message}");
    }
}

#[tokio::test]
async fn descriptors_deployments_and_hosts_count_as_subscribers() {
    let (fixture, _service) = ready().await;
    fixture.put("descriptor", "index", &json!({"schema": 1, "consumers": ["input"]})).await;
    let error = start(&fixture, "one", &[]).await.unwrap_err().to_string();
    assert!(error.contains("`splittre`") && !error.contains("`index`"), "{error}");
    for (id, serves, has) in [("one", vec!["splittre"], vec![]), ("two", vec![], vec!["splittre"])] {
        report(&fixture, &serves, &has).await;
        until(async || start(&fixture, id, &[]).await.is_ok()).await;
        report(&fixture, &[], &[]).await;
        // It may have been started before the report arrived.
        until(async || match start(&fixture, "never", &[]).await {
            Ok(_) => fixture.flows.stop_flow("never").await.is_err(),
            Err(error) => error.to_string().contains("`splittre`"),
        })
        .await;
    }
    fixture.put("component", "splittre@1.0.0", &json!({
        "digest": format!("sha256:{}", "cd".repeat(32)), "size-bytes": 1, "world": "0.1.0", "descriptor": {"schema": 1, "consumers": ["input"]}
    })).await;
    start(&fixture, "three", &[]).await.unwrap();
}

#[tokio::test]
async fn a_shared_entry_without_a_component_is_not_served_by_a_later_deployment() {
    let (fixture, _service) = ready().await;
    start(&fixture, "one", &["index", "splittre"]).await.unwrap();
    fixture.put("component", "index@1.0.0", &json!({
        "digest": format!("sha256:{}", "cd".repeat(32)), "size-bytes": 1, "world": "0.1.0", "descriptor": {"schema": 1, "consumers": ["input"]}
    })).await;
    let error = start(&fixture, "two", &["splittre"]).await.unwrap_err().to_string();
    assert!(error.contains("`index`"), "{error}");
}
