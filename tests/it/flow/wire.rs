//! The operations as seen by any client of the broker.

use expect_test::expect;
use serde_json::{Value, json};

use super::support::{FlowFixture, blueprint};

#[tokio::test]
async fn every_response_is_complete() {
    let (fixture, _service) = FlowFixture::ready().await;
    let raw = fixture.raw().await;
    expect![[
        r#"{"blueprint_names":["text"],"flow_ids":[],"blueprint_definition":"","flow":"","description":"","parameters":{},"error":null}"#
    ]]
    .assert_eq(&raw.text(r#"{"operation": "list-blueprints"}"#).await);
    expect![[
        r#"{"blueprint_names":[],"flow_ids":[],"blueprint_definition":null,"flow":"","description":"","parameters":{},"error":null}"#
    ]]
    .assert_eq(&raw.text(r#"{"operation": "get-blueprint", "blueprint_name": "nothing"}"#).await);
    for operation in [r#"null"#, r#""""#, r#""swim""#] {
        let answer: Value = serde_json::from_str(&raw.text(&format!(r#"{{"operation": {operation}}}"#)).await).unwrap();
        assert_eq!(answer["error"]["type"], "bad-operation", "{operation}");
    }
    let answer: Value = serde_json::from_str(&raw.text("{}").await).unwrap();
    assert_eq!(answer["error"]["type"], "bad-operation");
}

#[tokio::test]
async fn blueprints_round_trip() {
    let (fixture, _service) = FlowFixture::ready().await;
    let text = format!(" {} ", blueprint());
    fixture.flows.put_blueprint("again", &text).await.unwrap();
    assert_eq!(fixture.flows.get_blueprint("again").await.unwrap(), Some(text));
    assert_eq!(fixture.flows.list_blueprints().await.unwrap(), ["again", "text"]);
    fixture.flows.delete_blueprint("again").await.unwrap();
    fixture.flows.delete_blueprint("again").await.unwrap();
    assert_eq!(fixture.flows.get_blueprint("again").await.unwrap(), None);
}

#[tokio::test]
async fn a_flow_is_returned_with_its_record() {
    let (fixture, _service) = FlowFixture::ready().await;
    let raw = fixture.raw().await;
    let start = json!({"operation": "start-flow", "blueprint_name": "text", "flow_id": "one", "description": "mine", "parameters": {"size": "9"}, "unknown": 1});
    raw.text(&start.to_string()).await;
    let answer: Value = serde_json::from_str(&raw.text(r#"{"operation": "get-flow", "flow_id": "one"}"#).await).unwrap();
    assert_eq!((&answer["description"], &answer["parameters"]), (&json!("mine"), &json!({"size": "9"})));
    let record: Value = serde_json::from_str(answer["flow"].as_str().unwrap()).unwrap();
    assert_eq!(record["blueprint-name"], "text");
    assert_eq!(record["interfaces"], json!({"text": {"flow": "flow:tg:text:one"}, "chunks": {"flow": "flow:tg:chunks:one"}}));
    assert_eq!(fixture.flows.list_flows().await.unwrap(), ["one"]);
}

#[tokio::test]
async fn a_start_needs_neither_description_nor_parameters() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.flows.put_blueprint("bare", r#"{"blueprint": {}, "flow": {"worker:{id}": {}}}"#).await.unwrap();
    let raw = fixture.raw().await;
    for (id, more) in [("a", ""), ("b", r#", "parameters": null"#)] {
        let answer = raw.text(&format!(r#"{{"operation": "start-flow", "blueprint_name": "bare", "flow_id": "{id}"{more}}}"#)).await;
        assert!(answer.ends_with(r#""error":null}"#), "{answer}");
    }
    assert_eq!(fixture.get("processor:worker", "a").await.unwrap(), json!({"topics": {}, "parameters": {}, "flow": "a"}));
}
