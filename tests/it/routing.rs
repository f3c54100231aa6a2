//! Outputs whose reader is added or removed while messages are in flight.
#![allow(clippy::unwrap_used, reason = "tests")]

use weir_config::records::{ComponentRef, Entry, ProcessorState, ProcessorStatus, entry_type};
use weir_pubsub::{Backend, Delete};
use weir_tests::marked_guest;

use crate::contract::service::{SERVICE, Service};
use crate::guests;
use crate::host_fixture::{HostFixture, entry, queue};

const INPUT: &str = "p--v--input";
const READER: &str = "reader";

/// A fixture in which `flow:tg:out` is read, with the queues of a processor `p` that has no entry yet.
async fn fixture() -> HostFixture {
    let fixture = HostFixture::new().await;
    fixture.create("flow:tg:in", INPUT).await;
    fixture.create("flow:tg:out", READER).await;
    fixture
}

fn entry_of(component: &ComponentRef, consumed: &[&str]) -> Entry {
    let mut topics = vec![("input", "flow:tg:in"), ("output", "flow:tg:out")];
    if component.name == "send-then-ask" {
        topics.extend(SERVICE);
    }
    Entry { consumed: consumed.iter().map(ToString::to_string).collect(), ..entry(component, &topics, &[]) }
}

async fn put(fixture: &HostFixture, component: &ComponentRef, consumed: &[&str]) {
    fixture.put(&entry_type("p"), "v", &entry_of(component, consumed)).await;
}

/// Does what the flow service does when the only flow that reads the output is stopped: the entry first, then the queue.
async fn stop_the_reader(fixture: &HostFixture, component: &ComponentRef) {
    put(fixture, component, &[]).await;
    fixture.backend.delete_queue(&queue("flow:tg:out", READER), Delete::Always).await.unwrap();
}

async fn until_handled(fixture: &HostFixture, count: u64) -> ProcessorStatus {
    fixture.until("p", |status| status.handled_count == count && status.state == ProcessorState::Running).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_whose_subscriber_disappears_during_handling_is_dropped_and_counted() {
    let fixture = fixture().await;
    let component = fixture.deploy(guests::SEND_THEN_ASK, |_| {}).await;
    let service = Service::open(&fixture).await;
    put(&fixture, &component, &["output"]).await;
    fixture.send_text("1").await;
    fixture.send_text("2").await;
    let (_, first) = service.asked().await;
    stop_the_reader(&fixture, &component).await;
    service.answer(&first, "go on").await;
    let (_, second) = service.asked().await;
    service.answer(&second, "go on").await;
    let status = until_handled(&fixture, 2).await;
    assert_eq!((status.dropped_count, status.sent_count, status.failed_count, status.in_hand_count), (2, 0, 0, 0));
    fixture.end().await;
}

/// A processor whose settle waits for the queue of its output, which is gone although the entry marks it as read.
async fn waiting(component: &ComponentRef, fixture: &HostFixture) {
    put(fixture, component, &["output"]).await;
    fixture.until_state("p", ProcessorState::Running).await;
    fixture.backend.delete_queue(&queue("flow:tg:out", READER), Delete::Always).await.unwrap();
    fixture.send_text("1").await;
    fixture.send_text("2").await;
    let status = fixture.until_state("p", ProcessorState::Failing).await;
    let error = status.last_error.unwrap();
    assert!(error.contains("flow:tg:out") && error.contains("has no queue"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settle_waiting_for_a_queue_ends_once_its_topic_is_not_consumed() {
    let fixture = fixture().await;
    let component = fixture.deploy(guests::ECHO, |_| {}).await;
    waiting(&component, &fixture).await;
    put(&fixture, &component, &[]).await;
    let status = until_handled(&fixture, 2).await;
    assert_eq!((status.dropped_count, status.sent_count, status.in_hand_count), (2, 0, 0));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settle_of_a_swapped_component_ends_as_well() {
    let fixture = fixture().await;
    let one = fixture.deploy(guests::ECHO, |_| {}).await;
    let two = fixture.deploy_as(guests::ECHO, "2.0.0", &marked_guest(guests::ECHO, 2), |_| {}).await;
    waiting(&one, &fixture).await;
    put(&fixture, &two, &["output"]).await;
    fixture.until("p", |status| status.component.as_ref() == Some(&two)).await;
    put(&fixture, &two, &[]).await;
    assert_eq!(until_handled(&fixture, 2).await.dropped_count, 2);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settle_ends_even_if_the_component_of_its_entry_cannot_run() {
    let fixture = fixture().await;
    let one = fixture.deploy(guests::ECHO, |_| {}).await;
    waiting(&one, &fixture).await;
    let missing = ComponentRef { version: "9.0.0".to_owned(), ..one.clone() };
    let swapped = Entry { previous: Some(one.clone()), ..entry_of(&missing, &[]) };
    fixture.put(&entry_type("p"), "v", &swapped).await;
    let status = fixture.until("p", |status| status.handled_count == 2).await;
    assert_eq!(status.dropped_count, 2);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_waiting_for_an_output_queue_runs_once_it_exists() {
    let fixture = fixture().await;
    let component = fixture.deploy(guests::ECHO, |_| {}).await;
    waiting(&component, &fixture).await;
    fixture.create("flow:tg:out", READER).await;
    let status = until_handled(&fixture, 2).await;
    assert_eq!((status.dropped_count, status.sent_count), (0, 2));
    assert_eq!(fixture.reader("flow:tg:out", READER).await.texts(2).await, ["1", "2"]);
    fixture.end().await;
}
