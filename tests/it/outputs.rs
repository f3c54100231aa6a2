//! What a host holds of messages that are sent and not settled: bounded, whatever is slow or blocked, and nothing else stops.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use weir_config::Batch;
use weir_config::records::{ComponentRecord, ComponentRef, Entry, ProcessorState, entry_type};
use weir_pubsub::Message;
use weir_runtime::HostSettings;
use weir_tests::wait::DEADLINE;

use crate::contract::service::{begin, parts, requester, run_asked};
use crate::guests;
use crate::stage::{Stage, entry};

const MIB: u64 = 1 << 20;

async fn stage(outputs_bytes: u64, instances_count: u32) -> Stage {
    let mut stage = Stage::without_host().await;
    let settings = HostSettings { outputs_bytes, instances_count, ..stage.host_settings() };
    stage.start_host_as(stage.backend.clone(), settings).await;
    stage
}

fn concurrency(count: u32) -> impl FnOnce(&mut ComponentRecord) {
    move |record| record.concurrency = Some(count)
}

/// Runs a component as a processor between queues of its own. Its messages are settled once there is a queue for what it sends.
async fn run(stage: &Stage, processor: &str, component: &ComponentRef) {
    let (input, output) = (format!("flow:tg:in-{processor}"), format!("flow:tg:out-{processor}"));
    stage.create(&input, &format!("{processor}--v--input")).await;
    let entry = Entry { consumed: vec!["output".to_owned()], ..entry(component, &[("input", &input), ("output", &output)], &[]) };
    stage.put(&entry_type(processor), "v", &entry).await;
    stage.until_state(processor, ProcessorState::Running).await;
}

/// Makes the queue of what a processor sends.
async fn read(stage: &Stage, processor: &str) {
    stage.create(&format!("flow:tg:out-{processor}"), "test").await;
}

/// Has a processor send so many messages of so many bytes each, as often as wanted.
async fn send(stage: &Stage, processor: &str, times: usize, count: usize, bytes: usize) {
    let body = json!({"count": count, "bytes": bytes}).to_string();
    for _ in 0..times {
        stage.send(&format!("flow:tg:in-{processor}"), Message::new(body.clone())).await;
    }
}

async fn sent_count(stage: &Stage, processor: &str) -> u64 {
    stage.stats(&format!("flow:tg:out-{processor}"), "test").await.depth_count
}

/// Has all workers of a processor take one small message, so that each waits for room later by itself: those that have not begun wait for their
/// turn behind the first that waits for room.
async fn begin_all(stage: &Stage, processor: &str, count: usize) {
    send(stage, processor, count, 1, 1).await;
    stage.until(processor, |status| status.in_hand_count == count as u64).await;
}

/// Waits until a processor has handled so many messages and holds nothing any more; it has had no failure.
async fn until_done(stage: &Stage, processor: &str, handled_count: u64) {
    let is_done = |status: &weir_config::records::ProcessorStatus| status.handled_count == handled_count && status.outputs_bytes == 0;
    assert_eq!(stage.until(processor, is_done).await.failed_count, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_cannot_settle_holds_its_share_and_the_others_go_on() {
    let stage = stage(8 * MIB, 16).await;
    let component = stage.deploy(guests::BIG_OUTPUT, concurrency(4)).await;
    run(&stage, "blocked", &component).await;
    run(&stage, "healthy", &component).await;
    read(&stage, "healthy").await;
    begin_all(&stage, "blocked", 4).await;
    send(&stage, "blocked", 50, 100, 16 << 10).await;
    let blocked = stage.until("blocked", |status| status.waiting_for_outputs_count == 4).await;
    // Three quarters are there for flows, of which it may have half; one message of 1.6 MiB passes, and the others may end what they began.
    assert!(blocked.outputs_bytes > 2 * MIB && blocked.outputs_bytes < 6 * MIB, "{}", blocked.outputs_bytes);
    send(&stage, "healthy", 20, 100, 16 << 10).await;
    until_done(&stage, "healthy", 20).await;
    assert_eq!(sent_count(&stage, "healthy").await, 2_000);
    assert_eq!(stage.status("blocked").unwrap().handled_count, 0);
    read(&stage, "blocked").await;
    until_done(&stage, "blocked", 54).await;
    assert_eq!(sent_count(&stage, "blocked").await, 5_004);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_send_more_than_the_whole_budget_are_handled() {
    let stage = stage(MIB, 16).await;
    let component = stage.deploy(guests::BIG_OUTPUT, concurrency(4)).await;
    for processor in ["one", "two"] {
        run(&stage, processor, &component).await;
        read(&stage, processor).await;
        send(&stage, processor, 6, 50, 100_000).await;
    }
    for processor in ["one", "two"] {
        until_done(&stage, processor, 6).await;
        assert_eq!(sent_count(&stage, processor).await, 300);
    }
    stage.end().await;
}

/// Small messages take many times their size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_small_outputs_take_in_memory_is_counted() {
    let stage = stage(MIB, 16).await;
    let component = stage.deploy(guests::BIG_OUTPUT, concurrency(1)).await;
    run(&stage, "blocked", &component).await;
    send(&stage, "blocked", 10, 1_000, 1).await;
    let status = stage.until("blocked", |status| status.waiting_for_outputs_count == 1).await;
    assert!(status.outputs_bytes > MIB / 4 && status.outputs_bytes < 2 * MIB, "{}", status.outputs_bytes);
    read(&stage, "blocked").await;
    until_done(&stage, "blocked", 10).await;
    stage.end().await;
}

/// A processor whose two workers wait: one with a message that it has not begun, the other in the middle of one.
async fn waiting(stage: &Stage) {
    let component = stage.deploy(guests::BIG_OUTPUT, concurrency(2)).await;
    run(stage, "blocked", &component).await;
    begin_all(stage, "blocked", 2).await;
    send(stage, "blocked", 2, 100, 16 << 10).await;
    stage.until("blocked", |status| status.waiting_for_outputs_count == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_room_is_given_back_when_its_processor_stops() {
    let stage = stage(MIB, 16).await;
    waiting(&stage).await;
    stage.config.apply(Batch::new().delete(entry_type("blocked"), "v")).await.unwrap();
    assert_eq!(stage.requeued("flow:tg:in-blocked", "blocked--v--input").await, 4);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_room_is_given_back_when_its_host_stops() {
    let mut stage = stage(MIB, 16).await;
    waiting(&stage).await;
    let held_up = stage.stop_host().await.held_up;
    assert!(held_up.is_empty(), "{held_up:?}");
    assert_eq!(stage.requeued("flow:tg:in-blocked", "blocked--v--input").await, 4);
    stage.end().await;
}

/// Its messages begin again once there is room: none is lost or counted as failed, and none sends twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_room_gives_its_instance_to_others() {
    // A third slot is kept for requests.
    let stage = stage(MIB, 3).await;
    waiting(&stage).await;
    // Its worker without an instance takes one for a message that waits, too.
    send(&stage, "blocked", 2, 100, 16 << 10).await;
    let echo = stage.deploy(guests::ECHO, |_| {}).await;
    for processor in ["a", "b"] {
        run(&stage, processor, &echo).await;
        read(&stage, processor).await;
        stage.send(&format!("flow:tg:in-{processor}"), Message::new("1")).await;
        until_done(&stage, processor, 1).await;
    }
    read(&stage, "blocked").await;
    until_done(&stage, "blocked", 6).await;
    assert_eq!(sent_count(&stage, "blocked").await, 402);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_while_messages_of_flows_wait_for_room() {
    let stage = stage(MIB, 16).await;
    waiting(&stage).await;
    let component = stage.deploy(guests::PARTS, |_| {}).await;
    run_asked(&stage, &component, &[]).await;
    let requester = requester(&stage).await;
    for _ in 0..20 {
        let answer = parts(begin(&requester, &json!({"parts": 2}).to_string(), DEADLINE).await).await;
        assert_eq!(answer.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["0", "1"]);
    }
    stage.end().await;
}
