//! Requests: `request`, `begin-request`, `next-reply`, and how long a request is valid.

use std::time::Duration;

use serde_json::{Value, json};
use weir_config::records::entry_type;
use weir_pubsub::{Message, PubsubError};
use weir_runtime::Served;
use weir_tests::cutting::Cutting;
use weir_tests::wait::{DEADLINE, within};

use super::service::{SERVICE, Service, begin, part, parts, requester, run_asked, run_asking};
use crate::guests;
use crate::host_fixture::{HostFixture, entry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_requests_another_one_on_the_same_host() {
    let fixture = HostFixture::new().await;
    let asked = fixture.deploy(guests::PARTS, |record| record.retry.attempts_count = Some(1)).await;
    run_asked(&fixture, &asked, &[]).await;
    let asking = fixture.deploy(guests::REQUEST, |_| {}).await;
    fixture.create("flow:tg:in", "request--v--input").await;
    fixture.create("flow:tg:out", "test").await;
    let topics = [
        ("input", "flow:tg:in"),
        ("output", "flow:tg:out"),
        ("service-request", "request:tg:ask"),
        ("service-response", "response:tg:ask"),
    ];
    fixture.put(&entry_type("request"), "v", &entry(&asking, &topics, &[])).await;
    let outputs = fixture.outputs().await;
    let ask = async |body: &str| -> Value {
        fixture.send_text(body).await;
        serde_json::from_str(&outputs.next_text().await).unwrap()
    };
    assert_eq!(ask(r#"{"parts": 3}"#).await, json!({"parts": ["0", "1", "2"]}));
    let failed = ask(r#"{"parts": 2, "fail": "reject"}"#).await;
    assert_eq!(failed, json!({"error": "Some(ErrorKind::Failed)", "reason": "told to fail"}), "its parts are not returned");
    assert_eq!(fixture.until("parts", |status| status.dead_count == 1).await.handled_count, 1, "answered with an error, and counted");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswerable_request_fails_with_the_reason() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::REQUEST, |_| {}).await;
    run_asking(&fixture, &component).await;
    let outputs = fixture.outputs().await;
    let ask = async |timeout_ms: &str| -> Value {
        fixture.send("flow:tg:in", Message::new("{}").with("timeout-ms", timeout_ms)).await;
        serde_json::from_str(&outputs.next_text().await).unwrap()
    };
    let nowhere = ask("20000").await;
    assert!(
        nowhere["error"] == "Some(ErrorKind::Unavailable)" && nowhere["reason"].as_str().unwrap().contains("has no queue"),
        "{nowhere}"
    );

    let service = Service::open(&fixture).await;
    let nobody = ask("50").await;
    assert!(nobody["error"] == "Some(ErrorKind::Timeout)" && nobody["reason"].as_str().unwrap().contains("50 ms"), "{nobody}");

    let (too_large, ()) = tokio::join!(ask("20000"), async {
        let (_, id) = service.asked().await;
        service.answer_part(&id, vec![b'x'; 3 << 20]).await;
        service.answer(&id, vec![b'x'; 3 << 20]).await;
    });
    assert!(too_large["error"] == "Some(ErrorKind::Invalid)" && too_large["reason"].as_str().unwrap().contains("4194304"), "{too_large}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_requests_are_in_flight_and_their_parts_arrive_on_demand() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::FAN_OUT, |_| {}).await;
    let service = Service::open(&fixture).await;
    run_asking(&fixture, &component).await;
    fixture.send_text(r#"{"ask": ["a", "b", "c"], "take": [2, 0, 0, 0, 1, 2, 2, 2, 7, 1]}"#).await;
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
    let steps: Value = serde_json::from_str(&fixture.outputs().await.next_text().await).unwrap();
    let part = |text: &str| json!({"part": text});
    let (none, ended) = (json!({"part": null}), "request 1 ended with an error, which was already returned");
    let wanted = json!([
        {"number": 0}, {"number": 1}, {"number": 2},
        part("c1"), part("a1"), part("a2"), part("a3"), {"error": "ErrorKind::Failed", "reason": "not b"}, none, none, none,
        {"error": "ErrorKind::Invalid", "reason": "request 7 does not exist: numbers are valid until `handle` returns"},
        {"error": "ErrorKind::Invalid", "reason": ended},
    ]);
    assert_eq!(steps, wanted);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_after_one_that_failed_has_an_id_of_its_own() {
    let mut fixture = HostFixture::without_host().await;
    let cutting = Cutting::over(fixture.backend.clone());
    fixture.start_host_over(cutting.clone(), Served::All, 16).await;
    let component = fixture.deploy(guests::FAN_OUT, |_| {}).await;
    let requests = {
        fixture.create("request:tg:service", "test").await;
        fixture.reader("request:tg:service", "test").await
    };
    run_asking(&fixture, &component).await;
    // The first is stored, but its sender does not learn that.
    cutting.lose_next_confirm(Some("request:tg:service".parse().unwrap()));
    fixture.send_text(r#"{"ask": ["a", "b"], "take": []}"#).await;
    let steps: Value = serde_json::from_str(&fixture.outputs().await.next_text().await).unwrap();
    assert_eq!((&steps[0]["error"], &steps[1]), (&json!("ErrorKind::Unavailable"), &json!({"number": 0})));
    let (first, second) = (requests.next().await, requests.next().await);
    assert_eq!((&first.body[..], &second.body[..]), (&b"a"[..], &b"b"[..]));
    assert_ne!(first.id, second.id, "a service would take the second for the first");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_limited_and_dropped_when_the_call_ends() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::FAN_OUT, |_| {}).await;
    let service = Service::open(&fixture).await;
    run_asking(&fixture, &component).await;
    let outputs = fixture.outputs().await;
    let bodies: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    fixture.send_text(&json!({"ask": bodies, "take": []}).to_string()).await;
    let steps: Vec<Value> = serde_json::from_str(&outputs.next_text().await).unwrap();
    assert_eq!((steps.len(), &steps[63]), (65, &json!({"number": 63})));
    assert!(steps[64]["error"] == "ErrorKind::Invalid" && steps[64]["reason"].as_str().unwrap().contains("64 requests"), "{}", steps[64]);
    for _ in 0..64 {
        let (_, id) = service.asked().await;
        service.answer(&id, "late").await;
    }
    // The numbers of the next call start again, and so do its answers.
    fixture.send_text(r#"{"ask": [], "take": [0]}"#).await;
    assert!(outputs.next_text().await.contains("request 0 does not exist"));
    fixture.send_text(r#"{"ask": ["again"], "take": [0]}"#).await;
    let (_, id) = service.asked().await;
    service.answer(&id, "in time").await;
    assert!(outputs.next_text().await.contains("in time"));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_request_is_not_handled() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::RELAY, |_| {}).await;
    let service = Service::open(&fixture).await;
    run_asked(&fixture, &component, &SERVICE).await;
    fixture.until_state("relay", weir_config::records::ProcessorState::Running).await;
    let requester = requester(&fixture).await;
    let mut first = begin(&requester, "\"first\"", DEADLINE).await;
    assert_eq!(part(&mut first).await.unwrap().0, "\"asking\"");
    // The only worker is busy with the first.
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
    let status = fixture.until("relay", |status| status.handled_count == 2).await;
    assert_eq!((status.failed_count, status.dead_count), (0, 0));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_not_retried_beyond_its_expiry() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::PARTS, |record| {
        (record.retry.first_wait_ms, record.retry.longest_wait_ms, record.retry.waiting_ms) =
            (Some(600_000), Some(600_000), Some(6_000_000));
    });
    let component = component.await;
    run_asked(&fixture, &component, &[]).await;
    let requester = requester(&fixture).await;
    let replies = begin(&requester, r#"{"parts": 0, "fail": "retry"}"#, DEADLINE).await;
    let answer = within("the error instead of an attempt in some minutes", parts(replies)).await;
    assert_eq!((answer.len(), answer[0].1.as_deref()), (1, Some("retry")));
    fixture.until("parts", |status| status.failed_count == 1 && status.dead_count == 1).await;
    fixture.end().await;
}
