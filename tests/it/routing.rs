//! Outputs whose reader comes or goes while messages are in flight.
#![allow(clippy::unwrap_used, reason = "tests")]

use weir_config::records::{ComponentRef, Entry, ProcessorState, ProcessorStatus, entry_type};
use weir_pubsub::{Backend, Delete};
use weir_tests::marked_guest;

use crate::contract::service::{SERVICE, Service};
use crate::guests;
use crate::stage::{Stage, entry, queue};

const INPUT: &str = "p--v--input";
const READER: &str = "reader";

/// A stage on which `flow:tg:out` is read, with the queues of a processor `p` that has no entry yet.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage.create("flow:tg:in", INPUT).await;
    stage.create("flow:tg:out", READER).await;
    stage
}

fn entry_of(component: &ComponentRef, consumed: &[&str]) -> Entry {
    let mut topics = vec![("input", "flow:tg:in"), ("output", "flow:tg:out")];
    if component.name == "send-then-ask" {
        topics.extend(SERVICE);
    }
    Entry { consumed: consumed.iter().map(ToString::to_string).collect(), ..entry(component, &topics, &[]) }
}

async fn put(stage: &Stage, component: &ComponentRef, consumed: &[&str]) {
    stage.put(&entry_type("p"), "v", &entry_of(component, consumed)).await;
}

/// As the flow service does when the only flow that reads the output is stopped: the entry first, then the queue.
async fn stop_the_reader(stage: &Stage, component: &ComponentRef) {
    put(stage, component, &[]).await;
    stage.backend.delete_queue(&queue("flow:tg:out", READER), Delete::Always).await.unwrap();
}

async fn until_handled(stage: &Stage, count: u64) -> ProcessorStatus {
    stage.until("p", |status| status.handled_count == count && status.state == ProcessorState::Running).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_whose_reader_goes_while_its_message_is_handled_is_dropped_and_counted() {
    let stage = stage().await;
    let component = stage.deploy(guests::SEND_THEN_ASK, |_| {}).await;
    let service = Service::open(&stage).await;
    put(&stage, &component, &["output"]).await;
    stage.send_text("1").await;
    stage.send_text("2").await;
    let (_, first) = service.asked().await;
    stop_the_reader(&stage, &component).await;
    service.answer(&first, "go on").await;
    let (_, second) = service.asked().await;
    service.answer(&second, "go on").await;
    let status = until_handled(&stage, 2).await;
    assert_eq!((status.dropped_count, status.sent_count, status.failed_count, status.in_hand_count), (2, 0, 0, 0));
    stage.end().await;
}

/// A processor whose settle waits for the queue of its output, which is gone although the entry says that it is read.
async fn waiting(component: &ComponentRef, stage: &Stage) {
    put(stage, component, &["output"]).await;
    stage.until_state("p", ProcessorState::Running).await;
    stage.backend.delete_queue(&queue("flow:tg:out", READER), Delete::Always).await.unwrap();
    stage.send_text("1").await;
    stage.send_text("2").await;
    let status = stage.until_state("p", ProcessorState::Failing).await;
    let error = status.last_error.unwrap();
    assert!(error.contains("flow:tg:out") && error.contains("has no queue"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settle_that_waits_for_a_queue_ends_once_its_topic_has_no_consumer_any_more() {
    let stage = stage().await;
    let component = stage.deploy(guests::ECHO, |_| {}).await;
    waiting(&component, &stage).await;
    put(&stage, &component, &[]).await;
    let status = until_handled(&stage, 2).await;
    assert_eq!((status.dropped_count, status.sent_count, status.in_hand_count), (2, 0, 0));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settle_of_a_component_that_was_swapped_meanwhile_ends_as_well() {
    let stage = stage().await;
    let one = stage.deploy(guests::ECHO, |_| {}).await;
    let two = stage.deploy_as(guests::ECHO, "2.0.0", &marked_guest(guests::ECHO, 2), |_| {}).await;
    waiting(&one, &stage).await;
    put(&stage, &two, &["output"]).await;
    stage.until("p", |status| status.component.as_ref() == Some(&two)).await;
    put(&stage, &two, &[]).await;
    assert_eq!(until_handled(&stage, 2).await.dropped_count, 2);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settle_ends_also_while_the_component_that_its_entry_names_cannot_run() {
    let stage = stage().await;
    let one = stage.deploy(guests::ECHO, |_| {}).await;
    waiting(&one, &stage).await;
    let missing = ComponentRef { version: "9.0.0".to_owned(), ..one.clone() };
    let swapped = Entry { previous: Some(one.clone()), ..entry_of(&missing, &[]) };
    stage.put(&entry_type("p"), "v", &swapped).await;
    let status = stage.until("p", |status| status.handled_count == 2).await;
    assert_eq!(status.dropped_count, 2);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_waits_for_the_queue_of_its_output_runs_again_once_it_is_there() {
    let stage = stage().await;
    let component = stage.deploy(guests::ECHO, |_| {}).await;
    waiting(&component, &stage).await;
    stage.create("flow:tg:out", READER).await;
    let status = until_handled(&stage, 2).await;
    assert_eq!((status.dropped_count, status.sent_count), (0, 2));
    assert_eq!(stage.reader("flow:tg:out", READER).await.texts(2).await, ["1", "2"]);
    stage.end().await;
}
