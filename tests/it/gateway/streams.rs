//! Taps.

use serde_json::{Value, json};
use weir_tests::wait::within;

use super::fixture::{GatewayFixture, error_of};

#[tokio::test]
async fn a_tap_shows_passing_messages_and_takes_nothing() {
    let fixture = GatewayFixture::with_flow().await;
    let mut stream = fixture.get_request("/api/v1/weir/flows/one/taps/in?count=2").send().await.unwrap();
    fixture.publish("flow:tg:in:one", r#"{"a": 1}"#).await;
    fixture.publish("flow:tg:in:one", "no JSON").await;
    let mut text = Vec::new();
    while let Some(chunk) = within("the tap", stream.chunk()).await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    let lines: Vec<Value> = String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["body"], &lines[1]["text"], lines.len()), (&json!({"a": 1}), &json!("no JSON"), 2));
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 2);
}

#[tokio::test]
async fn an_unknown_query_parameter_is_refused() {
    let fixture = GatewayFixture::with_flow().await;
    let (status, body) = fixture.get("/api/v1/weir/flows/one/taps/in?counts=2").await;
    assert_eq!(status, 400);
    let message = error_of(&body, "bad-request");
    assert!(message.starts_with("the query: ") && message.contains("counts"), "{message}");
}
