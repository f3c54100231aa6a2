//! Answering: in parts, once, and never twice.

use serde_json::json;
use weir_config::records::ProcessorState;
use weir_pubsub::{CORRELATION_ID, Message};
use weir_tests::wait::DEADLINE;

use super::service::{SERVICE, Service, begin, part, parts, requester, run_asked};
use crate::guests;
use crate::host_fixture::HostFixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_reaches_the_requester_before_the_handler_ends() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::RELAY, |_| {}).await;
    let service = Service::open(&fixture).await;
    run_asked(&fixture, &component, &SERVICE).await;
    let requester = requester(&fixture).await;
    let mut replies = begin(&requester, "\"question\"", DEADLINE).await;
    assert_eq!(part(&mut replies).await.unwrap().0, "\"asking\"");
    // Only now is there an answer that the handler could end with.
    let (_, id) = service.asked().await;
    service.answer(&id, "\"answer\"").await;
    assert_eq!(parts(replies).await, [("\"answer\"".to_owned(), None)]);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_completes_an_answer_left_open_by_the_handler() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::PARTS, |_| {}).await;
    run_asked(&fixture, &component, &[]).await;
    let requester = requester(&fixture).await;
    for (count, wanted) in [(0, &[""][..]), (2, &["0", "1", ""])] {
        let question = json!({"parts": count, "open": true}).to_string();
        let answer = parts(begin(&requester, &question, DEADLINE).await).await;
        assert_eq!(
            answer.iter().map(|(text, error)| (text.as_str(), error.is_none())).collect::<Vec<_>>(),
            wanted.iter().map(|text| (*text, true)).collect::<Vec<_>>()
        );
    }
    fixture.until("parts", |status| status.handled_count == 2).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_started_answer_is_never_restarted() {
    let fixture = HostFixture::new().await;
    // Every failure except a reject would be retried.
    let component = fixture.deploy(guests::PARTS, |record| record.limits.time_ms = Some(5_000)).await;
    run_asked(&fixture, &component, &[]).await;
    let requester = requester(&fixture).await;
    for (count, verdict) in (1..).zip(["retry", "busy", "trap", "reject"]) {
        let question = json!({"parts": 2, "fail": verdict}).to_string();
        let answer = parts(begin(&requester, &question, DEADLINE).await).await;
        let texts: Vec<_> = answer.iter().map(|(text, error)| error.as_ref().unwrap_or(text).as_str()).collect();
        assert_eq!(texts, ["0", "1", verdict]);
        fixture.until("parts", |status| status.dead_count == count).await;
    }
    // Being busy is not a failure of the component.
    fixture.until("parts", |status| status.failed_count == 3 && status.trapped_count == 1 && status.in_hand_count == 0).await;
    assert_eq!(fixture.stats("flow:tg:weir-dead-letters", "weir").await.depth_count, 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_the_last_part() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::PARTS, |_| {}).await;
    run_asked(&fixture, &component, &[]).await;
    fixture.until_state("parts", ProcessorState::Running).await;
    let answers = fixture.reader("response:tg:ask", "all").await;
    // The second `reply` is refused, and the handler fails because of it.
    for (id, body) in [("one", r#"{"twice": true}"#), ("two", "{}")] {
        fixture.send("request:tg:ask", Message::new(body).with(CORRELATION_ID, id)).await;
    }
    let seen = [answers.unsettled().await, answers.unsettled().await];
    assert_eq!(seen.each_ref().map(|answer| answer.properties.get(CORRELATION_ID)), [Some("one"), Some("two")]);
    assert_eq!(seen.each_ref().map(|answer| &answer.body[..]), [b"0", b"0"], "no error follows the answer");
    let status = fixture.until("parts", |status| status.handled_count == 1).await;
    assert_eq!((status.failed_count, status.dead_count), (1, 1), "it is counted, and not tried again");
    assert!(status.last_error.unwrap().contains("answered completely"));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_a_requester_cannot_be_answered() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::PARTS, |record| record.retry.attempts_count = Some(1)).await;
    run_asked(&fixture, &component, &[]).await;
    fixture.until_state("parts", ProcessorState::Running).await;
    // Without an `id` there is nothing to correlate an answer with.
    fixture.send("request:tg:ask", Message::new("{}")).await;
    let status = fixture.until("parts", |status| status.dead_count == 1).await;
    assert!(status.last_error.as_ref().unwrap().contains("the current message is not a request"), "{status:?}");
    fixture.end().await;
}
