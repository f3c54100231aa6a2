//! What the services publish, byte for byte, as seen by any client of AMQP 0-9-1.

use serde_json::{Value, json};
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};

use super::peer::{must, run};
use super::processors::{pair, put_blueprint, start, weir};
use crate::cli::start_echo;

/// Sends requests; returns for each the notifications before the answer, and the answer. The properties of all are checked.
async fn exchanged(vhost: &Vhost, service: &str, requests: &[&str]) -> Vec<(Vec<Value>, Value)> {
    let printed = run(vhost, "frames.py", &[&[service], requests].concat()).await;
    let lines = printed.lines().map(|line| serde_json::from_str::<Vec<Value>>(line).unwrap());
    let checked = lines.enumerate().map(|(number, mut seen)| {
        let answer = seen.pop().unwrap();
        let properties = json!({"headers": {"id": format!("request-{number}")}, "content_type": "application/json", "delivery_mode": 1});
        assert_eq!(answer["properties"], properties, "{}", requests[number]);
        for notify in &seen {
            assert_eq!(notify["key"], "notify.config");
            assert_eq!(notify["properties"], json!({"content_type": "application/json", "delivery_mode": 1}));
            assert!(notify["body"]["version"].is_u64() && notify["body"]["types"].is_array(), "{notify}");
        }
        (seen.into_iter().map(|notify| notify["body"].clone()).collect(), answer["body"].clone())
    });
    checked.collect()
}

/// An answer with all fields, and these values.
fn answer_of_config(fields: Value) -> Value {
    let mut answer = json!({"version": 0, "values": [], "directory": [], "config": {}, "error": null});
    answer.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    answer
}

fn answer_of_flow(fields: Value) -> Value {
    let mut answer = json!({
        "blueprint_names": [], "flow_ids": [], "blueprint_definition": "", "flow": "", "description": "", "parameters": {}, "error": null,
    });
    answer.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    answer
}

/// The answer without the text of its error, which is Weir's own.
fn without_text(mut answer: Value) -> Value {
    if let Some(error) = answer["error"].as_object_mut() {
        let text = error.remove("message");
        assert!(text.is_some_and(|text| text.as_str().is_some_and(|text| !text.is_empty())));
    }
    answer
}

#[tokio::test]
async fn the_config_service_answers_and_notifies_exactly() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(&vhost, folder.path()).await;
    let value = |key: &str, value: Value| json!({"type": "t", "key": key, "value": value});
    let put = r#"{"operation": "put", "values": [{"type": "t", "key": "k", "value": "v"}], "keys": null, "type": null, "unknown": 1}"#;
    let seen = exchanged(
        &vhost,
        "config",
        &[
            put,
            put,
            r#"{"operation": "get", "keys": [{"type": "t", "key": "none"}, {"type": "t", "key": "k"}], "type": "", "values": []}"#,
            r#"{"operation": "list", "keys": [], "type": "t", "values": []}"#,
            r#"{"operation": "getvalues", "type": "t"}"#,
            r#"{"operation": "config"}"#,
            r#"{"operation": "delete", "keys": [{"type": "t", "key": "k"}, {"type": "u", "key": "none"}]}"#,
            r#"{"operation": "get", "keys": null}"#,
            r#"{"operation": "put", "values": null}"#,
            r#"{"operation": "zap"}"#,
            "{}",
            "no JSON",
        ],
    )
    .await;
    let (notifies, answers): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
    let version = |at: usize| notifies[at].last().unwrap()["version"].as_u64().unwrap();
    // One step each, even if nothing changes, and the notification before the answer.
    assert_eq!(notifies[0].last().unwrap()["types"], json!(["t"]));
    assert!(version(1) > version(0) && version(6) > version(1));
    let mut types: Vec<_> = notifies[6].last().unwrap()["types"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    types.sort_unstable();
    assert_eq!(types, ["t", "u"]);
    for at in [0, 1, 6] {
        assert_eq!(answers[at], answer_of_config(json!({})));
    }
    let current = answers[2]["version"].as_u64().unwrap();
    assert!(current >= version(1));
    let values = json!([value("none", Value::Null), value("k", json!("v"))]);
    assert_eq!(answers[2], answer_of_config(json!({"version": current, "values": values})));
    assert_eq!(answers[3], answer_of_config(json!({"version": answers[3]["version"], "directory": ["k"]})));
    assert_eq!(answers[4], answer_of_config(json!({"version": answers[4]["version"], "values": [value("k", json!("v"))]})));
    assert_eq!(answers[5], answer_of_config(json!({"version": answers[5]["version"], "config": answers[5]["config"]})));
    assert_eq!(answers[5]["config"]["t"], json!({"k": "v"}));
    for (at, kind) in [(7, "config-error"), (8, "config-error"), (9, "bad-operation"), (10, "bad-operation"), (11, "config-error")] {
        assert_eq!(without_text(answers[at].clone()), answer_of_config(json!({"error": {"type": kind}})), "{at}");
    }
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn the_flow_service_answers_exactly() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(&vhost, folder.path()).await;
    must(&vhost, &[put_blueprint("pair", &pair("outside")), start("pair", "one", &json!({"mark": "m"}))]).await;
    let seen = exchanged(
        &vhost,
        "flow",
        &[
            r#"{"operation": "list-blueprints", "blueprint_name": null, "parameters": null}"#,
            r#"{"operation": "list-flows"}"#,
            r#"{"operation": "get-blueprint", "blueprint_name": "none"}"#,
            r#"{"operation": "get-blueprint", "blueprint_name": "pair"}"#,
            r#"{"operation": "get-flow", "flow_id": "one"}"#,
            r#"{"operation": "start-flow", "blueprint_name": "pair", "flow_id": "two", "description": null}"#,
            r#"{"operation": "start-flow", "blueprint_name": "pair", "flow_id": null, "description": ""}"#,
            r#"{"operation": "start-flow", "blueprint_name": null, "flow_id": "two", "description": ""}"#,
            r#"{"operation": "stop-flow", "flow_id": "two"}"#,
            r#"{"operation": "zap"}"#,
            r#"{"operation": "stop-flow", "flow_id": "one"}"#,
        ],
    )
    .await;
    let answers: Vec<Value> = seen.iter().map(|(_, answer)| answer.clone()).collect();
    assert_eq!(answers[0], answer_of_flow(json!({"blueprint_names": ["pair"]})));
    assert_eq!(answers[1], answer_of_flow(json!({"flow_ids": ["one"]})));
    assert_eq!(answers[2], answer_of_flow(json!({"blueprint_definition": null})));
    let definition: Value = serde_json::from_str(answers[3]["blueprint_definition"].as_str().unwrap()).unwrap();
    assert_eq!((definition, &answers[3]["error"]), (pair("outside"), &Value::Null));
    let record: Value = serde_json::from_str(answers[4]["flow"].as_str().unwrap()).unwrap();
    assert_eq!((&record["blueprint-name"], &record["parameters"]), (&json!("pair"), &json!({"mark": "m"})));
    assert_eq!((&answers[4]["description"], &answers[4]["parameters"]), (&json!("of a test"), &json!({"mark": "m"})));
    for (at, kind) in [(5, "flow-error"), (6, "flow-error"), (7, "flow-error"), (8, "flow-error"), (9, "bad-operation")] {
        assert!(seen[at].0.is_empty(), "an error changes nothing: {:?}", seen[at].0);
        assert_eq!(without_text(answers[at].clone()), answer_of_flow(json!({"error": {"type": kind}})), "{at}");
    }
    assert_eq!(answers[10], answer_of_flow(json!({})));
    let types: Vec<String> = seen[10].0.iter().map(|notify| notify["types"].to_string()).collect();
    assert!(
        types.iter().any(|types| types.contains("\"flow\"")) && types.iter().any(|types| types.contains("processor:outside")),
        "{types:?}"
    );
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn messages_of_flows_are_persistent_json() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(&vhost, folder.path()).await;
    start_echo(&weir, "echo", "one").await;
    assert_eq!(weir.post("/api/v1/flow/one/service/in", &json!({"a": 1})).await, json!({}));
    let get = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
    let path = format!("queues/{}/tg.flow.out%3Aone.gateway--one--out/get", vhost.name());
    let message = weir_tests::wait::eventually(weir_tests::wait::DEADLINE, "the message at the exit", || async {
        broker.management().post(&path, &get).await.get(0).cloned()
    })
    .await;
    assert_eq!((&message["exchange"], &message["routing_key"]), (&json!("tg"), &json!("flow.out:one")));
    let properties = &message["properties"];
    assert_eq!((&properties["delivery_mode"], &properties["content_type"]), (&json!(2), &json!("application/json")));
    let headers = properties["headers"].as_object().unwrap();
    assert!(headers.values().all(Value::is_string) && headers.contains_key("weir-id"), "{headers:?}");
    assert_eq!(serde_json::from_str::<Value>(message["payload"].as_str().unwrap()).unwrap(), json!({"a": 1}));
    assert_eq!(weir.end().await.code(), Some(0));
}
