//! The test kit of the SDK behaves like a host: the same sources through both.

use serde_json::json;
use weir::testing::{Kit, Processor};
use weir::{Json, Verdict};
use weir_config::records::{Descriptor, ProcessorState, entry_type};
use weir_pubsub::{Message, Requester, chain};
use weir_tests::wait::DEADLINE;

use crate::host_fixture::{HostFixture, entry};

#[path = "../../guests/examples/bad_output.rs"]
mod bad_output;
#[path = "../../guests/examples/big_output.rs"]
mod big_output;
#[path = "../../guests/examples/busy.rs"]
mod busy;
#[path = "../../guests/examples/config_get.rs"]
mod config_get;
#[path = "../../guests/examples/inspect_context.rs"]
mod inspect_context;
#[path = "../../guests/examples/parts.rs"]
mod parts;

/// A kit of a guest, whose descriptor is in another crate than the one compiled here.
macro_rules! kit {
    ($name:ident) => {
        Kit::of(Processor {
            descriptor: concat!(env!("CARGO_MANIFEST_DIR"), "/guests/examples/", stringify!($name), ".json"),
            ..$name::__WEIR_PROCESSOR
        })
    };
}

/// The message of a panic.
fn panic_of<R>(work: impl FnOnce() -> R) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).err().expect("it panics");
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).expect("panics are texts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_sends_are_refused_in_the_same_words() {
    let fixture = HostFixture::new().await;
    fixture.run("bad_output", &[], |_| {}).await;
    fixture.send_text("{}").await;
    let report: serde_json::Value = serde_json::from_str(&fixture.outputs().await.next_text().await).unwrap();
    assert_eq!(report.as_object().unwrap().len(), 8);
    assert_eq!(kit!(bad_output).handle("input", Json(json!({}))).json("output"), [report]);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excessive_sends_are_refused_in_the_same_words() {
    let fixture = HostFixture::new().await;
    fixture.run("big_output", &[], |_| {}).await;
    for command in [json!({"count": 1001}), json!({"count": 5, "bytes": 4 << 20}), json!({"count": 1, "bytes": (4 << 20) + 1})] {
        fixture.send_text(&command.to_string()).await;
        let (letter, _) = fixture.dead_letter().await;
        let handled = kit!(big_output).handle("input", Json(command));
        let failure = handled.failure().unwrap();
        assert_eq!((letter.error.as_str(), failure.verdict()), ("reject", Verdict::Reject));
        assert_eq!(letter.reason, failure.reason());
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undeclared_config_type_is_a_trap_with_the_same_words() {
    let fixture = HostFixture::new().await;
    fixture.run("config_get", &[], |record| record.retry.attempts_count = Some(1)).await;
    let question = json!({"type": "secrets", "key": "a"});
    fixture.send_text(&question.to_string()).await;
    let (letter, _) = fixture.dead_letter().await;
    assert_eq!(letter.error, "trap");
    assert_eq!(letter.reason, panic_of(|| kit!(config_get).handle("input", Json(question))));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_the_last_part_is_refused_in_the_same_words() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy("parts", |_| {}).await;
    fixture.create("request:tg:ask", "parts--v--request").await;
    let topics = [("request", "request:tg:ask"), ("response", "response:tg:ask")];
    fixture.put(&entry_type("parts"), "v", &entry(&component, &topics, &[])).await;
    fixture.until_state("parts", ProcessorState::Running).await;
    let (request, response) = ("request:tg:ask".parse().unwrap(), "response:tg:ask".parse().unwrap());
    let requester = Requester::connect(fixture.backend.clone(), &request, &response, &"test".parse().unwrap()).await.unwrap();
    let question = json!({"parts": 2, "twice": true});
    let mut replies = requester.begin(Message::new(question.to_string()), DEADLINE).await.unwrap();
    let mut told = Vec::new();
    while let Some(part) = replies.next().await.unwrap() {
        told.push(serde_json::from_slice::<serde_json::Value>(&part.body).unwrap());
    }
    let status = fixture.until("parts", |status| status.last_error.is_some()).await;
    let handled = kit!(parts).handle("request", Json(question));
    assert_eq!((handled.reply_json(), handled.is_answered()), (told, true));
    assert_eq!(status.last_error, handled.failure().map(|failure| format!("{failure:?}")));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_parameter_is_reported_in_the_same_words() {
    let fixture = HostFixture::new().await;
    fixture.run("busy", &[("times", "often"), ("delay", "1.5")], |_| {}).await;
    let status = fixture.until_state("busy", ProcessorState::Broken).await;
    let fault = kit!(busy).parameter("times", "often").parameter("delay", "1.5").configure().unwrap_err();
    assert_eq!(status.last_error, Some(fault));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_sees_the_same_context() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy("inspect_context", |_| {}).await;
    fixture.create("flow:tg:in", "inspect-context--test--input").await;
    fixture.create("flow:tg:out", "test").await;
    let topics = [("input", "flow:tg:in"), ("output", "flow:tg:out"), ("open", "flow:tg:open")];
    let mut wanted = entry(&component, &topics, &[("size", "3")]);
    wanted.flow = Some("test".to_owned());
    fixture.put(&entry_type("inspect-context"), "test", &wanted).await;
    let message = Message::new("{}").with("colour", "red").with("traceparent", "hidden");
    fixture.send("flow:tg:in", message).await;
    let mut seen: serde_json::Value = serde_json::from_str(&fixture.outputs().await.next_text().await).unwrap();
    let message = weir::Message::json(&json!({})).unwrap().with_property("colour", "red").with_property("traceparent", "hidden");
    let mut kit = kit!(inspect_context);
    let mut played = kit.parameter("size", "3").output("open").handle("input", message).json("output").remove(0);
    for own in ["message_id", "remaining_ms"] {
        assert!(!seen[own].take().is_null() && !played[own].take().is_null());
    }
    assert_eq!(played, seen);
    fixture.end().await;
}

#[test]
fn a_faulty_descriptor_is_reported_in_the_same_words() {
    for text in [
        "{",
        r#"{"schema": 2}"#,
        r#"{"schema": 1, "consumers": ["a", "a"]}"#,
        r#"{"schema": 1, "producers": [""]}"#,
        r#"{"schema": 1, "consumers": ["a"], "producers": ["a"]}"#,
        r#"{"schema": 1, "consumers": [{"name": "a", "reply": "b"}]}"#,
        r#"{"schema": 1, "consumers": [{"name": "a", "concurrency": 0}]}"#,
        r#"{"schema": 1, "parameters": [{"name": "a", "type": "number", "default": "x"}]}"#,
        r#"{"schema": 1, "parameters": [{"name": "a", "enum": ["b"], "default": "x"}]}"#,
        r#"{"schema": 1, "parameters": [{"name": "a", "default": 1}]}"#,
        r#"{"schema": 1, "requests": [{"name": "a", "request": "b"}]}"#,
    ] {
        is_told_alike(text);
    }
    let long = "x".repeat(8193);
    for value in [
        json!({"schema": 1, "concurrency": u64::MAX}),
        json!({"schema": 1, "concurrency": 1000, "consumers": ["a", "b", "c", "d", "e"]}),
        json!({"schema": 1, "consumers": vec!["a"; 65]}),
        json!({"schema": 1, "producers": [{"name": "a", "description": long}]}),
        json!({"schema": 1, "requests": [{"name": "a", "request": "b", "response": "c", "timeout-ms": -1}]}),
        json!({"schema": 1, "parameters": [{"name": "a", "enum": [long]}]}),
    ] {
        is_told_alike(&value.to_string());
    }
}

fn is_told_alike(text: &str) {
    let told = chain(&Descriptor::parse(text.as_bytes()).unwrap_err());
    assert_eq!(panic_of(|| Kit::new(text, || ())), told, "{text}");
}
