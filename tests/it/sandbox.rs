//! What a component cannot do: reach outside, take more than its limits, hold up others.
#![allow(clippy::unwrap_used, reason = "tests")]

use weir_config::records::ProcessorState;
use weir_pubsub::Message;

use crate::guests;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outside_can_be_reached() {
    let stage = Stage::new().await;
    stage.run(guests::ESCAPE, &[], |_| {}).await;
    stage.send_text("{}").await;
    let report: serde_json::Value = serde_json::from_slice(&stage.outputs().await.next().await.body).unwrap();
    for (what, outcome) in report.as_object().unwrap() {
        assert!(outcome.as_str().unwrap().starts_with("refused"), "{what}: {outcome}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_never_returns_is_ended_and_holds_up_no_other() {
    never_returns(guests::SPIN, r#"{"spin": true}"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_floods_the_log_and_never_returns_is_ended_and_holds_up_no_other() {
    never_returns(guests::FLOOD, r#"{"flood": true}"#).await;
}

async fn never_returns(guest: &str, told: &str) {
    let stage = Stage::new().await;
    stage
        .run(guest, &[], |record| {
            record.limits.time_ms = Some(500);
            record.retry.attempts_count = Some(2);
        })
        .await;
    let echo = stage.deploy(guests::ECHO, |_| {}).await;
    stage.create("flow:tg:in2", "echo--v--input").await;
    let entry = crate::stage::entry(&echo, &[("input", "flow:tg:in2"), ("output", "flow:tg:out")], &[]);
    stage.put("processor:echo", "v", &entry).await;
    stage.until_state("echo", ProcessorState::Running).await;
    stage.send_text(told).await;
    stage.until(guest, |status| status.in_hand_count == 1).await;
    let outputs = stage.outputs().await;
    for n in 0..50 {
        stage.send("flow:tg:in2", Message::new(n.to_string())).await;
        assert_eq!(outputs.next_text().await, n.to_string());
    }
    let (letter, _) = stage.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.attempts_count), ("timeout", 2));
    assert!(letter.reason.contains("500 ms"), "{}", letter.reason);
    stage.send_text("{}").await;
    assert_eq!(outputs.next_text().await, "{}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_limited_and_the_reason_told() {
    let stage = Stage::new().await;
    stage
        .run(guests::GROW_MEMORY, &[], |record| {
            record.limits.memory_bytes = Some(16 << 20);
            record.retry.attempts_count = Some(1);
        })
        .await;
    stage.send_text(r#"{"grow": true}"#).await;
    let (letter, _) = stage.dead_letter().await;
    assert!(letter.error == "trap" && letter.reason.contains("limit 16777216 (limits.memory-bytes)"), "{letter:?}");
    // Each takes more than half of the limit, and the next one gets a new instance.
    for _ in 0..3 {
        stage.send_text(r#"{"grow_bytes": 10000000}"#).await;
    }
    assert_eq!(stage.outputs().await.texts(3).await.len(), 3);
    let told = |error: &String| error.contains("each instance is replaced after few messages, the last one after 1 (");
    stage.until("grow-memory", |status| status.last_error.as_ref().is_some_and(told)).await;
    stage.end().await;
}

/// A new instance would have as much: replacing it frees nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_the_start_does_not_wear_an_instance_out() {
    let stage = Stage::new().await;
    stage.run(guests::LARGE_START, &[], |record| record.limits.memory_bytes = Some(40 << 20)).await;
    for _ in 0..3 {
        stage.send_text("{}").await;
    }
    assert_eq!(stage.outputs().await.texts(3).await, ["1", "2", "3"], "the messages that one instance has handled");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_needs_more_memory_than_it_may_have_does_not_start() {
    let stage = Stage::new().await;
    stage.run(guests::ECHO, &[], |record| record.limits.memory_bytes = Some(64 << 10)).await;
    let status = stage.until_state("echo", ProcessorState::Broken).await;
    assert!(status.last_error.unwrap().contains("limits.memory-bytes"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_are_limited_in_number_and_size() {
    let stage = Stage::new().await;
    stage
        .run(guests::BIG_OUTPUT, &[], |record| {
            record.limits.sends_count = Some(10);
            record.limits.sends_bytes = Some(6 << 20);
            record.retry.attempts_count = Some(1);
        })
        .await;
    for (command, word) in [
        (r#"{"count": 11, "bytes": 1}"#, "limits.sends-count"),
        (r#"{"count": 3, "bytes": 3000000}"#, "limits.sends-bytes"),
        (r#"{"count": 1, "bytes": 4194305}"#, "4194305 bytes; the limit is 4194304"),
    ] {
        stage.send_text(command).await;
        let (letter, _) = stage.dead_letter().await;
        assert!(letter.reason.contains(word), "{command}: {letter:?}");
    }
    stage.send_text(r#"{"count": 1, "bytes": 4194304}"#).await;
    assert_eq!(stage.outputs().await.next().await.body.len(), 4 << 20);
    stage.end().await;
}
