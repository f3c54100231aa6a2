//! The status is current and correct: also for stopped flows, for errors that are resolved, and for what waits for hosts.

use std::fs;

use serde_json::{Value, json};
use weir_tests::marked_guest;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::{blueprint, start_echo};
use crate::guests;

async fn deploy(weir: &Weir, name: &str, target: &str, mark: u8) {
    let file = weir.data().join("component.wasm");
    fs::write(&file, marked_guest(name, mark)).unwrap();
    weir.must(&["deploy", target, file.to_str().unwrap()]).await;
}

/// The first processor of the only host.
async fn processor(weir: &Weir) -> Value {
    weir.get("/api/v1/weir/status").await["hosts"][0]["processors"][0].clone()
}

/// Starts a flow `one` whose component rejects its setup.
async fn start_refusing(weir: &Weir) {
    deploy(weir, guests::SETUP_REFUSED, "picky@1.0.0", 1).await;
    let file = weir.data().join("blueprint.json");
    let mut definition = blueprint("picky", &json!({}));
    definition["flow"]["picky:{id}"]["parameters"] = json!({"refuse": "not today"});
    fs::write(&file, definition.to_string()).unwrap();
    weir.must(&["blueprint", "put", "picky", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "picky", "one"]).await;
    let is_told = || async { processor(weir).await["last-error"].as_str().is_some_and(|error| error.contains("not today")).then_some(()) };
    eventually(DEADLINE, "the refusal to be shown", is_told).await;
}

#[tokio::test]
async fn figures_are_as_of_the_request_and_a_stopped_flow_has_no_running_processor() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "copy", "one").await;
    for count in 1..=8 {
        weir.must(&["send", "one", "in", "--text", "hello"]).await;
        weir.must(&["take", "one", "out", "--count", "1"]).await;
        let shown = processor(&weir).await;
        // The message may arrive a moment before it is counted; those before it are counted.
        assert!(shown["handled-count"].as_u64().unwrap() + 1 >= count, "{count}: {shown}");
        assert_eq!(shown["state"], "running", "{shown}");
    }
    weir.must(&["flow", "stop", "one", "--discard"]).await;
    let shown = processor(&weir).await;
    assert!(shown.is_null() || shown["state"] == "stopping", "{shown}");
}

#[tokio::test]
async fn desired_and_running_components_are_distinguished_and_resolved_errors_marked() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "plain", "other").await;
    let file = weir.data().join("blueprint.json");
    let mut definition = blueprint("echo", &json!({}));
    definition["flow"]["echo:{id}"]["parameters"] = json!({"refuse": "not today"});
    fs::write(&file, definition.to_string()).unwrap();
    weir.must(&["blueprint", "put", "copy", file.to_str().unwrap()]).await;
    weir.must(&["flow", "stop", "other", "--discard"]).await;
    weir.must(&["flow", "start", "copy", "one"]).await;
    deploy(&weir, guests::SETUP_REFUSED, "picky@1.0.0", 1).await;
    weir.must(&["swap", "one", "echo", "picky"]).await;
    let shown = eventually(DEADLINE, "the component to be refused", || async {
        Some(processor(&weir).await).filter(|shown| shown["refused"].is_object())
    })
    .await;
    assert_eq!(
        (&shown["component"]["name"], &shown["wanted"]["name"], &shown["last-error-over-ms"]),
        (&json!("echo"), &json!("picky"), &Value::Null)
    );
    let text = weir.must(&["status", "--all"]).await;
    assert!(text.contains(" -> picky@1.0.0"), "{text}");
    let echo = format!("echo@{}", shown["component"]["version"].as_str().unwrap());
    weir.must(&["swap", "one", "echo", &echo, "--wait"]).await;
    let shown = eventually(DEADLINE, "the error to be over", || async {
        Some(processor(&weir).await).filter(|shown| shown["last-error-over-ms"].is_number())
    })
    .await;
    assert_eq!((&shown["wanted"], &shown["refused"]), (&shown["component"], &Value::Null));
    let text = weir.must(&["status"]).await;
    assert!(text.contains(", resolved "), "{text}");
}

#[tokio::test]
async fn a_swap_to_a_known_refused_component_ends_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_refusing(&weir).await;
    let output = weir.run(&["swap", "one", "picky", "picky@1.0.0", "--wait", "--timeout", "1h"]).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("not today"), "{text}");
}

#[tokio::test]
async fn a_put_is_not_blamed_for_an_older_error() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_refusing(&weir).await;
    for value in 0..5 {
        let said = weir.must(&["config", "put", "prompt", "greeting", &value.to_string(), "--wait"]).await;
        assert!(said.contains("1 host"), "{said}");
    }
    assert_eq!(processor(&weir).await["last-error-over-ms"], Value::Null);
}
