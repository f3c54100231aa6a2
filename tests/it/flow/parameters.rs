//! Parameters, from the request to the entry.

use serde_json::{Value, json};

use super::support::Bench;

async fn parameters(bench: &Bench, declared: Value, given: Value) -> Value {
    let blueprint = json!({
        "blueprint": {},
        "flow": {"worker:{id}": {"topics": {"input": "flow:tg:in:{id}"}, "parameters": {"is-{a}": "{a}/{b}/{missing}"}}},
        "parameters": declared
    });
    bench.flows.put_blueprint("p", &blueprint.to_string()).await.unwrap();
    bench.start_on("p", "p", given).await.unwrap();
    let record = bench.get("flow", "p").await.unwrap();
    let entry = bench.get("processor:worker", "p").await.unwrap();
    let answered = bench.flows.get_flow("p").await.unwrap().parameters;
    assert_eq!(record["parameters"], serde_json::to_value(answered).unwrap());
    bench.flows.stop_flow("p").await.unwrap();
    json!([record["parameters"], entry["parameters"]])
}

#[tokio::test]
async fn values_defaults_and_controllers_reach_record_and_entry() {
    let (bench, _service) = Bench::ready().await;
    bench.put("parameter-type", "flag", &json!({"default": true})).await;
    bench.put("parameter-type", "share", &json!({"default": 1.0, "required": true})).await;
    bench.put("parameter-type", "plain", &json!({"type": "string"})).await;
    assert_eq!(
        parameters(&bench, json!({"a": {"type": "flag"}, "b": {"type": "share", "controlled-by": "a"}}), json!({"extra": 5})).await,
        json!([{"a": "true", "b": "1.0", "extra": "5"}, {"is-true": "true/1.0/{missing}"}])
    );
    assert_eq!(
        parameters(&bench, json!({"a": {"type": "plain", "controlled-by": "b"}, "b": {"type": "plain"}}), json!({"b": 0.25})).await,
        json!([{"a": "0.25", "b": "0.25"}, {"is-0.25": "0.25/0.25/{missing}"}])
    );
    assert_eq!(
        parameters(&bench, json!({"a": {"type": "plain"}, "b": {"type": "plain"}}), json!({})).await,
        json!([{}, {"is-{a}": "{a}/{b}/{missing}"}])
    );
}

#[tokio::test]
async fn a_changed_default_counts_at_the_next_start() {
    let (bench, _service) = Bench::ready().await;
    for default in ["old", "new"] {
        bench.put("parameter-type", "t", &json!({"default": default})).await;
        assert_eq!(parameters(&bench, json!({"a": {"type": "t"}}), json!({})).await[0], json!({"a": default}));
    }
}
