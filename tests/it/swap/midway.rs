//! Swaps during other work: a setup that fails or takes long, a message in flight, an input without a queue.

use std::cell::Cell;

use serde_json::Value;
use weir_config::Batch;
use weir_config::records::{ComponentRecord, entry_type};
use weir_pubsub::Message;
use weir_runtime::Served;
use weir_tests::wait::{DEADLINE, eventually};

use super::{WAY, deploy, fixture, name, name_asking, name_asking_after, next, until_runs};
use crate::contract::service::Service;
use crate::guests;
use crate::host_fixture::{HostFixture, entry};

async fn configure(fixture: &HostFixture, value: &str) {
    fixture.config.apply(Batch::new().put("settings", "a", value)).await.unwrap();
    fixture.until_configured().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_keeps_its_configuration_while_its_successor_cannot_run() {
    let mut fixture = fixture().await;
    let (one, two) = (deploy(&fixture, guests::CONFIG_GET, 1, |_| {}).await, deploy(&fixture, guests::ECHO, 2, |_| {}).await);
    std::fs::write(fixture.component_file(two.digest), b"no component").unwrap();
    fixture.start_host(Served::All).await;
    configure(&fixture, "1").await;
    name(&fixture, &one, None).await;
    until_runs(&fixture, &one).await;
    // The new component declares no config type, and its entry names no previous one.
    name(&fixture, &two, None).await;
    fixture.until("p", |status| status.refused.is_some()).await;
    configure(&fixture, "2").await;
    let outputs = fixture.outputs().await;
    eventually(DEADLINE, "the change to reach what runs", || async {
        fixture.send_text(r#"{"key": "a"}"#).await;
        let read: Value = serde_json::from_str(&outputs.next_text().await).unwrap();
        assert!(["1", "2"].map(Value::from).contains(&read["value"]), "{read}");
        (read["value"] == "2").then_some(())
    })
    .await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_whose_setup_fails_leave_when_the_new_component_has_a_lower_concurrency() {
    let mut fixture = fixture().await;
    let one = deploy(&fixture, guests::CONFIG_FOLLOW, 1, |record| record.concurrency = Some(4)).await;
    let two = deploy(&fixture, guests::REQUEST, 2, |record| record.concurrency = Some(1)).await;
    fixture.start_host(Served::All).await;
    let probe = Probe::start(&fixture).await;
    configure(&fixture, "1").await;
    let (service, outputs) = (Service::open(&fixture).await, fixture.outputs().await);
    name_asking(&fixture, &one).await;
    fixture.send_text("0").await;
    let (_, first) = service.asked().await;
    configure(&fixture, "bad").await;
    for number in 1..4 {
        fixture.send_text(&number.to_string()).await;
    }
    let fails = |error: &Option<String>| error.as_deref().is_some_and(|error| error.contains("the value of `a` is bad"));
    fixture.until("p", |status| status.in_hand_count == 4 && fails(&status.last_error)).await;
    name_asking_after(&fixture, &two, Some(&one)).await;
    service.answer(&first, "1").await;
    for _ in 1..4 {
        let (_, id) = service.asked().await;
        service.answer(&id, "1").await;
    }
    outputs.texts(4).await;
    // Now one of them is left, and takes one message at a time.
    fixture.send_text("4").await;
    fixture.send_text("5").await;
    let (_, id) = service.asked().await;
    probe.pass(&fixture).await;
    assert_eq!(fixture.status("p").unwrap().in_hand_count, 1);
    service.answer(&id, "1").await;
    let (_, id) = service.asked().await;
    service.answer(&id, "1").await;
    outputs.texts(2).await;
    fixture.end().await;
}

/// Another processor of the host: while messages pass through it, the others have time to misbehave.
struct Probe(crate::host_fixture::Reader);

impl Probe {
    async fn start(fixture: &HostFixture) -> Self {
        let component = fixture.deploy(guests::ECHO, |_| {}).await;
        fixture.create("flow:tg:probe", "echo--v--input").await;
        fixture.create("flow:tg:probed", "test").await;
        let topics = [("input", "flow:tg:probe"), ("output", "flow:tg:probed")];
        fixture.put(&entry_type("echo"), "v", &entry(&component, &topics, &[])).await;
        Probe(fixture.reader("flow:tg:probed", "test").await)
    }

    async fn pass(&self, fixture: &HostFixture) {
        for number in 0..50 {
            fixture.send("flow:tg:probe", Message::new(number.to_string())).await;
            assert_eq!(self.0.next_text().await, number.to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setup_goes_on_while_flows_that_consume_the_outputs_come_and_go() {
    let mut fixture = fixture().await;
    let component = deploy(&fixture, guests::SETUP_REFUSED, 1, |record| record.limits.time_ms = Some(1_000)).await;
    fixture.start_host(Served::All).await;
    let is_consumed = Cell::new(false);
    let refused = eventually(DEADLINE, "the setup to end", || async {
        is_consumed.set(!is_consumed.get());
        let mut entry = entry(&component, &WAY, &[("refuse", "spin")]);
        entry.consumed = is_consumed.get().then(|| "output".to_owned()).into_iter().collect();
        fixture.put(&entry_type("p"), "v", &entry).await;
        fixture.status("p").and_then(|status| status.refused)
    })
    .await;
    assert!(refused.problem.contains("1000 ms"), "{refused:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_names_the_component_that_failed_and_not_its_successor() {
    let mut fixture = fixture().await;
    let once = |record: &mut ComponentRecord| record.retry.attempts_count = Some(1);
    let (one, two) = (deploy(&fixture, guests::CONFIG_FOLLOW, 1, once).await, deploy(&fixture, guests::REQUEST, 2, once).await);
    fixture.start_host(Served::All).await;
    let service = Service::open(&fixture).await;
    name_asking(&fixture, &one).await;
    fixture.send_text("1").await;
    let (_, id) = service.asked().await;
    name_asking(&fixture, &two).await;
    service.answer_error(&id, "no").await;
    let (letter, _) = fixture.dead_letter().await;
    assert_eq!((letter.component, letter.digest), (one.key(), one.digest.to_string()));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_only_the_old_component_had_is_not_waited_for() {
    let mut fixture = fixture().await;
    let (one, two) = (deploy(&fixture, guests::TWO_INPUTS, 1, |_| {}).await, deploy(&fixture, guests::ECHO, 2, |_| {}).await);
    fixture.start_host(Served::All).await;
    let way = [WAY[0], WAY[1], ("control", "flow:tg:control")];
    fixture.put(&entry_type("p"), "v", &entry(&one, &way, &[])).await;
    let waits = |error: &Option<String>| error.as_deref().is_some_and(|error| error.contains("control"));
    fixture.until("p", |status| waits(&status.last_error) && status.last_error_over_ms.is_none()).await;
    name(&fixture, &two, None).await;
    until_runs(&fixture, &two).await;
    fixture.until("p", |status| status.last_error_over_ms.is_some()).await;
    fixture.send_text("1").await;
    assert_eq!(next(&fixture.outputs().await).await, ("1".to_owned(), two.digest.short()));
    fixture.end().await;
}
