//! TrustGraph's processors and clients over RabbitMQ, unmodified, with Weir's services, gateway and components.

use std::path::Path;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::Weir;

use super::peer::{Running, must, names_with, queues, run};

pub(super) async fn weir(vhost: &Vhost, folder: &Path) -> Weir {
    Weir::up_in(folder, &[], &[("WEIR_BROKER_URL", vhost.url())]).await
}

pub(super) fn start(blueprint: &str, flow: &str, parameters: &Value) -> (&'static str, Value) {
    let start = json!({"operation": "start-flow", "blueprint_name": blueprint, "flow_id": flow, "description": "of a test", "parameters": parameters});
    ("flow", start)
}

pub(super) fn stop(flow: &str) -> (&'static str, Value) {
    ("flow", json!({"operation": "stop-flow", "flow_id": flow}))
}

pub(super) fn put_blueprint(name: &str, blueprint: &Value) -> (&'static str, Value) {
    ("flow", json!({"operation": "put-blueprint", "blueprint_name": name, "blueprint_definition": blueprint.to_string()}))
}

/// Sends a text through a flow of TrustGraph's text completion messages; returns the result.
pub(super) async fn through(weir: &Weir, flow: &str, text: &str) -> String {
    let message = json!({"system": "", "prompt": text});
    assert_eq!(weir.post(&format!("/api/v1/flow/{flow}/service/in"), &message).await, json!({}));
    let taken = within(format!("{text} out of {flow}"), weir.must(&["take", flow, "out", "--count", "1"])).await;
    let taken: Value = serde_json::from_str(&taken).unwrap();
    taken["prompt"].as_str().unwrap_or_else(|| panic!("{taken}")).to_owned()
}

/// One processor between `in` and `out`.
pub(super) fn pair(processor: &str) -> Value {
    let topics = json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"});
    json!({
        "description": "one processor",
        "blueprint": {},
        "flow": {format!("{processor}:{{id}}"): {"topics": topics, "parameters": {"mark": "{mark}"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
        "parameters": {"mark": {"type": "mark", "description": "What is put before", "order": 1}},
    })
}

#[tokio::test]
async fn a_processor_follows_flows_started_changed_and_stopped_by_requests() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(&vhost, folder.path()).await;
    let echo = Running::processor(&vhost, folder.path(), "echo").await;
    let types = json!({"operation": "put", "values": [{"type": "parameter-type", "key": "mark", "value": r#"{"type": "string", "default": "> "}"#}]});
    must(&vhost, &[("config", types), put_blueprint("pair", &pair("echo")), start("pair", "one", &json!({}))]).await;
    assert_eq!(through(&weir, "one", "the default").await, "> the default");

    // The configuration is changed by its client, and the processor applies the change while it runs.
    run(&vhost, "configure.py", &[" !"]).await;
    eventually(DEADLINE, "the processor to see the change", || async { through(&weir, "one", "x").await.ends_with(" !").then_some(()) })
        .await;
    let answers = must(&vhost, &[start("pair", "two", &json!({"mark": "2 "})), ("flow", json!({"operation": "list-flows"}))]).await;
    assert_eq!(answers[1]["flow_ids"], json!(["one", "two"]));
    assert_eq!(through(&weir, "two", "given").await, "2 given !");
    assert_eq!(through(&weir, "one", "beside").await, "> beside !");

    let input = queues(broker, &vhost).await.into_iter().find(|queue| queue["name"] == "tg.flow.in:one.echo--one--input").unwrap();
    assert_eq!(
        (&input["durable"], &input["auto_delete"], &input["arguments"]["x-max-length-bytes"]),
        (&json!(true), &json!(false), &Value::Null)
    );
    must(&vhost, &[stop("one")]).await;
    // It answers after the removal.
    assert_eq!(names_with(broker, &vhost, ":one").await, [""; 0]);
    assert_eq!(through(&weir, "two", "still there").await, "2 still there !");
    let answers = must(&vhost, &[stop("two"), ("flow", json!({"operation": "list-flows"}))]).await;
    assert_eq!(answers[1]["flow_ids"], json!([]));
    assert_eq!(names_with(broker, &vhost, ":two").await, [""; 0]);
    let said = echo.said();
    assert!(said.contains("Stopped flow: two") && !said.contains("Traceback"), "{said}");
    assert_eq!(weir.end().await.code(), Some(0));
}

/// Component, Python, component, Python.
pub(super) fn chain() -> Value {
    let topics = |from: &str, to: &str| json!({"input": format!("flow:tg:{from}:{{id}}"), "output": format!("flow:tg:{to}:{{id}}")});
    let component = |from: &str, to: &str| json!({"topics": topics(from, to), "component": "echo@1.0.0"});
    let python = |from: &str, to: &str, mark: &str| json!({"topics": topics(from, to), "parameters": {"mark": mark}});
    json!({
        "description": "both kinds",
        "blueprint": {},
        "flow": {
            "first:{id}": component("in", "a"),
            "second:{id}": python("a", "b", "2"),
            "third:{id}": component("b", "c"),
            "fourth:{id}": python("c", "out", "4"),
        },
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    })
}

#[tokio::test]
async fn trustgraph_processors_and_components_work_in_one_flow() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(&vhost, folder.path()).await;
    let _processors =
        [Running::processor(&vhost, folder.path(), "second").await, Running::processor(&vhost, folder.path(), "fourth").await];
    weir.must(&["deploy", guest_path("echo").to_str().unwrap()]).await;
    must(&vhost, &[put_blueprint("chain", &chain()), start("chain", "one", &json!({}))]).await;
    for text in ["hello", "Grüße", ""] {
        assert_eq!(through(&weir, "one", text).await, format!("42{text}"));
    }
    must(&vhost, &[stop("one")]).await;
    assert_eq!(names_with(broker, &vhost, ":one").await, [""; 0]);
    assert_eq!(weir.end().await.code(), Some(0));
}
