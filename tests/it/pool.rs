//! Instance slots: which workers have them, which wait for them, and how many a component takes; and that no number in a record can break
//! this.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use weir_config::Batch;
use weir_config::records::{ComponentRef, ProcessorState, entry_type};
use weir_pubsub::Message;
use weir_runtime::{Served, inspect};
use weir_tests::{guest, marked_guest};

use crate::contract::service::{SERVICE, Service};
use crate::guests;
use crate::host_fixture::{HostFixture, entry, stamped};

async fn fixture(instances_count: u32) -> HostFixture {
    let mut fixture = HostFixture::without_host().await;
    fixture.create("flow:tg:out", "test").await;
    fixture.start_host_with(Served::All, instances_count).await;
    fixture
}

/// The input of a variant of processor `p`.
fn input(variant: &str) -> String {
    format!("flow:tg:in-{variant}")
}

/// Makes a variant of processor `p` run a component; it starts once its queue exists.
async fn name(fixture: &HostFixture, variant: &str, component: &ComponentRef) {
    let input = input(variant);
    let topics = [("input", &*input), ("output", "flow:tg:out"), SERVICE[0], SERVICE[1]];
    let asks = component.name == "request";
    fixture.put(&entry_type(&format!("p-{variant}")), "v", &entry(component, &topics[..if asks { 4 } else { 2 }], &[])).await;
}

async fn run(fixture: &HostFixture, variant: &str, component: &ComponentRef) {
    fixture.create(&input(variant), &format!("p-{variant}--v--input")).await;
    name(fixture, variant, component).await;
    until_runs(fixture, variant, component).await;
}

async fn until_runs(fixture: &HostFixture, variant: &str, component: &ComponentRef) {
    let runs = |status: &weir_config::records::ProcessorStatus| {
        status.component.as_ref() == Some(component) && status.state == ProcessorState::Running
    };
    fixture.until(&format!("p-{variant}"), runs).await;
}

async fn send(fixture: &HostFixture, variant: &str, body: &str) {
    fixture.send(&input(variant), Message::new(body.to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variants_without_a_queue_hold_no_slots() {
    let fixture = fixture(4).await;
    let echo = fixture.deploy(guests::ECHO, |_| {}).await;
    run(&fixture, "healthy", &echo).await;
    for number in 0..6 {
        name(&fixture, &number.to_string(), &echo).await;
    }
    for number in 0..6 {
        fixture.until_state(&format!("p-{number}"), ProcessorState::Failing).await;
    }
    send(&fixture, "healthy", "1").await;
    assert_eq!(fixture.outputs().await.next_text().await, "1");
    run(&fixture, "late", &echo).await;
    send(&fixture, "late", "2").await;
    assert_eq!(fixture.outputs().await.next_text().await, "2");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_of_any_number_of_idle_processors_complete() {
    let fixture = fixture(4).await;
    let (one, two) =
        (fixture.deploy(guests::ECHO, |_| {}).await, fixture.deploy_as("echo", "2.0.0", &marked_guest("echo", 2), |_| {}).await);
    for number in 0..6 {
        run(&fixture, &number.to_string(), &one).await;
    }
    for number in 0..6 {
        name(&fixture, &number.to_string(), &two).await;
        until_runs(&fixture, &number.to_string(), &two).await;
    }
    let outputs = fixture.outputs().await;
    for number in 0..6 {
        send(&fixture, &number.to_string(), &number.to_string()).await;
        assert_eq!(outputs.next_text().await, number.to_string());
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_received_before_a_slot_is_free() {
    let fixture = fixture(1).await;
    let service = Service::open(&fixture).await;
    let (asks, echo) = (fixture.deploy(guests::REQUEST, |_| {}).await, fixture.deploy(guests::ECHO, |_| {}).await);
    run(&fixture, "asks", &asks).await;
    run(&fixture, "echo", &echo).await;
    send(&fixture, "asks", "question").await;
    let (_, id) = service.asked().await;
    // The only slot is in use until the answer comes.
    send(&fixture, "echo", "1").await;
    fixture.create(&input("late"), "p-late--v--input").await;
    name(&fixture, "late", &echo).await;
    let waiting = fixture.until("p-echo", |status| status.waiting_for_slot_count == 1).await;
    assert_eq!((waiting.state, waiting.in_hand_count, waiting.failed_count), (ProcessorState::Running, 0, 0));
    assert_eq!(fixture.stats(&input("echo"), "p-echo--v--input").await.depth_count, 1);
    fixture.until("p-late", |status| status.state == ProcessorState::Starting && status.waiting_for_slot_count == 1).await;
    service.answer(&id, "1").await;
    let outputs = fixture.outputs().await;
    let mut texts = outputs.texts(2).await;
    texts.sort();
    assert_eq!(texts, ["1", r#"{"parts":["1"]}"#]);
    until_runs(&fixture, "late", &echo).await;
    fixture.until("p-echo", |status| status.waiting_for_slot_count == 0 && status.handled_count == 1).await;
    fixture.end().await;
}

/// A worker that waits for a slot holds no message, so that it can be stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_waits_for_a_slot_can_be_stopped() {
    let fixture = fixture(1).await;
    let service = Service::open(&fixture).await;
    let (asks, echo) = (fixture.deploy(guests::REQUEST, |_| {}).await, fixture.deploy(guests::ECHO, |_| {}).await);
    run(&fixture, "asks", &asks).await;
    run(&fixture, "echo", &echo).await;
    send(&fixture, "asks", "question").await;
    let (_, id) = service.asked().await;
    send(&fixture, "echo", "1").await;
    fixture.until("p-echo", |status| status.waiting_for_slot_count == 1).await;
    fixture.config.apply(Batch::new().delete(entry_type("p-echo"), "v")).await.unwrap();
    assert_eq!(fixture.requeued(&input("echo"), "p-echo--v--input").await, 1);
    service.answer(&id, "1").await;
    fixture.outputs().await.texts(1).await;
    fixture.end().await;
}

/// A component with additional memories, in modules that nothing uses.
fn with_memories(component: &[u8], memories_count: usize) -> Vec<u8> {
    use wasm_encoder::{ComponentSection, InstanceSection, MemorySection, MemoryType, Module, ModuleArg, ModuleSection};
    let sections = wasmparser::Parser::new(0).parse_all(component);
    let mut depth = 0;
    let mut modules_count = 0;
    for payload in sections {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. } => {
                modules_count += u32::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    let (mut module, mut memories) = (Module::new(), MemorySection::new());
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    module.section(&memories);
    let mut instances = InstanceSection::new();
    for _ in 0..memories_count {
        instances.instantiate::<[(Cow<'_, str>, ModuleArg); 0], Cow<'_, str>>(modules_count, []);
    }
    let mut larger = component.to_vec();
    ModuleSection(&module).append_to_component(&mut larger);
    instances.append_to_component(&mut larger);
    larger
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_memory_of_a_component_takes_one_slot() {
    let fixture = fixture(16).await;
    let large = fixture.deploy_as("echo", "9.0.0", &with_memories(&guest("echo"), 9), |_| {}).await;
    for variant in ["a", "b", "c"] {
        run(&fixture, variant, &large).await;
    }
    let outputs = fixture.outputs().await;
    for round in 0..3 {
        for variant in ["a", "b", "c"] {
            send(&fixture, variant, &format!("{round}{variant}")).await;
        }
        outputs.texts(3).await;
    }
    for variant in ["a", "b", "c"] {
        let status = fixture.status(&format!("p-{variant}")).unwrap();
        assert_eq!((status.last_error, status.failed_count), (None, 0), "the pool was never used up");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_requires_more_slots_than_exist_is_broken_with_the_figures() {
    let fixture = fixture(4).await;
    let large = fixture.deploy_as("echo", "9.0.0", &with_memories(&guest("echo"), 9), |_| {}).await;
    fixture.create(&input("large"), "p-large--v--input").await;
    name(&fixture, "large", &large).await;
    let error = fixture.until_state("p-large", ProcessorState::Broken).await.last_error.unwrap();
    assert!(error.contains("takes 10 instance slots") && error.contains("has 3: raise host.instances"), "{error}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_out_of_range_number_breaks_only_its_own_processor() {
    let fixture = fixture(4).await;
    let descriptor = br#"{"schema": 1, "consumers": ["input"], "producers": ["output"], "concurrency": 4294967295}"#;
    let refused = weir_pubsub::chain(&inspect(&stamped(&guest("echo"), descriptor)).unwrap_err());
    assert!(refused.contains("`concurrency` of the descriptor: is 4294967295; it must be a whole number from 1 to 1000"), "{refused}");
    // As accepted by an older Weir.
    let echo = fixture.deploy(guests::ECHO, |_| {}).await;
    let text = fixture.config.get_one("component", &echo.key()).await.unwrap().unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["descriptor"]["concurrency"] = 4_294_967_295_u32.into();
    let huge = ComponentRef { version: "7.0.0".to_owned(), ..echo.clone() };
    fixture.put("component", &huge.key(), &record).await;
    fixture.create(&input("huge"), "p-huge--v--input").await;
    name(&fixture, "huge", &huge).await;
    let error = fixture.until_state("p-huge", ProcessorState::Broken).await.last_error.unwrap();
    assert!(error.contains("echo@7.0.0") && error.contains("`descriptor.concurrency` is 4294967295"), "{error}");
    run(&fixture, "healthy", &echo).await;
    send(&fixture, "healthy", "1").await;
    assert_eq!(fixture.outputs().await.next_text().await, "1");
    fixture.end().await;
}
