//! Swapping a component while messages flow, on a host: what switches, when, and what never does. The operation of the flow service is
//! tested in `flow/swap.rs`; all together, with a `kill -9`, in `swap/under_load.rs`.

mod midway;
mod under_load;

use weir_config::records::{ComponentRecord, ComponentRef, Entry, ProcessorState, ProcessorStatus, entry_type};
use weir_pubsub::Message;
use weir_runtime::Served;
use weir_tests::marked_guest;
use weir_tests::wait::{DEADLINE, eventually};

use crate::contract::service::{SERVICE, Service};
use crate::guests;
use crate::host_fixture::{HostFixture, Reader, entry};

const WAY: [(&str, &str); 2] = [("input", "flow:tg:in"), ("output", "flow:tg:out")];

/// A fixture with the queues of a processor `p` and no entry yet.
async fn fixture() -> HostFixture {
    let fixture = HostFixture::without_host().await;
    fixture.create("flow:tg:in", "p--v--input").await;
    fixture.create("flow:tg:out", "test").await;
    fixture
}

async fn deploy(fixture: &HostFixture, name: &str, mark: u8, change: impl FnOnce(&mut ComponentRecord)) -> ComponentRef {
    fixture.deploy_as(name, &format!("{mark}.0.0"), &marked_guest(name, mark), change).await
}

/// Makes processor `p` run a component from now on.
async fn name(fixture: &HostFixture, component: &ComponentRef, previous: Option<&ComponentRef>) {
    let mut entry = entry(component, &WAY, &[("until", "1000"), ("delay", "0")]);
    entry.previous = previous.cloned();
    entry.consumed = vec!["output".to_owned()];
    fixture.put(&entry_type("p"), "v", &entry).await;
}

async fn until_runs(fixture: &HostFixture, component: &ComponentRef) {
    fixture.until("p", |status| status.component.as_ref() == Some(component) && status.state == ProcessorState::Running).await;
}

/// The next message's text and the digest of its sender.
async fn next(outputs: &Reader) -> (String, String) {
    let message = outputs.next().await;
    let from = message.from.as_deref().unwrap().split(' ').nth(1).unwrap().to_owned();
    (String::from_utf8(message.body.to_vec()).unwrap(), from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_component_handles_the_next_message() {
    let mut fixture = fixture().await;
    let (one, two) = (deploy(&fixture, guests::ECHO, 1, |_| {}).await, deploy(&fixture, guests::ECHO, 2, |_| {}).await);
    fixture.start_host(Served::All).await;
    name(&fixture, &one, None).await;
    let outputs = fixture.outputs().await;
    for (number, component, previous) in [(1, &one, None), (2, &two, Some(&one)), (3, &one, Some(&two))] {
        name(&fixture, component, previous).await;
        until_runs(&fixture, component).await;
        fixture.send_text(&number.to_string()).await;
        assert_eq!(next(&outputs).await, (number.to_string(), component.digest.short()));
    }
    assert_eq!(fixture.status("p").unwrap().refused, None);
    fixture.end().await;
}

/// Runs as `p` a component that sends a request for each message, which is in flight until it is answered.
async fn name_asking(fixture: &HostFixture, component: &ComponentRef) {
    name_asking_after(fixture, component, None).await;
}

async fn name_asking_after(fixture: &HostFixture, component: &ComponentRef, previous: Option<&ComponentRef>) {
    let way = [WAY[0], WAY[1], SERVICE[0], SERVICE[1]];
    let entry = Entry { previous: previous.cloned(), ..entry(component, &way, &[]) };
    fixture.put(&entry_type("p"), "v", &entry).await;
    until_runs(fixture, component).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_flight_is_finished_by_the_old_component_and_its_consumer_is_kept() {
    let mut fixture = fixture().await;
    let (one, two) = (deploy(&fixture, guests::REQUEST, 1, |_| {}).await, deploy(&fixture, guests::REQUEST, 2, |_| {}).await);
    fixture.start_host(Served::All).await;
    let (service, outputs) = (Service::open(&fixture).await, fixture.outputs().await);
    name_asking(&fixture, &one).await;
    fixture.send_text("1").await;
    fixture.send_text("2").await;
    let (_, first) = service.asked().await;
    name_asking(&fixture, &two).await;
    assert_eq!(fixture.stats("flow:tg:in", "p--v--input").await.consumer_count, 1);
    service.answer(&first, "1").await;
    assert_eq!(next(&outputs).await.1, one.digest.short());
    let (_, second) = service.asked().await;
    service.answer(&second, "1").await;
    assert_eq!(next(&outputs).await.1, two.digest.short());
    assert_eq!(fixture.until("p", |status| status.handled_count == 2).await.failed_count, 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_backoff_is_retried_with_the_new_component() {
    let mut fixture = fixture().await;
    let slow = |record: &mut ComponentRecord| {
        (record.retry.first_wait_ms, record.retry.longest_wait_ms, record.retry.waiting_ms) =
            (Some(3_600_000), Some(3_600_000), Some(86_400_000));
    };
    let (one, two) = (deploy(&fixture, guests::TRAP, 1, slow).await, deploy(&fixture, guests::ECHO, 2, |_| {}).await);
    fixture.start_host(Served::All).await;
    name(&fixture, &one, None).await;
    fixture.send_text(r#"{"trap": true}"#).await;
    fixture.send_text("2").await;
    fixture.until("p", |status| status.failed_count == 1).await;
    name(&fixture, &two, Some(&one)).await;
    let outputs = fixture.outputs().await;
    assert_eq!(next(&outputs).await, (r#"{"trap": true}"#.to_owned(), two.digest.short()));
    assert_eq!(next(&outputs).await.0, "2", "the order is kept");
    assert_eq!(fixture.status("p").unwrap().dead_count, 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_takes_over_only_once_its_setup_succeeds() {
    let mut fixture = fixture().await;
    let one = deploy(&fixture, guests::ECHO, 1, |_| {}).await;
    let two = deploy(&fixture, guests::SETUP_REFUSED, 2, |record| record.limits.time_ms = Some(300)).await;
    fixture.start_host(Served::All).await;
    let put = async |component: &ComponentRef, parameters: &[(&str, &str)]| {
        fixture.put(&entry_type("p"), "v", &entry(component, &WAY, parameters)).await;
    };
    let outputs = fixture.outputs().await;
    for (refuse, word) in [("not today", "not today"), ("trap", "told to trap"), ("spin", "300 ms")] {
        put(&one, &[("refuse", refuse)]).await;
        until_runs(&fixture, &one).await;
        put(&two, &[("refuse", refuse)]).await;
        let found = |status: &ProcessorStatus| status.refused.as_ref().is_some_and(|refused| refused.problem.contains(word));
        let status = fixture.until("p", found).await;
        let refused = status.refused.unwrap();
        assert!(!refused.permanent && refused.component == two, "{refused:?}");
        assert_eq!((status.state, status.component), (ProcessorState::Running, Some(one.clone())));
        fixture.send_text(refuse).await;
        assert_eq!(next(&outputs).await, (refuse.to_owned(), one.digest.short()));
        // After the old component is restored, no refusal is left.
        put(&one, &[("refuse", refuse)]).await;
        fixture.until("p", |status| status.refused.is_none()).await;
    }
    put(&two, &[]).await;
    until_runs(&fixture, &two).await;
    assert_eq!(fixture.status("p").unwrap().refused, None);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_cannot_run_the_new_component_runs_the_previous_one_and_reports_it() {
    let mut fixture = fixture().await;
    let one = deploy(&fixture, guests::ECHO, 1, |_| {}).await;
    let two = deploy(&fixture, guests::TWO_INPUTS, 2, |_| {}).await;
    name(&fixture, &two, Some(&one)).await;
    fixture.start_host(Served::All).await;
    let status = fixture.until("p", |status| status.state == ProcessorState::Running).await;
    assert_eq!(status.component, Some(one.clone()));
    let refused = status.refused.unwrap();
    assert!(refused.permanent && refused.component == two && refused.problem.contains("control"), "{refused:?}");
    assert!(status.last_error.unwrap().contains("runs instead"));
    let outputs = fixture.outputs().await;
    fixture.send_text("1").await;
    assert_eq!(next(&outputs).await.1, one.digest.short());
    // Restored like by the flow service: nothing changes except the entry.
    name(&fixture, &one, None).await;
    fixture.send_text("2").await;
    assert_eq!(next(&outputs).await.1, one.digest.short());
    assert!(fixture.status("p").unwrap().refused.is_some(), "an operator can still see why");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_with_a_damaged_file_takes_over_only_once_it_is_repaired() {
    let mut fixture = fixture().await;
    let (one, two) = (deploy(&fixture, guests::ECHO, 1, |_| {}).await, deploy(&fixture, guests::ECHO, 2, |_| {}).await);
    std::fs::write(fixture.component_file(two.digest), b"no component").unwrap();
    fixture.start_host(Served::All).await;
    name(&fixture, &one, None).await;
    until_runs(&fixture, &one).await;
    name(&fixture, &two, Some(&one)).await;
    let status = fixture.until("p", |status| status.refused.is_some()).await;
    let refused = status.refused.unwrap();
    assert!(!refused.permanent && refused.problem.contains("damaged"), "{refused:?}");
    assert_eq!(status.component, Some(one.clone()));
    deploy(&fixture, guests::ECHO, 2, |_| {}).await;
    until_runs(&fixture, &two).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_workers_follows_the_new_components_concurrency() {
    let mut fixture = fixture().await;
    fixture.start_host(Served::All).await;
    let (service, outputs) = (Service::open(&fixture).await, fixture.outputs().await);
    let one = deploy(&fixture, guests::REQUEST, 1, |record| (record.concurrency, record.window) = (Some(1), Some(1))).await;
    let two = deploy(&fixture, guests::REQUEST, 2, |record| record.concurrency = Some(4)).await;
    for (component, at_once) in [(&one, 1), (&two, 4), (&one, 1), (&two, 4)] {
        name_asking(&fixture, component).await;
        for number in 0..4 {
            fixture.send_text(&number.to_string()).await;
        }
        for _ in 0..4 / at_once {
            let mut ids = Vec::new();
            for _ in 0..at_once {
                ids.push(service.asked().await.1);
            }
            // All of them are in flight now: none has been answered.
            assert_eq!(fixture.stats("flow:tg:in", "p--v--input").await.consumer_count, 1);
            for id in ids {
                service.answer(&id, "1").await;
            }
            for _ in 0..at_once {
                assert_eq!(next(&outputs).await, (r#"{"parts":["1"]}"#.to_owned(), component.digest.short()));
            }
        }
    }
    fixture.end().await;
}

/// Requesters take all slots of the pool except those reserved for responders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requesters_do_not_starve_responders() {
    let mut fixture = fixture().await;
    fixture.start_host_with(Served::All, 4).await;
    let answers = fixture.deploy(guests::PARTS, |_| {}).await;
    fixture.create("request:tg:ask", "parts--v--request").await;
    let asked = [("request", "request:tg:ask"), ("response", "response:tg:ask")];
    fixture.put(&entry_type("parts"), "v", &entry(&answers, &asked, &[])).await;
    let asks = fixture.deploy(guests::REQUEST, |record| record.concurrency = Some(8)).await;
    let way = [WAY[0], WAY[1], ("service-request", "request:tg:ask"), ("service-response", "response:tg:ask")];
    fixture.until_state("parts", ProcessorState::Running).await;
    fixture.put(&entry_type("p"), "v", &entry(&asks, &way, &[])).await;
    let outputs = fixture.outputs().await;
    for _ in 0..64 {
        fixture.send("flow:tg:in", Message::new(r#"{"parts": 2}"#).with("timeout-ms", "60000")).await;
    }
    for text in outputs.texts(64).await {
        assert_eq!(text, r#"{"parts":["0","1"]}"#);
    }
    assert_eq!(fixture.status("p").unwrap().failed_count, 0);
    fixture.end().await;
}

/// A worker that is idle, or has had its slot for a while, yields it to those that have none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_the_pool_are_shared_in_turns() {
    let mut fixture = fixture().await;
    fixture.start_host_with(Served::All, 1).await;
    let outputs = fixture.outputs().await;
    let component = deploy(&fixture, guests::ECHO, 1, |_| {}).await;
    for variant in ["v", "w", "x"] {
        fixture.create(&format!("flow:tg:in-{variant}"), &format!("p--{variant}--input")).await;
        let input = format!("flow:tg:in-{variant}");
        fixture.put(&entry_type("p"), variant, &entry(&component, &[("input", &input), WAY[1]], &[])).await;
    }
    for round in 0..3 {
        for variant in ["v", "w", "x"] {
            fixture.send(&format!("flow:tg:in-{variant}"), Message::new(round.to_string())).await;
        }
        outputs.texts(3).await;
    }
    let look = || std::future::ready(fixture.status("p").filter(|status| status.failed_count == 0).map(|_| ()));
    eventually(DEADLINE, "no failure", look).await;
    fixture.end().await;
}
