//! Requests that cannot be fulfilled: each is answered with the problem, and nothing is changed.

use serde_json::{Value, json};

use super::support::{FlowFixture, blueprint};

/// Sends a request, and checks that the answer is this error and that nothing was changed.
async fn check(fixture: &FlowFixture, request: Value, expected: &str) {
    let before = (fixture.config.version().await.unwrap(), fixture.everything().await, fixture.queues());
    let (kind, message) = fixture.raw().await.error(&request).await;
    assert_eq!((kind.as_str(), message.as_str()), ("flow-error", expected), "{request}");
    assert_eq!((fixture.config.version().await.unwrap(), fixture.everything().await, fixture.queues()), before, "{request}");
}

fn start(more: &Value) -> Value {
    let mut request =
        json!({"operation": "start-flow", "blueprint_name": "text", "flow_id": "one", "description": "", "parameters": {"size": 1}});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

#[tokio::test]
async fn an_invalid_start_is_reported_and_changes_nothing() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("taken", json!({"size": 1})).await.unwrap();
    let check = async |more: Value, expected: &str| check(&fixture, start(&more), expected).await;
    for nothing in [json!(null), json!("")] {
        check(json!({"blueprint_name": nothing}), "field `blueprint_name` of the request: blueprint name is missing: add it").await;
        check(json!({"flow_id": nothing}), "field `flow_id` of the request: flow id is missing: add it").await;
    }
    check(json!({"description": null}), "field `description` of the request: is null: give a string, which may be empty").await;
    check(json!({"flow_id": "taken"}), "flow `taken` already exists; stop it first, or choose another id").await;
    check(
        json!({"blueprint_name": "nothing"}),
        "blueprint `nothing` does not exist: store it first, or use one listed by `weir blueprint list`",
    )
    .await;
    check(json!({"parameters": {"size": "big"}}), "parameter `size`: `big` is not a whole number").await;
    check(json!({"parameters": {"size": [1]}}), "parameter `size`: must be a string, a number or a boolean").await;
    check(json!({"parameters": {}}), "section `flow`, processor `splitter:{id}`, parameter `size`: `{size}` is not a whole number: the flow's parameter `size` has no value and no default; give it a value").await;
    check(
        json!({"flow_id": "a/b"}),
        "field `flow_id` of the request: `a/b`: the name contains '/': names must not contain control characters, /, * or #",
    )
    .await;
    check(json!({"flow_id": ".."}), "field `flow_id` of the request: `..`: `..` cannot be used in the path of a URL: choose another name")
        .await;
    check(
        json!({"flow_id": "x".repeat(10_000)}),
        &format!("field `flow_id` of the request: `{}...`: the name has 10000 bytes; the limit is 128: shorten it", "x".repeat(80)),
    )
    .await;
}

#[tokio::test]
async fn a_required_parameter_is_missing_even_if_its_controller_has_a_value() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.put("parameter-type", "need", &json!({"required": true})).await;
    let mut blueprint = blueprint();
    blueprint["parameters"]["p"] = json!({"type": "need", "controlled-by": "size"});
    fixture.flows.put_blueprint("needy", &blueprint.to_string()).await.unwrap();
    check(&fixture, start(&json!({"blueprint_name": "needy"})), "parameter `p`: is required and has no default: give it a value").await;
}

#[tokio::test]
async fn a_start_of_a_faulty_blueprint_written_around_the_service_changes_nothing() {
    let (fixture, _service) = FlowFixture::ready().await;
    let cases = [
        (json!({"flow": {}}), "section `blueprint`: is missing: add \"blueprint\": {}, even if it is empty"),
        (
            json!({"blueprint": {}, "flow": {"a:b": {}}, "interfaces": {"x": "flow:tg:x"}}),
            "section `interfaces`, interface `x`: is a plain string: write {\"flow\": \"flow:tg:x\"}",
        ),
        (
            json!({"blueprint": {}, "flow": {"a:b": {"parameters": {"n": 5}}}}),
            "section `flow`, processor `a:b`, parameter `n`: is the number 5, and must be a string: write \"5\"",
        ),
        (
            json!({"blueprint": {}, "flow": {"ab": {}}}),
            "section `flow`, processor `ab`: the key has no variant: write it as PROCESSOR:VARIANT, for example \"chunker:{id}\"",
        ),
    ];
    for (blueprint, expected) in cases {
        fixture.put("flow-blueprint", "faulty", &blueprint).await;
        check(&fixture, start(&json!({"blueprint_name": "faulty"})), expected).await;
        let put = json!({"operation": "put-blueprint", "blueprint_name": "other", "blueprint_definition": blueprint.to_string()});
        check(&fixture, put, expected).await;
    }
}

#[tokio::test]
async fn a_blueprint_is_refused_before_it_is_stored() {
    let (fixture, _service) = FlowFixture::ready().await;
    let put =
        |name: Value, definition: Value| json!({"operation": "put-blueprint", "blueprint_name": name, "blueprint_definition": definition});
    check(&fixture, put(json!("b"), json!(null)), "field `blueprint_definition` of the request: blueprint is missing: add it").await;
    check(&fixture, put(json!(null), json!("{}")), "field `blueprint_name` of the request: blueprint name is missing: add it").await;
    check(&fixture, put(json!("b"), json!("{\n x")), "the blueprint is not JSON: key must be a string at line 2, column 2").await;
    check(
        &fixture,
        put(json!("b\u{1}"), json!("{}")),
        "field `blueprint_name` of the request: `b\\u{1}`: the name contains '\\u{1}': names must not contain control characters, /, * or #",
    )
    .await;
}

#[tokio::test]
async fn an_invalid_stop_is_reported_and_changes_nothing() {
    let (fixture, _service) = FlowFixture::ready().await;
    for nothing in [json!(null), json!("")] {
        check(
            &fixture,
            json!({"operation": "stop-flow", "flow_id": nothing}),
            "field `flow_id` of the request: flow id is missing: add it",
        )
        .await;
    }
    check(&fixture, json!({"operation": "stop-flow", "flow_id": "x"}), "flow `x` does not exist: `weir flow list` lists all flows").await;
    check(&fixture, json!({"operation": "get-flow", "flow_id": "x"}), "flow `x` does not exist: `weir flow list` lists all flows").await;
}

#[tokio::test]
async fn unreadable_requests_are_answered_and_never_block_the_service() {
    let (fixture, _service) = FlowFixture::ready().await;
    let raw = fixture.raw().await;
    for body in ["", "nonsense", "5", r#"{"operation": 5}"#, r#"{"operation": "start-flow", "parameters": []}"#] {
        let answer = raw.text(body).await;
        assert!(answer.contains(r#""error":{"type":"flow-error","message":"the request cannot be read"#), "{body} gave {answer}");
    }
    fixture.send("request:tg:flow", r#"{"operation": "list-flows"}"#).await;
    fixture.send("request:tg:flow", "nonsense").await;
    assert!(fixture.flows.list_flows().await.unwrap().is_empty());
}
