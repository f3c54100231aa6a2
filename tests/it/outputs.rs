//! What a host holds of messages that are sent and not settled: it is bounded, whatever is slow or blocked, and nothing else stops.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use weir_config::Batch;
use weir_config::records::{ComponentRecord, ComponentRef, Entry, ProcessorState, entry_type};
use weir_pubsub::Message;
use weir_runtime::HostSettings;
use weir_tests::wait::DEADLINE;

use crate::contract::service::{SERVICE, Service, begin, parts, requester, run_asked};
use crate::guests;
use crate::host_fixture::{HostFixture, entry};

const MIB: u64 = 1 << 20;

async fn fixture(outputs_bytes: u64, instances_count: u32) -> HostFixture {
    let mut fixture = HostFixture::without_host().await;
    let settings = HostSettings { outputs_bytes, instances_count, ..fixture.host_settings() };
    fixture.start_host_as(fixture.backend.clone(), settings).await;
    fixture
}

fn concurrency(count: u32) -> impl FnOnce(&mut ComponentRecord) {
    move |record| record.concurrency = Some(count)
}

/// Runs a component as a processor between its own queues. Its messages are settled once there is a queue for what it sends.
async fn run(fixture: &HostFixture, processor: &str, component: &ComponentRef) {
    run_with(fixture, processor, component, &[]).await;
}

/// As [`run`], with further topics.
async fn run_with(fixture: &HostFixture, processor: &str, component: &ComponentRef, more: &[(&str, &str)]) {
    let (input, output) = (format!("flow:tg:in-{processor}"), format!("flow:tg:out-{processor}"));
    fixture.create(&input, &format!("{processor}--v--input")).await;
    let topics = [&[("input", &*input), ("output", &*output)], more].concat();
    let entry = Entry { consumed: vec!["output".to_owned()], ..entry(component, &topics, &[]) };
    fixture.put(&entry_type(processor), "v", &entry).await;
    fixture.until_state(processor, ProcessorState::Running).await;
}

/// Creates the queue for what a processor sends.
async fn read(fixture: &HostFixture, processor: &str) {
    fixture.create(&format!("flow:tg:out-{processor}"), "test").await;
}

/// Makes a processor send `count` messages of `bytes` bytes, `times` times.
async fn send(fixture: &HostFixture, processor: &str, times: usize, count: usize, bytes: usize) {
    let body = json!({"count": count, "bytes": bytes}).to_string();
    for _ in 0..times {
        fixture.send(&format!("flow:tg:in-{processor}"), Message::new(body.clone())).await;
    }
}

async fn sent_count(fixture: &HostFixture, processor: &str) -> u64 {
    fixture.stats(&format!("flow:tg:out-{processor}"), "test").await.depth_count
}

/// Runs `blocked`, whose outputs have no queue, with this many workers, of which each has handled one small message. So all of them have an
/// instance, and each later waits for budget on its own: of workers without one, only the first waits for budget, and the others for their
/// turn behind it.
async fn run_blocked(fixture: &HostFixture, workers_count: u32) {
    let component = fixture.deploy(guests::GATED_OUTPUT, concurrency(workers_count)).await;
    let service = Service::open(fixture).await;
    run_with(fixture, "blocked", &component, &SERVICE).await;
    let body = json!({"count": 1, "bytes": 1, "gated": true}).to_string();
    for _ in 0..workers_count {
        fixture.send("flow:tg:in-blocked", Message::new(body.clone())).await;
    }
    // A worker is blocked until its request is answered: so many requests come from as many workers.
    let mut requests = Vec::new();
    for _ in 0..workers_count {
        requests.push(service.asked().await.1);
    }
    for request in requests {
        service.answer(&request, "").await;
    }
    fixture.until("blocked", |status| status.outputs_bytes > 0 && status.in_hand_count == u64::from(workers_count)).await;
}

/// Waits until a processor has handled this many messages and holds nothing any more; it has had no failure.
async fn until_done(fixture: &HostFixture, processor: &str, handled_count: u64) {
    let is_done = |status: &weir_config::records::ProcessorStatus| status.handled_count == handled_count && status.outputs_bytes == 0;
    assert_eq!(fixture.until(processor, is_done).await.failed_count, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_cannot_settle_holds_its_share_and_the_others_continue() {
    let fixture = fixture(8 * MIB, 16).await;
    let component = fixture.deploy(guests::BIG_OUTPUT, concurrency(4)).await;
    run_blocked(&fixture, 4).await;
    run(&fixture, "healthy", &component).await;
    read(&fixture, "healthy").await;
    send(&fixture, "blocked", 50, 100, 16 << 10).await;
    fixture.until("blocked", |status| status.waiting_for_outputs_count == 4).await;
    send(&fixture, "healthy", 20, 100, 16 << 10).await;
    until_done(&fixture, "healthy", 20).await;
    assert_eq!(sent_count(&fixture, "healthy").await, 2_000);
    // Three quarters are available to flows, of which it may have half; one message of 1.6 MiB bypasses the budget, and the others may
    // complete what they began.
    let blocked = fixture.status("blocked").unwrap();
    assert!(blocked.handled_count == 0 && blocked.outputs_bytes < 6 * MIB, "{blocked:?}");
    read(&fixture, "blocked").await;
    until_done(&fixture, "blocked", 54).await;
    assert_eq!(sent_count(&fixture, "blocked").await, 5_004);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_with_more_outputs_than_the_budget_are_handled() {
    let fixture = fixture(MIB, 16).await;
    let component = fixture.deploy(guests::BIG_OUTPUT, concurrency(4)).await;
    for processor in ["one", "two"] {
        run(&fixture, processor, &component).await;
        read(&fixture, processor).await;
        send(&fixture, processor, 6, 50, 100_000).await;
    }
    for processor in ["one", "two"] {
        until_done(&fixture, processor, 6).await;
        assert_eq!(sent_count(&fixture, processor).await, 300);
    }
    fixture.end().await;
}

/// Small messages take many times their size in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_overhead_of_small_outputs_is_counted() {
    let fixture = fixture(MIB, 16).await;
    let component = fixture.deploy(guests::BIG_OUTPUT, concurrency(1)).await;
    run(&fixture, "blocked", &component).await;
    send(&fixture, "blocked", 10, 1_000, 1).await;
    let status = fixture.until("blocked", |status| status.waiting_for_outputs_count == 1).await;
    assert!(status.outputs_bytes > MIB / 4 && status.outputs_bytes < 2 * MIB, "{}", status.outputs_bytes);
    read(&fixture, "blocked").await;
    until_done(&fixture, "blocked", 10).await;
    fixture.end().await;
}

/// A processor whose two workers wait for budget, before a message or within one.
async fn waiting(fixture: &HostFixture) {
    run_blocked(fixture, 2).await;
    send(fixture, "blocked", 2, 100, 16 << 10).await;
    fixture.until("blocked", |status| status.waiting_for_outputs_count == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_waiting_for_budget_are_requeued_when_their_processor_stops() {
    let fixture = fixture(MIB, 16).await;
    waiting(&fixture).await;
    fixture.config.apply(Batch::new().delete(entry_type("blocked"), "v")).await.unwrap();
    assert_eq!(fixture.requeued("flow:tg:in-blocked", "blocked--v--input").await, 4);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_waiting_for_budget_are_requeued_when_their_host_stops() {
    let mut fixture = fixture(MIB, 16).await;
    waiting(&fixture).await;
    let held_up = fixture.stop_host().await.held_up;
    assert!(held_up.is_empty(), "{held_up:?}");
    assert_eq!(fixture.requeued("flow:tg:in-blocked", "blocked--v--input").await, 4);
    fixture.end().await;
}

/// Its messages are repeated once there is budget: none is lost or counted as failed, and none sends twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_waiting_for_budget_yield_their_instance() {
    // A third slot is reserved for requests.
    let fixture = fixture(MIB, 3).await;
    waiting(&fixture).await;
    // Its worker without an instance takes one for a waiting message, too.
    send(&fixture, "blocked", 2, 100, 16 << 10).await;
    let echo = fixture.deploy(guests::ECHO, |_| {}).await;
    for processor in ["a", "b"] {
        run(&fixture, processor, &echo).await;
        read(&fixture, processor).await;
        fixture.send(&format!("flow:tg:in-{processor}"), Message::new("1")).await;
        until_done(&fixture, processor, 1).await;
    }
    read(&fixture, "blocked").await;
    until_done(&fixture, "blocked", 6).await;
    assert_eq!(sent_count(&fixture, "blocked").await, 402);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_while_flow_messages_wait_for_budget() {
    let fixture = fixture(MIB, 16).await;
    waiting(&fixture).await;
    let component = fixture.deploy(guests::PARTS, |_| {}).await;
    run_asked(&fixture, &component, &[]).await;
    let requester = requester(&fixture).await;
    for _ in 0..20 {
        let answer = parts(begin(&requester, &json!({"parts": 2}).to_string(), DEADLINE).await).await;
        assert_eq!(answer.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["0", "1"]);
    }
    fixture.end().await;
}
