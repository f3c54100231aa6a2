//! What a component cannot do: reach outside, exceed its limits, block others.
#![allow(clippy::unwrap_used, reason = "tests")]

use weir_config::records::ProcessorState;
use weir_pubsub::Message;

use crate::guests;
use crate::host_fixture::HostFixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_can_reach_nothing_outside() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::ESCAPE, &[], |_| {}).await;
    fixture.send_text("{}").await;
    let report: serde_json::Value = serde_json::from_slice(&fixture.outputs().await.next().await.body).unwrap();
    for (what, outcome) in report.as_object().unwrap() {
        assert!(outcome.as_str().unwrap().starts_with("refused"), "{what}: {outcome}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_never_returns_is_terminated_and_blocks_no_other() {
    never_returns(guests::SPIN, r#"{"spin": true}"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_floods_the_log_is_terminated_and_blocks_no_other() {
    never_returns(guests::FLOOD, r#"{"flood": true}"#).await;
}

async fn never_returns(guest: &str, told: &str) {
    let fixture = HostFixture::new().await;
    fixture
        .run(guest, &[], |record| {
            record.limits.time_ms = Some(500);
            record.retry.attempts_count = Some(2);
        })
        .await;
    let echo = fixture.deploy(guests::ECHO, |_| {}).await;
    fixture.create("flow:tg:in2", "echo--v--input").await;
    let entry = crate::host_fixture::entry(&echo, &[("input", "flow:tg:in2"), ("output", "flow:tg:out")], &[]);
    fixture.put("processor:echo", "v", &entry).await;
    fixture.until_state("echo", ProcessorState::Running).await;
    fixture.send_text(told).await;
    fixture.until(guest, |status| status.in_hand_count == 1).await;
    let outputs = fixture.outputs().await;
    for n in 0..50 {
        fixture.send("flow:tg:in2", Message::new(n.to_string())).await;
        assert_eq!(outputs.next_text().await, n.to_string());
    }
    let (letter, _) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.attempts_count), ("timeout", 2));
    assert!(letter.reason.contains("500 ms"), "{}", letter.reason);
    fixture.send_text("{}").await;
    assert_eq!(outputs.next_text().await, "{}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_limited_and_the_reason_reported() {
    let fixture = HostFixture::new().await;
    fixture
        .run(guests::GROW_MEMORY, &[], |record| {
            record.limits.memory_bytes = Some(16 << 20);
            record.retry.attempts_count = Some(1);
        })
        .await;
    fixture.send_text(r#"{"grow": true}"#).await;
    let (letter, _) = fixture.dead_letter().await;
    assert!(
        letter.error == "trap" && letter.reason.contains("the limit is 16777216 (raise it: weir deploy --limit memory-bytes=N)"),
        "{letter:?}"
    );
    // Each takes more than half of the limit, and the next one gets a new instance.
    for _ in 0..3 {
        fixture.send_text(r#"{"grow_bytes": 10000000}"#).await;
    }
    assert_eq!(fixture.outputs().await.texts(3).await.len(), 3);
    let told = |error: &String| error.contains("each instance is replaced after few messages, the last one after 1 (");
    fixture.until("grow-memory", |status| status.last_error.as_ref().is_some_and(told)).await;
    fixture.end().await;
}

/// A new instance would use as much: replacing it frees nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_used_at_the_start_does_not_exhaust_an_instance() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::LARGE_START, &[], |record| record.limits.memory_bytes = Some(40 << 20)).await;
    for _ in 0..3 {
        fixture.send_text("{}").await;
    }
    assert_eq!(fixture.outputs().await.texts(3).await, ["1", "2", "3"], "the messages that one instance has handled");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_requires_too_much_memory_does_not_start() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::ECHO, &[], |record| record.limits.memory_bytes = Some(64 << 10)).await;
    let status = fixture.until_state("echo", ProcessorState::Broken).await;
    assert!(status.last_error.unwrap().contains("--limit memory-bytes=N"));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_are_limited_in_number_and_size() {
    let fixture = HostFixture::new().await;
    fixture
        .run(guests::BIG_OUTPUT, &[], |record| {
            record.limits.sends_count = Some(10);
            record.limits.sends_bytes = Some(6 << 20);
            record.retry.attempts_count = Some(1);
        })
        .await;
    for (command, word) in [
        (r#"{"count": 11, "bytes": 1}"#, "--limit sends-count=N"),
        (r#"{"count": 3, "bytes": 3000000}"#, "--limit sends-bytes=N"),
        (r#"{"count": 1, "bytes": 4194305}"#, "4194305 bytes; the limit is 4194304"),
    ] {
        fixture.send_text(command).await;
        let (letter, _) = fixture.dead_letter().await;
        assert!(letter.reason.contains(word), "{command}: {letter:?}");
    }
    fixture.send_text(r#"{"count": 1, "bytes": 4194304}"#).await;
    assert_eq!(fixture.outputs().await.next().await.body.len(), 4 << 20);
    fixture.end().await;
}
