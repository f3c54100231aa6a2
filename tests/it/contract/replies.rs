//! Answering: in parts, once, and never twice.

use serde_json::json;
use weir_config::records::ProcessorState;
use weir_pubsub::{CORRELATION_ID, Message};
use weir_tests::wait::DEADLINE;

use super::service::{SERVICE, Service, begin, part, parts, requester, run_asked};
use crate::guests;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_is_with_the_requester_before_the_handler_ends() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::RELAY, |_| {}).await;
    let service = Service::open(&stage).await;
    run_asked(&stage, &component, &SERVICE).await;
    let requester = requester(&stage).await;
    let mut replies = begin(&requester, "\"question\"", DEADLINE).await;
    assert_eq!(part(&mut replies).await.unwrap().0, "\"asking\"");
    // Only now is there an answer that the handler could end with.
    let (_, id) = service.asked().await;
    service.answer(&id, "\"answer\"").await;
    assert_eq!(parts(replies).await, [("\"answer\"".to_owned(), None)]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_ends_an_answer_that_the_handler_left_open() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::PARTS, |_| {}).await;
    run_asked(&stage, &component, &[]).await;
    let requester = requester(&stage).await;
    for (count, wanted) in [(0, &[""][..]), (2, &["0", "1", ""])] {
        let question = json!({"parts": count, "open": true}).to_string();
        let answer = parts(begin(&requester, &question, DEADLINE).await).await;
        assert_eq!(
            answer.iter().map(|(text, error)| (text.as_str(), error.is_none())).collect::<Vec<_>>(),
            wanted.iter().map(|text| (*text, true)).collect::<Vec<_>>()
        );
    }
    stage.until("parts", |status| status.handled_count == 2).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_began_is_never_begun_again() {
    let stage = Stage::new().await;
    // Each failure but a reject would be tried again.
    let component = stage.deploy(guests::PARTS, |record| record.limits.time_ms = Some(5_000)).await;
    run_asked(&stage, &component, &[]).await;
    let requester = requester(&stage).await;
    for (count, verdict) in (1..).zip(["retry", "busy", "trap", "reject"]) {
        let question = json!({"parts": 2, "fail": verdict}).to_string();
        let answer = parts(begin(&requester, &question, DEADLINE).await).await;
        let texts: Vec<_> = answer.iter().map(|(text, error)| error.as_ref().unwrap_or(text).as_str()).collect();
        assert_eq!(texts, ["0", "1", verdict]);
        stage.until("parts", |status| status.dead_count == count).await;
    }
    // Busy is no failure of the component.
    stage.until("parts", |status| status.failed_count == 3 && status.trapped_count == 1 && status.in_hand_count == 0).await;
    assert_eq!(stage.stats("flow:tg:weir-dead-letters", "weir").await.depth_count, 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_the_last_part() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::PARTS, |_| {}).await;
    run_asked(&stage, &component, &[]).await;
    stage.until_state("parts", ProcessorState::Running).await;
    let answers = stage.reader("response:tg:ask", "all").await;
    // The second `reply` is refused, and the handler fails for it.
    for (id, body) in [("one", r#"{"twice": true}"#), ("two", "{}")] {
        stage.send("request:tg:ask", Message::new(body).with(CORRELATION_ID, id)).await;
    }
    let seen = [answers.unsettled().await, answers.unsettled().await];
    assert_eq!(seen.each_ref().map(|answer| answer.properties.get(CORRELATION_ID)), [Some("one"), Some("two")]);
    assert_eq!(seen.each_ref().map(|answer| &answer.body[..]), [b"0", b"0"], "no error follows the answer");
    let status = stage.until("parts", |status| status.handled_count == 1).await;
    assert_eq!((status.failed_count, status.dead_count), (1, 1), "it is counted, and not tried again");
    assert!(status.last_error.unwrap().contains("answered completely"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_asked_cannot_be_answered() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::PARTS, |record| record.retry.attempts_count = Some(1)).await;
    run_asked(&stage, &component, &[]).await;
    stage.until_state("parts", ProcessorState::Running).await;
    // Without an `id` there is nothing that an answer could be tied to.
    stage.send("request:tg:ask", Message::new("{}")).await;
    let status = stage.until("parts", |status| status.dead_count == 1).await;
    assert!(status.last_error.as_ref().unwrap().contains("the current message is not a request"), "{status:?}");
    stage.end().await;
}
