//! Asking: `request`, `begin-request`, `next-reply`, and how long a request counts.

use std::time::Duration;

use serde_json::{Value, json};
use weir_config::records::entry_type;
use weir_pubsub::{Message, PubsubError};
use weir_runtime::Served;
use weir_tests::cutting::Cutting;
use weir_tests::wait::{DEADLINE, within};

use super::service::{SERVICE, Service, begin, part, parts, requester, run_asked, run_asking};
use crate::guests;
use crate::stage::{Stage, entry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_asks_another_of_the_same_host() {
    let stage = Stage::new().await;
    let asked = stage.deploy(guests::PARTS, |record| record.retry.attempts_count = Some(1)).await;
    run_asked(&stage, &asked, &[]).await;
    let asking = stage.deploy(guests::REQUEST, |_| {}).await;
    stage.create("flow:tg:in", "request--v--input").await;
    stage.create("flow:tg:out", "test").await;
    let topics = [
        ("input", "flow:tg:in"),
        ("output", "flow:tg:out"),
        ("service-request", "request:tg:ask"),
        ("service-response", "response:tg:ask"),
    ];
    stage.put(&entry_type("request"), "v", &entry(&asking, &topics, &[])).await;
    let outputs = stage.outputs().await;
    let ask = async |body: &str| -> Value {
        stage.send_text(body).await;
        serde_json::from_str(&outputs.next_text().await).unwrap()
    };
    assert_eq!(ask(r#"{"parts": 3}"#).await, json!({"parts": ["0", "1", "2"]}));
    let failed = ask(r#"{"parts": 2, "fail": "reject"}"#).await;
    assert_eq!(failed, json!({"error": "Some(ErrorKind::Failed)", "reason": "told to fail"}), "its parts are not returned");
    assert_eq!(stage.until("parts", |status| status.dead_count == 1).await.handled_count, 1, "answered with an error, and counted");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_cannot_be_answered_says_why() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::REQUEST, |_| {}).await;
    run_asking(&stage, &component).await;
    let outputs = stage.outputs().await;
    let ask = async |timeout_ms: &str| -> Value {
        stage.send("flow:tg:in", Message::new("{}").with("timeout-ms", timeout_ms)).await;
        serde_json::from_str(&outputs.next_text().await).unwrap()
    };
    let nowhere = ask("20000").await;
    assert!(
        nowhere["error"] == "Some(ErrorKind::Unavailable)" && nowhere["reason"].as_str().unwrap().contains("has no queue"),
        "{nowhere}"
    );

    let service = Service::open(&stage).await;
    let nobody = ask("50").await;
    assert!(nobody["error"] == "Some(ErrorKind::Timeout)" && nobody["reason"].as_str().unwrap().contains("50 ms"), "{nobody}");

    let (too_large, ()) = tokio::join!(ask("20000"), async {
        let (_, id) = service.asked().await;
        service.answer_part(&id, vec![b'x'; 3 << 20]).await;
        service.answer(&id, vec![b'x'; 3 << 20]).await;
    });
    assert!(too_large["error"] == "Some(ErrorKind::Invalid)" && too_large["reason"].as_str().unwrap().contains("4194304"), "{too_large}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_requests_are_under_way_and_their_parts_come_as_they_are_asked_for() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::FAN_OUT, |_| {}).await;
    let service = Service::open(&stage).await;
    run_asking(&stage, &component).await;
    stage.send_text(r#"{"ask": ["a", "b", "c"], "take": [2, 0, 0, 0, 1, 2, 2, 2, 7, 1]}"#).await;
    let mut ids = Vec::new();
    for body in ["a", "b", "c"] {
        let (asked, id) = service.asked().await;
        assert_eq!(asked, body, "all are under way before one is answered");
        ids.push(id);
    }
    service.answer_part(&ids[0], "a1").await;
    service.answer_part(&ids[0], "a2").await;
    service.answer(&ids[0], "a3").await;
    service.answer_error(&ids[1], "not b").await;
    service.answer(&ids[2], "c1").await;
    let steps: Value = serde_json::from_str(&stage.outputs().await.next_text().await).unwrap();
    let part = |text: &str| json!({"part": text});
    let (none, ended) = (json!({"part": null}), "request 1 ended with an error, which was already returned");
    let wanted = json!([
        {"number": 0}, {"number": 1}, {"number": 2},
        part("c1"), part("a1"), part("a2"), part("a3"), {"error": "ErrorKind::Failed", "reason": "not b"}, none, none, none,
        {"error": "ErrorKind::Invalid", "reason": "request 7 does not exist: numbers are valid until `handle` returns"},
        {"error": "ErrorKind::Invalid", "reason": ended},
    ]);
    assert_eq!(steps, wanted);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_after_one_that_failed_has_an_id_of_its_own() {
    let mut stage = Stage::without_host().await;
    let cutting = Cutting::over(stage.backend.clone());
    stage.start_host_over(cutting.clone(), Served::All, 16).await;
    let component = stage.deploy(guests::FAN_OUT, |_| {}).await;
    let requests = {
        stage.create("request:tg:service", "test").await;
        stage.reader("request:tg:service", "test").await
    };
    run_asking(&stage, &component).await;
    // The first is stored, which its sender does not learn.
    cutting.lose_next_confirm(Some("request:tg:service".parse().unwrap()));
    stage.send_text(r#"{"ask": ["a", "b"], "take": []}"#).await;
    let steps: Value = serde_json::from_str(&stage.outputs().await.next_text().await).unwrap();
    assert_eq!((&steps[0]["error"], &steps[1]), (&json!("ErrorKind::Unavailable"), &json!({"number": 0})));
    let (first, second) = (requests.next().await, requests.next().await);
    assert_eq!((&first.body[..], &second.body[..]), (&b"a"[..], &b"b"[..]));
    assert_ne!(first.id, second.id, "a service would take the second for the first");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_are_limited_and_forgotten_when_the_call_ends() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::FAN_OUT, |_| {}).await;
    let service = Service::open(&stage).await;
    run_asking(&stage, &component).await;
    let outputs = stage.outputs().await;
    let bodies: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    stage.send_text(&json!({"ask": bodies, "take": []}).to_string()).await;
    let steps: Vec<Value> = serde_json::from_str(&outputs.next_text().await).unwrap();
    assert_eq!((steps.len(), &steps[63]), (65, &json!({"number": 63})));
    assert!(steps[64]["error"] == "ErrorKind::Invalid" && steps[64]["reason"].as_str().unwrap().contains("64 requests"), "{}", steps[64]);
    for _ in 0..64 {
        let (_, id) = service.asked().await;
        service.answer(&id, "late").await;
    }
    // The numbers of the next call begin anew, and so do its answers.
    stage.send_text(r#"{"ask": [], "take": [0]}"#).await;
    assert!(outputs.next_text().await.contains("request 0 does not exist"));
    stage.send_text(r#"{"ask": ["again"], "take": [0]}"#).await;
    let (_, id) = service.asked().await;
    service.answer(&id, "in time").await;
    assert!(outputs.next_text().await.contains("in time"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_works_on_a_request_that_has_expired() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::RELAY, |_| {}).await;
    let service = Service::open(&stage).await;
    run_asked(&stage, &component, &SERVICE).await;
    stage.until_state("relay", weir_config::records::ProcessorState::Running).await;
    let requester = requester(&stage).await;
    let mut first = begin(&requester, "\"first\"", DEADLINE).await;
    assert_eq!(part(&mut first).await.unwrap().0, "\"asking\"");
    // The only worker has the first in hand.
    let mut second = begin(&requester, "\"second\"", Duration::from_millis(50)).await;
    assert!(matches!(second.next().await, Err(PubsubError::TimedOut { .. })));
    let third = begin(&requester, "\"third\"", DEADLINE).await;
    let (asked, id) = service.asked().await;
    assert_eq!(asked, "\"first\"");
    service.answer(&id, "1").await;
    assert_eq!(part(&mut first).await.unwrap().0, "1");
    let (asked, id) = service.asked().await;
    assert_eq!(asked, "\"third\"", "the second is not worked on");
    service.answer(&id, "3").await;
    assert_eq!(parts(third).await[1].0, "3");
    let status = stage.until("relay", |status| status.handled_count == 2).await;
    assert_eq!((status.failed_count, status.dead_count), (0, 0));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_not_tried_again_when_nobody_would_wait_for_that() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::PARTS, |record| {
        (record.retry.first_wait_ms, record.retry.longest_wait_ms, record.retry.waiting_ms) =
            (Some(600_000), Some(600_000), Some(6_000_000));
    });
    let component = component.await;
    run_asked(&stage, &component, &[]).await;
    let requester = requester(&stage).await;
    let replies = begin(&requester, r#"{"parts": 0, "fail": "retry"}"#, DEADLINE).await;
    let answer = within("the error instead of an attempt in some minutes", parts(replies)).await;
    assert_eq!((answer.len(), answer[0].1.as_deref()), (1, Some("retry")));
    stage.until("parts", |status| status.failed_count == 1 && status.dead_count == 1).await;
    stage.end().await;
}
