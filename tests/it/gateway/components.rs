//! Deployments.

use serde_json::{Value, json};

use super::fixture::{GatewayFixture, answer, error_of};

const ECHO: &str = r#"component {"schema": 1, "name": "echo", "version": "1.0.0"}"#;
const OTHER: &str = r#"component {"schema": 1, "name": "echo", "version": "1.0.0", "description": "other"}"#;
const NAMELESS: &str = r#"component {"schema": 1}"#;

async fn deploy(fixture: &GatewayFixture, query: &str, file: &'static str) -> (u16, Value) {
    answer(fixture.post_request(&format!("/api/v1/weir/components{query}"), "application/wasm", file)).await
}

#[tokio::test]
async fn a_component_is_stored_and_recorded_under_its_own_name_or_the_given_one() {
    let fixture = GatewayFixture::new().await;
    let (status, own) = deploy(&fixture, "", ECHO).await;
    assert_eq!((status, &own["name"], &own["version"], &own["unchanged"]), (200, &json!("echo"), &json!("1.0.0"), &json!(false)));
    let (_, given) = deploy(&fixture, "?name=parrot&version=2.0.0", ECHO).await;
    assert_eq!((&given["name"], &given["version"]), (&json!("parrot"), &json!("2.0.0")));
    let digest = own["record"]["digest"].as_str().unwrap();
    let bytes = fixture.get_request(&format!("/api/v1/weir/components/{digest}")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, ECHO);
    let recorded = fixture.config.list("component").await.unwrap().value;
    assert_eq!(recorded, ["echo@1.0.0", "parrot@2.0.0"]);
}

#[tokio::test]
async fn a_version_belongs_to_the_first_file_deployed_under_it() {
    let fixture = GatewayFixture::new().await;
    deploy(&fixture, "", ECHO).await;
    let (status, again) = deploy(&fixture, "", ECHO).await;
    assert_eq!((status, &again["unchanged"]), (200, &json!(true)));
    let (status, body) = deploy(&fixture, "", OTHER).await;
    assert_eq!(status, 409);
    let message = error_of(&body, "conflict");
    assert!(message.starts_with("echo@1.0.0 is already used by another file (sha256:"), "{message}");
}

#[tokio::test]
async fn an_invalid_deployment_is_refused_by_field() {
    let fixture = GatewayFixture::new().await;
    let check = async |query: &str, file, status: u16, kind: &str, words: &str| {
        let (actual, body) = deploy(&fixture, query, file).await;
        let message = error_of(&body, kind);
        assert_eq!(actual, status, "{body}");
        assert!(message.contains(words), "{message}");
    };
    check("", "text", 422, "bad-component", "cannot be deployed: it is no component").await;
    check("", NAMELESS, 400, "bad-request", "name: is missing from the request and the component's descriptor").await;
    check("?name=a", NAMELESS, 400, "bad-request", "version: is missing from the request").await;
    check("?name=Big%20Name&version=1.0.0", NAMELESS, 400, "bad-request", "`Big Name` must be lower-case words").await;
    check("?name=a&version=one", NAMELESS, 400, "bad-request", "`one` is not a semantic version").await;
    assert!(fixture.config.list("component").await.unwrap().value.is_empty());
    let (status, body) = fixture.get("/api/v1/weir/components/abc").await;
    assert_eq!((status, error_of(&body, "bad-request").contains("64 lower-case")), (400, true));
    let (status, body) = fixture.get(&format!("/api/v1/weir/components/{}", "0".repeat(64))).await;
    assert_eq!((status, error_of(&body, "not-found").contains("is not in the store")), (404, true));
}

#[tokio::test]
async fn a_deployment_lists_the_running_entries_it_does_not_affect() {
    let fixture = GatewayFixture::with_flow().await;
    let (_, body) = deploy(&fixture, "?name=worker&version=1.0.0", ECHO).await;
    assert_eq!(body["not-reached"], json!([{"processor": "worker", "variant": "one", "flow": "one"}]));
}

#[tokio::test]
async fn a_deployed_version_keeps_its_limits() {
    let fixture = GatewayFixture::new().await;
    let limits = |text: &str| format!("?limits={}", text.replace('"', "%22").replace('{', "%7B").replace('}', "%7D"));
    for (text, words) in [
        (r#"{"memory-bytes":3}"#, "limits.memory-bytes is 3; must be between 65536 and 268435456"),
        (r#"{"time-ms":3600001}"#, "limits.time-ms is 3600001; must be between 1 and 3600000"),
        (r#"{"sends-count":5000000000}"#, "limits.sends-count is 5000000000"),
        (r#"{"sends-bytes":1073741824}"#, "the broker accepts at most"),
        (r#"{"time-ms":"soon"}"#, "invalid type"),
        (r#"{"memory":1}"#, "limit `memory` does not exist; must be one of: memory-bytes, time-ms"),
    ] {
        let (status, body) = deploy(&fixture, &limits(text), ECHO).await;
        let message = error_of(&body, "bad-request");
        assert!(status == 400 && message.contains(words), "{message}");
    }
    assert!(fixture.config.list("component").await.unwrap().value.is_empty());
    let (_, first) = deploy(&fixture, &limits(r#"{"time-ms":5}"#), ECHO).await;
    assert_eq!(first["record"]["limits"], json!({"time-ms": 5}), "nothing else is recorded");
    for same in [limits(r#"{"time-ms":5}"#), String::new()] {
        let (status, again) = deploy(&fixture, &same, ECHO).await;
        assert_eq!((status, &again["unchanged"], &again["record"]), (200, &json!(true), &first["record"]));
    }
    for other in [r#"{"time-ms":6}"#, r#"{"time-ms":5,"sends-count":7}"#] {
        let (status, body) = deploy(&fixture, &limits(other), ECHO).await;
        let message = error_of(&body, "conflict");
        assert!(status == 409 && message.contains("another version") && message.contains("weir components remove echo@1.0.0"), "{message}");
    }
    let (status, shown) = fixture.get("/api/v1/weir/deployments/echo@1.0.0").await;
    assert_eq!((status, &shown["record"]), (200, &first["record"]));
    assert_eq!(shown["limits"]["time-ms"], json!({"value": 5, "from": "deployment"}));
    assert_eq!(shown["limits"]["sends-count"], json!({"value": 1000, "from": "settings"}));
    assert_eq!(shown["retry"]["attempts-count"], json!({"value": 5, "from": "settings"}));
    let (status, body) = fixture.get("/api/v1/weir/deployments/echo@2.0.0").await;
    assert_eq!((status, error_of(&body, "not-found").contains("deployment echo@2.0.0")), (404, true));
}
