//! What is not as it should be: files, entries, setups. It is told, keeps one variant from running, and harms nobody else.

use std::path::Path;

use weir_config::records::{ComponentRef, Entry, ProcessorState, entry_type};
use weir_pubsub::Message;
use weir_runtime::Served;
use weir_tests::guest;

use crate::guests;
use crate::stage::{Stage, entry, names, stamped};

/// Runs `echo` beside what is faulty, as a processor of another input, and sees a message through it.
async fn others_work(stage: &Stage) {
    let component = stage.deploy_as("neighbour", "1.0.0", &guest(guests::ECHO), |_| {}).await;
    stage.create("flow:tg:near", "neighbour--v--input").await;
    stage.create("flow:tg:far", "test").await;
    let topics = [("input", "flow:tg:near"), ("output", "flow:tg:far")];
    stage.put(&entry_type("neighbour"), "v", &entry(&component, &topics, &[])).await;
    stage.send("flow:tg:near", Message::new("hello")).await;
    assert_eq!(stage.reader("flow:tg:far", "test").await.next_text().await, "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_does_not_fit_the_descriptor_is_broken_until_it_does() {
    let stage = Stage::new().await;
    let descriptor = r#"{"schema": 1, "name": "strict", "consumers": ["input"], "producers": ["output"],
        "parameters": [{"name": "model", "required": true}]}"#;
    let component = stage.deploy_as("strict", "1.0.0", &stamped(&guest(guests::ECHO), descriptor.as_bytes()), |_| {}).await;
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
        stage.put(&entry_type("strict"), "v", &entry).await;
        let told = |error: &String| error.contains(fault);
        let status = stage.until("strict", |status| status.last_error.as_ref().is_some_and(told)).await;
        assert_eq!(status.state, ProcessorState::Broken, "{fault}");
    }
    others_work(&stage).await;
    stage.create("flow:tg:in", "strict--v--input").await;
    stage.create("flow:tg:out", "test").await;
    stage.put(&entry_type("strict"), "v", &wanted(&[input, output], &[model])).await;
    stage.send_text("fits").await;
    assert_eq!(stage.outputs().await.next_text().await, "fits");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setup_that_fails_traps_or_never_returns_is_told_and_bounded() {
    let stage = Stage::new().await;
    let component = stage.deploy(guests::SETUP_REFUSED, |record| record.limits.time_ms = Some(300)).await;
    let topics = [("input", "flow:tg:in"), ("output", "flow:tg:out")];
    stage.create("flow:tg:in", "setup-refused--v--input").await;
    stage.create("flow:tg:out", "test").await;
    stage.send_text("waits").await;
    for (refuse, told) in [
        ("no key", "rejected its setup: no key"),
        ("trap", "told to trap"),
        (
            "spin",
            "setup of the component crashed: its time limit of \
             300 ms expired",
        ),
    ] {
        stage.put(&entry_type("setup-refused"), "v", &entry(&component, &topics, &[("refuse", refuse)])).await;
        let status = stage.until("setup-refused", |status| status.last_error.as_ref().is_some_and(|error| error.contains(told))).await;
        assert_eq!((status.state, status.in_hand_count), (ProcessorState::Failing, 0), "{refuse}");
        if refuse == "spin" {
            others_work(&stage).await;
        }
    }
    stage.put(&entry_type("setup-refused"), "v", &entry(&component, &topics, &[])).await;
    assert_eq!(stage.outputs().await.next_text().await, "waits");
    stage.end().await;
}

/// A stage without a host, on which `echo` is deployed and has its entry.
async fn echo_without_host() -> (Stage, ComponentRef) {
    let stage = Stage::without_host().await;
    stage.run(guests::ECHO, &[], |_| {}).await;
    let component =
        ComponentRef { name: "echo".to_owned(), version: "1.0.0".to_owned(), digest: weir_runtime::digest_of(&guest(guests::ECHO)) };
    (stage, component)
}

async fn echoes(stage: &Stage) {
    stage.send_text("hello").await;
    assert_eq!(stage.outputs().await.next_text().await, "hello");
}

fn flip_a_byte(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_was_damaged_on_disk_is_told_and_runs_again_once_it_is_deployed_again() {
    let (mut stage, component) = echo_without_host().await;
    flip_a_byte(&stage.component_file(component.digest));
    stage.start_host(Served::All).await;
    let status = stage.until_state("echo", ProcessorState::Failing).await;
    let error = status.last_error.unwrap();
    assert!(error.contains(&component.digest.to_string()) && error.contains("cannot be read"), "{error}");
    assert!(error.contains("deploy"), "it says what to do: {error}");
    stage.deploy(guests::ECHO, |_| {}).await;
    echoes(&stage).await;
    // With compiled code at hand the bytes are not needed.
    stage.stop_host().await;
    flip_a_byte(&stage.component_file(component.digest));
    stage.start_host(names(&["echo"])).await;
    echoes(&stage).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_compiled_code_is_never_run_but_made_again() {
    let (mut stage, component) = echo_without_host().await;
    stage.start_host(Served::All).await;
    echoes(&stage).await;
    let whole = std::fs::read(&stage.compiled("cwasm")[0]).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let half = whole[..whole.len() / 2].to_vec();
    // The last one is whole, but its checksum is gone.
    for code in [flipped, half, Vec::new(), guest(guests::ECHO), whole.clone()] {
        stage.stop_host().await;
        if code == whole {
            std::fs::remove_file(&stage.compiled("crc")[0]).unwrap();
        }
        std::fs::write(&stage.compiled("cwasm")[0], &code).unwrap();
        stage.start_host(names(&["echo"])).await;
        echoes(&stage).await;
        let again = std::fs::read(&stage.compiled("cwasm")[0]).unwrap();
        assert_eq!((again.len(), stage.compiled("crc").len()), (whole.len(), 1), "made again");
    }
    // Where the bytes are damaged too, nothing is left to run.
    stage.stop_host().await;
    flip_a_byte(&stage.compiled("cwasm")[0]);
    flip_a_byte(&stage.component_file(component.digest));
    stage.start_host(names(&["echo"])).await;
    let error = stage.until_state("echo", ProcessorState::Failing).await.last_error.unwrap();
    assert!(error.contains("cannot be read"), "{error}");
    stage.end().await;
}
