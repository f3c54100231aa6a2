//! Faulty files, entries and setups: each is reported, keeps one variant from running, and affects no other.

use std::path::Path;

use weir_config::records::{ComponentRef, Entry, ProcessorState, entry_type};
use weir_pubsub::Message;
use weir_runtime::Served;
use weir_tests::guest;

use crate::guests;
use crate::host_fixture::{HostFixture, entry, names, stamped};

/// Runs `echo` beside the faulty one, as a processor of another input, and sends a message through it.
async fn others_work(fixture: &HostFixture) {
    let component = fixture.deploy_as("neighbour", "1.0.0", &guest(guests::ECHO), |_| {}).await;
    fixture.create("flow:tg:near", "neighbour--v--input").await;
    fixture.create("flow:tg:far", "test").await;
    let topics = [("input", "flow:tg:near"), ("output", "flow:tg:far")];
    fixture.put(&entry_type("neighbour"), "v", &entry(&component, &topics, &[])).await;
    fixture.send("flow:tg:near", Message::new("hello")).await;
    assert_eq!(fixture.reader("flow:tg:far", "test").await.next_text().await, "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_does_not_fit_the_descriptor_is_broken_until_it_does() {
    let fixture = HostFixture::new().await;
    let descriptor = r#"{"schema": 1, "name": "strict", "consumers": ["input"], "producers": ["output"],
        "parameters": [{"name": "model", "required": true}]}"#;
    let component = fixture.deploy_as("strict", "1.0.0", &stamped(&guest(guests::ECHO), descriptor.as_bytes()), |_| {}).await;
    let wanted = |topics: &[(&str, &str)], parameters: &[(&str, &str)]| entry(&component, topics, parameters);
    let (input, output, model) = (("input", "flow:tg:in"), ("output", "flow:tg:out"), ("model", "large"));
    let faulty: [(Entry, &str); 5] = [
        (wanted(&[input, output], &[]), "parameter `model` is required and not set"),
        (wanted(&[input], &[model]), "the flow assigns no topic to the output `output`"),
        (wanted(&[input, output, ("outptu", "flow:tg:x")], &[model]), "topic `outptu` is neither an input nor an output"),
        (wanted(&[("input", "response:tg:in"), output], &[model]), "only flow and request topics have queues"),
        (wanted(&[("input", "floe:tg:in"), output], &[model]), "unknown class `floe`"),
    ];
    for (entry, fault) in faulty {
        fixture.put(&entry_type("strict"), "v", &entry).await;
        let told = |error: &String| error.contains(fault);
        let status = fixture.until("strict", |status| status.last_error.as_ref().is_some_and(told)).await;
        assert_eq!(status.state, ProcessorState::Broken, "{fault}");
    }
    others_work(&fixture).await;
    fixture.create("flow:tg:in", "strict--v--input").await;
    fixture.create("flow:tg:out", "test").await;
    fixture.put(&entry_type("strict"), "v", &wanted(&[input, output], &[model])).await;
    fixture.send_text("fits").await;
    assert_eq!(fixture.outputs().await.next_text().await, "fits");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setup_that_fails_traps_or_hangs_is_reported_and_bounded() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::SETUP_REFUSED, |record| record.limits.time_ms = Some(300)).await;
    let topics = [("input", "flow:tg:in"), ("output", "flow:tg:out")];
    fixture.create("flow:tg:in", "setup-refused--v--input").await;
    fixture.create("flow:tg:out", "test").await;
    fixture.send_text("waits").await;
    for (refuse, told) in [
        ("no key", "rejected its setup: no key"),
        ("trap", "told to trap"),
        (
            "spin",
            "setup of the component crashed: its time limit of \
             300 ms expired",
        ),
    ] {
        fixture.put(&entry_type("setup-refused"), "v", &entry(&component, &topics, &[("refuse", refuse)])).await;
        let status = fixture.until("setup-refused", |status| status.last_error.as_ref().is_some_and(|error| error.contains(told))).await;
        assert_eq!((status.state, status.in_hand_count), (ProcessorState::Failing, 0), "{refuse}");
        if refuse == "spin" {
            others_work(&fixture).await;
        }
    }
    fixture.put(&entry_type("setup-refused"), "v", &entry(&component, &topics, &[])).await;
    assert_eq!(fixture.outputs().await.next_text().await, "waits");
    fixture.end().await;
}

/// A fixture without a host, in which `echo` is deployed and has its entry.
async fn echo_without_host() -> (HostFixture, ComponentRef) {
    let fixture = HostFixture::without_host().await;
    fixture.run(guests::ECHO, &[], |_| {}).await;
    let component =
        ComponentRef { name: "echo".to_owned(), version: "1.0.0".to_owned(), digest: weir_runtime::digest_of(&guest(guests::ECHO)) };
    (fixture, component)
}

async fn echoes(fixture: &HostFixture) {
    fixture.send_text("hello").await;
    assert_eq!(fixture.outputs().await.next_text().await, "hello");
}

fn flip_a_byte(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_damaged_on_disk_is_reported_and_runs_once_redeployed() {
    let (mut fixture, component) = echo_without_host().await;
    flip_a_byte(&fixture.component_file(component.digest));
    fixture.start_host(Served::All).await;
    let status = fixture.until_state("echo", ProcessorState::Failing).await;
    let error = status.last_error.unwrap();
    assert!(error.contains(&component.digest.to_string()) && error.contains("cannot be read"), "{error}");
    assert!(error.contains("deploy"), "it says what to do: {error}");
    fixture.deploy(guests::ECHO, |_| {}).await;
    echoes(&fixture).await;
    // With compiled code available the bytes are not needed.
    fixture.stop_host().await;
    flip_a_byte(&fixture.component_file(component.digest));
    fixture.start_host(names(&["echo"])).await;
    echoes(&fixture).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_compiled_code_is_recompiled_and_never_run() {
    let (mut fixture, component) = echo_without_host().await;
    fixture.start_host(Served::All).await;
    echoes(&fixture).await;
    let whole = std::fs::read(&fixture.compiled("cwasm")[0]).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let half = whole[..whole.len() / 2].to_vec();
    // The last one is complete, but its checksum is missing.
    for code in [flipped, half, Vec::new(), guest(guests::ECHO), whole.clone()] {
        fixture.stop_host().await;
        if code == whole {
            std::fs::remove_file(&fixture.compiled("crc")[0]).unwrap();
        }
        std::fs::write(&fixture.compiled("cwasm")[0], &code).unwrap();
        fixture.start_host(names(&["echo"])).await;
        echoes(&fixture).await;
        let again = std::fs::read(&fixture.compiled("cwasm")[0]).unwrap();
        assert_eq!((again.len(), fixture.compiled("crc").len()), (whole.len(), 1), "made again");
    }
    // If the bytes are damaged too, nothing is left to run.
    fixture.stop_host().await;
    flip_a_byte(&fixture.compiled("cwasm")[0]);
    flip_a_byte(&fixture.component_file(component.digest));
    fixture.start_host(names(&["echo"])).await;
    let error = fixture.until_state("echo", ProcessorState::Failing).await.last_error.unwrap();
    assert!(error.contains("cannot be read"), "{error}");
    fixture.end().await;
}
