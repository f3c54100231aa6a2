//! What is refused before it is processed: web pages, other hosts, wrong types, bodies that are too large, unknown paths.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixture::{GatewayFixture, answer, error_of};

#[tokio::test]
async fn a_request_of_a_web_page_is_refused_on_every_path() {
    let fixture = GatewayFixture::new().await;
    for path in ["/healthz", "/api/v1/weir/status", "/nothing"] {
        let (status, body) = answer(fixture.get_request(path).header("origin", "http://localhost:8088")).await;
        assert_eq!(status, 403);
        assert!(error_of(&body, "forbidden").contains("a web page sent it"), "{body}");
    }
    let list = fixture.post_request("/api/v1/flow", "application/json", r#"{"operation": "list-flows"}"#).header("origin", "null");
    assert_eq!(answer(list).await.0, 403);
}

#[tokio::test]
async fn a_request_to_another_host_is_refused() {
    let fixture = GatewayFixture::new().await;
    let (status, body) = answer(fixture.get_request("/api/v1/weir/status").header("host", "weir.example:8088")).await;
    assert_eq!((status, error_of(&body, "forbidden").contains("weir.example:8088")), (403, true));
    let (status, _) = answer(fixture.get_request("/healthz").header("host", "localhost")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let fixture = GatewayFixture::new().await;
    let mut connection = TcpStream::connect(fixture.address).await.unwrap();
    connection.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.0 403"), "{text}");
}

#[tokio::test]
async fn a_body_of_another_type_is_refused_by_name() {
    let fixture = GatewayFixture::with_flow().await;
    let (status, body) = answer(fixture.post_request("/api/v1/flow", "text/plain", "{}")).await;
    // On the paths that Weir shares with others every error is an answer with status 200.
    assert_eq!(status, 200);
    expect_test::expect![[r#"the body is `text/plain`; this path accepts application/json: set the header `Content-Type`"#]]
        .assert_eq(&error_of(&body, "wrong-content-type"));
    let (status, _) = answer(fixture.post_request("/api/v1/weir/components", "application/json", "{}")).await;
    assert_eq!(status, 415);
    let (status, _) = answer(fixture.post_request("/api/v1/weir/flows/one/interfaces/in/messages", "text/plain", "1\n")).await;
    assert_eq!(status, 415);
    let (status, _) = answer(fixture.post_request("/api/v1/config", "application/json; charset=utf-8", r#"{"operation": "list"}"#)).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_oversized_body_is_refused_and_its_sender_receives_the_reason() {
    let fixture = GatewayFixture::with_flow().await;
    let (_, body) = answer(fixture.post_request("/api/v1/config", "application/json", vec![b' '; 17 << 20])).await;
    expect_test::expect!["the body has 17825792 bytes; this path accepts at most 16777216"].assert_eq(&error_of(&body, "too-large"));
    let message = format!("\"{}\"", "x".repeat(4 << 20));
    let (_, body) = answer(fixture.post_request("/api/v1/flow/one/service/in", "application/json", message)).await;
    expect_test::expect![[
        r#"the message was not sent to interface `in` of flow `one`: the body of the message has 4194306 bytes; the limit is 4194304"#
    ]]
    .assert_eq(&error_of(&body, "too-large"));
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 0);
}

#[tokio::test]
async fn missing_names_are_answered_with_the_existing_ones() {
    let fixture = GatewayFixture::with_flow().await;
    let (status, body) = fixture.get("/api/v1/other").await;
    assert_eq!((status, error_of(&body, "not-found").contains("GET /api/v1/other")), (404, true));
    let (status, body) = fixture.get("/api/v1/flow").await;
    assert_eq!((status, error_of(&body, "not-found").contains("GET /api/v1/flow")), (404, true));
    let (status, body) = fixture.post("/api/v1/flow/two/service/in", &json!(1)).await;
    assert_eq!(status, 200);
    expect_test::expect![[r#"there is no flow `two`; flows: one"#]].assert_eq(&error_of(&body, "not-found"));
    let (status, body) = fixture.get("/api/v1/weir/flows/one/taps/outt").await;
    assert_eq!(status, 404);
    expect_test::expect![[r#"flow `one` has no interface `outt`; interfaces: ask, in, out"#]].assert_eq(&error_of(&body, "not-found"));
}
