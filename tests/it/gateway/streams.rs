//! Exits and taps.

use serde_json::{Value, json};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::bed::{Bed, error_of};

const OUT: &str = "flow:tg:out:one";
const EXIT: &str = "gateway--one--out";

#[tokio::test]
async fn an_exit_gives_each_message_once_and_keeps_the_rest() {
    let bed = Bed::with_flow().await;
    for at in 0..5 {
        bed.publish(OUT, &format!("{{\n\"at\": {at}}}")).await;
    }
    let first = bed.lines("/api/v1/weir/flows/one/exits/out?count=3").await;
    assert_eq!(first.iter().map(|line| line["body"]["at"].clone()).collect::<Vec<_>>(), [json!(0), json!(1), json!(2)]);
    assert!(first.iter().all(|line| line["id"].as_str().unwrap().len() == 32 && line["properties"].is_object()), "{first:?}");
    // What was handed over is settled when the stream has ended; what was only fetched ahead is given back.
    eventually(DEADLINE, "two messages in the exit", || async { (bed.depth(OUT, EXIT).await == 2).then_some(()) }).await;
    let rest = bed.lines("/api/v1/weir/flows/one/exits/out?wait-ms=200").await;
    assert_eq!(rest.iter().map(|line| line["body"]["at"].clone()).collect::<Vec<_>>(), [json!(3), json!(4)]);
    assert_eq!(bed.depth(OUT, EXIT).await, 0);
}

#[tokio::test]
async fn an_exit_ends_with_an_error_line_when_its_flow_is_stopped() {
    let bed = Bed::with_flow().await;
    let mut stream = bed.get_request("/api/v1/weir/flows/one/exits/out").send().await.unwrap();
    bed.publish(OUT, "1").await;
    let line = within("the first line", stream.chunk()).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&line).unwrap()["body"], 1);
    bed.stop_flow("one").await;
    let line = within("the last line", stream.chunk()).await.unwrap().unwrap();
    expect_test::expect![[r#"flow `one` was stopped; `weir flow start` starts it again"#]]
        .assert_eq(&error_of(&serde_json::from_slice(&line).unwrap(), "flow-stopped"));
    assert!(within("the end", stream.chunk()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_interface_that_is_consumed_has_no_exit() {
    let bed = Bed::with_flow().await;
    let (status, body) = bed.get("/api/v1/weir/flows/one/exits/in").await;
    assert_eq!(status, 400);
    expect_test::expect![[
        r#"interface `in` of flow `one` has no exit: something in the flow consumes it; a tap shows what passes (`weir tail` without --from-exit)"#
    ]]
    .assert_eq(&error_of(&body, "wrong-interface"));
}

#[tokio::test]
async fn a_tap_shows_what_passes_and_takes_nothing() {
    let bed = Bed::with_flow().await;
    let mut stream = bed.get_request("/api/v1/weir/flows/one/taps/in?count=2").send().await.unwrap();
    bed.publish("flow:tg:in:one", r#"{"a": 1}"#).await;
    bed.publish("flow:tg:in:one", "no JSON").await;
    let mut text = Vec::new();
    while let Some(chunk) = within("the tap", stream.chunk()).await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    let lines: Vec<Value> = String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["body"], &lines[1]["text"], lines.len()), (&json!({"a": 1}), &json!("no JSON"), 2));
    assert_eq!(bed.depth("flow:tg:in:one", "worker--one--input").await, 2);
}

#[tokio::test]
async fn a_query_that_is_not_known_is_refused() {
    let bed = Bed::with_flow().await;
    let (status, body) = bed.get("/api/v1/weir/flows/one/taps/in?counts=2").await;
    assert_eq!(status, 400);
    let message = error_of(&body, "bad-request");
    assert!(message.starts_with("the query: ") && message.contains("counts"), "{message}");
}
