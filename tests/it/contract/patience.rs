//! Time: waiting, being busy, keeping the order meanwhile, and the remaining time of a call.

use std::time::Duration;

use serde_json::{Value, json};
use weir_config::records::entry_type;
use weir_pubsub::Message;
use weir_tests::wait::within;

use crate::guests;
use crate::host_fixture::{HostFixture, entry};

/// Runs the guest that waits, with both of its inputs.
async fn run_waiting(fixture: &HostFixture, time_ms: u64) {
    let component = fixture.deploy(guests::SLEEP, |record| {
        record.limits.time_ms = Some(time_ms);
        record.retry.attempts_count = Some(1);
    });
    let component = component.await;
    for input in ["input", "quick"] {
        fixture.create(&format!("flow:tg:{input}"), &format!("sleep--v--{input}")).await;
    }
    fixture.create("flow:tg:out", "test").await;
    let topics = [("input", "flow:tg:input"), ("quick", "flow:tg:quick"), ("output", "flow:tg:out")];
    fixture.put(&entry_type("sleep"), "v", &entry(&component, &topics, &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_worker_does_not_block_other_inputs_and_is_terminated_in_time() {
    let fixture = HostFixture::new().await;
    run_waiting(&fixture, 1_000).await;
    let outputs = fixture.outputs().await;
    fixture.send("flow:tg:input", Message::new(r#"{"sleep_ms": 600000}"#)).await;
    fixture.until("sleep", |status| status.in_hand_count == 1).await;
    for _ in 0..20 {
        fixture.send("flow:tg:quick", Message::new(r#"{"sleep_ms": 1}"#)).await;
        let seen: Value = serde_json::from_str(&outputs.next_text().await).unwrap();
        let (before, after) = (seen["before"].as_u64().unwrap(), seen["after"].as_u64().unwrap());
        assert!(before <= 1_000 && after < before, "{seen}");
    }
    let (letter, _) = fixture.dead_letter().await;
    assert!(letter.error == "timeout" && letter.reason.contains("1000 ms"), "{letter:?}");
    fixture.send("flow:tg:input", Message::new("{}")).await;
    outputs.next().await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remaining_time_is_zero_when_the_host_is_stopping() {
    let mut fixture = HostFixture::new().await;
    run_waiting(&fixture, 60_000).await;
    fixture.send("flow:tg:input", Message::new(r#"{"until_stopped": true}"#)).await;
    fixture.until("sleep", |status| status.in_hand_count == 1).await;
    assert_eq!(fixture.stop_host().await.held_up, Vec::<String>::new());
    let seen: Value = serde_json::from_str(&fixture.outputs().await.next_text().await).unwrap();
    assert_eq!(seen["after"], 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_busy_for_too_long_is_requeued_and_never_dead_lettered_as_busy() {
    let fixture = HostFixture::new().await;
    let policy =
        |record: &mut weir_config::records::ComponentRecord| (record.retry.attempts_count, record.retry.busy_ms) = (Some(1), Some(0));
    fixture.run(guests::BUSY, &[("times", "1000"), ("delay", "1")], policy).await;
    fixture.send_text("one").await;
    // Requeued repeatedly, it finally looks like a message that crashes its hosts.
    let (letter, _) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.attempts_count), ("deliveries", 3));
    let reason = "delivered 15 times, and the last 3 attempts had no outcome: the host ended, or the component was busy";
    assert_eq!(letter.reason, reason);
    let status = fixture.until("busy", |status| status.dead_count == 1).await;
    assert_eq!((status.failed_count, status.handled_count), (0, 0));
    assert_eq!(status.last_error.as_deref(), Some(format!("deliveries: {reason}").as_str()));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_keeps_the_order_across_retries_and_busy() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::RETRY, &[("until", "2"), ("delay", "1")], |_| {}).await;
    let busy = fixture.deploy(guests::BUSY, |_| {}).await;
    fixture.create("flow:tg:out", "busy--v--input").await;
    fixture.create("flow:tg:end", "test").await;
    let topics = [("input", "flow:tg:out"), ("output", "flow:tg:end")];
    fixture.put(&entry_type("busy"), "v", &entry(&busy, &topics, &[("times", "1"), ("delay", "0")])).await;
    let wanted: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    for body in &wanted {
        fixture.send_text(body).await;
    }
    assert_eq!(fixture.reader("flow:tg:end", "test").await.texts(12).await, wanted);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_out_of_a_request_is_limited_to_the_remaining_time_of_the_call() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::REQUEST, |record| {
        record.limits.time_ms = Some(500);
        record.retry.attempts_count = Some(1);
    });
    super::service::run_asking(&fixture, &component.await).await;
    fixture.create("request:tg:service", "test").await;
    let asked = fixture.reader("request:tg:service", "test").await;
    fixture.send("flow:tg:in", Message::new("{}").with("timeout-ms", "600000")).await;
    let left = asked.next().await.expires_in.unwrap();
    assert!(left <= Duration::from_millis(500), "the request counts for {left:?}");
    // Whichever ends first, the message does not wait for ten minutes.
    let end = within("the end of the call", async {
        tokio::select! {
            (letter, _) = fixture.dead_letter() => json!(letter.error),
            message = async { fixture.outputs().await.next_text().await } => serde_json::from_str::<Value>(&message).unwrap()["error"].clone(),
        }
    });
    let end = end.await;
    assert!(end == "timeout" || end == "Some(ErrorKind::Timeout)", "{end}");
    fixture.end().await;
}
