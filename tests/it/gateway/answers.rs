//! Imports that answer each message once it is stored.

use std::convert::Infallible;

use reqwest::{Body, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_pubsub::Queue;
use weir_tests::look::messages;
use weir_tests::wait::within;

use super::fixture::{GatewayFixture, NDJSON, answer, error_of};

const PATH: &str = "/api/v1/weir/flows/one/interfaces/in/messages?answers=true";

/// A body that grows on demand.
fn growing_body() -> (mpsc::Sender<&'static str>, Body) {
    let (sender, pieces) = mpsc::channel(16);
    let stream = futures_util::stream::unfold(pieces, |mut pieces: mpsc::Receiver<&'static str>| async move {
        pieces.recv().await.map(|piece| (Ok::<_, Infallible>(piece), pieces))
    });
    (sender, Body::wrap_stream(stream))
}

async fn next_line(response: &mut Response) -> Value {
    let chunk = within("an answer", response.chunk()).await.unwrap().unwrap();
    serde_json::from_slice(&chunk).unwrap()
}

async fn lines(fixture: &GatewayFixture, body: String) -> Vec<Value> {
    let response = fixture.post_request(PATH, NDJSON, body).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, NDJSON));
    response.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ids of the messages in the queue behind `in`, in their order.
async fn stored_ids(fixture: &GatewayFixture) -> Vec<String> {
    let queue = Queue::new("flow:tg:in:one".parse().unwrap(), "worker--one--input".parse().unwrap()).unwrap();
    let browsed = messages(&*fixture.backend, &queue, 10_000).await;
    browsed.iter().map(|message| message.id.unwrap().to_string()).collect()
}

#[tokio::test]
async fn a_message_is_answered_when_it_is_stored_and_before_the_next_one_is_sent() {
    let fixture = GatewayFixture::with_flow().await;
    let (sender, body) = growing_body();
    let request = tokio::spawn(fixture.post_request(PATH, NDJSON, body).send());
    sender.send("1\n").await.unwrap();
    let mut response = within("the head of the answer", request).await.unwrap().unwrap();
    let first = next_line(&mut response).await;
    assert_eq!(stored_ids(&fixture).await, [first["id"].as_str().unwrap()]);
    sender.send("\n2").await.unwrap();
    drop(sender);
    let mut rest = Vec::new();
    while let Some(chunk) = within("the last answers", response.chunk()).await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    let rest: Vec<Value> = String::from_utf8(rest).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&first["line"], &rest[0]["line"], &rest[1], rest.len()), (&json!(1), &json!(3), &json!({"count": 2}), 2));
    assert_eq!(stored_ids(&fixture).await, [first["id"].as_str().unwrap(), rest[0]["id"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_answers_name_their_messages_in_order() {
    let fixture = GatewayFixture::with_flow().await;
    let mut answers = lines(&fixture, (0..10_000).map(|at| format!("{at}\n")).collect()).await;
    assert_eq!(answers.pop(), Some(json!({"count": 10_000})));
    let numbers: Vec<u64> = answers.iter().map(|answer| answer["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=10_000).collect::<Vec<_>>());
    let ids: Vec<&str> = answers.iter().map(|answer| answer["id"].as_str().unwrap()).collect();
    assert_eq!(ids, stored_ids(&fixture).await);
}

#[tokio::test]
async fn a_bad_line_ends_the_answers_with_the_error() {
    let fixture = GatewayFixture::with_flow().await;
    let answers = lines(&fixture, "1\n2\nthree\n4\n".to_owned()).await;
    assert_eq!(answers.iter().map(|answer| answer["line"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2), None]);
    assert_eq!((&answers[2]["count"], error_of(&answers[2], "not-json").starts_with("line 3 is not JSON")), (&json!(2), true));
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 2);
}

#[tokio::test]
async fn an_interrupted_import_keeps_the_confirmed_messages() {
    let fixture = GatewayFixture::with_flow().await;
    let (sender, body) = growing_body();
    let request = tokio::spawn(fixture.post_request(PATH, NDJSON, body).send());
    sender.send("1\n2").await.unwrap();
    let mut response = within("the head of the answer", request).await.unwrap().unwrap();
    assert_eq!(next_line(&mut response).await["line"], 1);
    drop(response);
    within("the connection to be cut", sender.closed()).await;
    // The gateway continues, and the unterminated line is not a message.
    assert_eq!(fixture.post("/api/v1/flow/one/service/in", &json!("after")).await, (200, json!({})));
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 2);
}

#[tokio::test]
async fn answers_are_for_lines_only() {
    let fixture = GatewayFixture::with_flow().await;
    let (status, body) = answer(fixture.post_request(PATH, "application/json", "[1]")).await;
    assert_eq!((status, error_of(&body, "wrong-content-type").contains("application/x-ndjson")), (415, true));
    for query in ["answers=perhaps", "answer=true"] {
        let path = format!("/api/v1/weir/flows/one/interfaces/in/messages?{query}");
        let (status, body) = answer(fixture.post_request(&path, NDJSON, "1\n")).await;
        assert_eq!((status, error_of(&body, "bad-request").starts_with("the query: ")), (400, true));
    }
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 0);
}
