//! Parameters, from the request to the entry.

use serde_json::{Value, json};

use super::support::FlowFixture;

async fn parameters(fixture: &FlowFixture, declared: Value, given: Value) -> Value {
    let blueprint = json!({
        "blueprint": {},
        "flow": {"worker:{id}": {"topics": {"input": "flow:tg:in:{id}"}, "parameters": {"is-{a}": "{a}/{b}/{missing}"}}},
        "parameters": declared
    });
    fixture.flows.put_blueprint("p", &blueprint.to_string()).await.unwrap();
    fixture.start_on("p", "p", given).await.unwrap();
    let record = fixture.get("flow", "p").await.unwrap();
    let entry = fixture.get("processor:worker", "p").await.unwrap();
    let answered = fixture.flows.get_flow("p").await.unwrap().parameters;
    assert_eq!(record["parameters"], serde_json::to_value(answered).unwrap());
    fixture.flows.stop_flow("p").await.unwrap();
    json!([record["parameters"], entry["parameters"]])
}

#[tokio::test]
async fn values_defaults_and_controllers_reach_record_and_entry() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.put("parameter-type", "flag", &json!({"default": true})).await;
    fixture.put("parameter-type", "share", &json!({"default": 1.0, "required": true})).await;
    fixture.put("parameter-type", "plain", &json!({"type": "string"})).await;
    assert_eq!(
        parameters(&fixture, json!({"a": {"type": "flag"}, "b": {"type": "share", "controlled-by": "a"}}), json!({"extra": 5})).await,
        json!([{"a": "true", "b": "1.0", "extra": "5"}, {"is-true": "true/1.0/{missing}"}])
    );
    assert_eq!(
        parameters(&fixture, json!({"a": {"type": "plain", "controlled-by": "b"}, "b": {"type": "plain"}}), json!({"b": 0.25})).await,
        json!([{"a": "0.25", "b": "0.25"}, {"is-0.25": "0.25/0.25/{missing}"}])
    );
    assert_eq!(
        parameters(&fixture, json!({"a": {"type": "plain"}, "b": {"type": "plain"}}), json!({})).await,
        json!([{}, {"is-{a}": "{a}/{b}/{missing}"}])
    );
}

#[tokio::test]
async fn a_changed_default_takes_effect_at_the_next_start() {
    let (fixture, _service) = FlowFixture::ready().await;
    for default in ["old", "new"] {
        fixture.put("parameter-type", "t", &json!({"default": default})).await;
        assert_eq!(parameters(&fixture, json!({"a": {"type": "t"}}), json!({})).await[0], json!({"a": default}));
    }
}
