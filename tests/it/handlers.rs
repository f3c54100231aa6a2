//! What a handler may use: several inputs, several outputs, standard streams.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use weir_config::records::entry_type;
use weir_pubsub::Message;
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use crate::guests;
use crate::host_fixture::{HostFixture, entry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_input_reaches_its_own_handler() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::TWO_INPUTS, |_| {}).await;
    for input in ["input", "control"] {
        fixture.create(&format!("flow:tg:{input}"), &format!("two-inputs--v--{input}")).await;
    }
    fixture.create("flow:tg:out", "test").await;
    let topics = [("input", "flow:tg:input"), ("control", "flow:tg:control"), ("output", "flow:tg:out")];
    fixture.put(&entry_type("two-inputs"), "v", &entry(&component, &topics, &[])).await;
    let outputs = fixture.outputs().await;
    fixture.send("flow:tg:input", Message::new("as it is")).await;
    assert_eq!(outputs.next_text().await, "as it is");
    fixture.send("flow:tg:control", Message::new("[1]")).await;
    assert_eq!(outputs.next_text().await, r#"{"control":[1]}"#);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_output_has_its_own_topic_and_an_optional_one_may_have_none() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::TWO_OUTPUTS, |_| {}).await;
    fixture.create("flow:tg:in", "two-outputs--v--input").await;
    fixture.create("flow:tg:left", "test").await;
    fixture.create("flow:tg:right", "test").await;
    let both = [("input", "flow:tg:in"), ("left", "flow:tg:left"), ("right", "flow:tg:right")];
    fixture.put(&entry_type("two-outputs"), "v", &entry(&component, &both, &[])).await;
    fixture.send_text(r#"{"left": 1, "right": 2}"#).await;
    let (left, right) = (fixture.reader("flow:tg:left", "test").await, fixture.reader("flow:tg:right", "test").await);
    assert_eq!((left.next_text().await, right.next_text().await), ("1".to_owned(), "2".to_owned()));

    fixture.create("flow:tg:other", "two-outputs--w--input").await;
    let one = [("input", "flow:tg:other"), ("left", "flow:tg:left")];
    fixture.put(&entry_type("two-outputs"), "w", &entry(&component, &one, &[])).await;
    fixture.send("flow:tg:other", Message::new(r#"{"left": 3, "right": 4}"#)).await;
    assert_eq!(left.next_text().await, "3");
    assert_eq!(fixture.stats("flow:tg:right", "test").await.depth_count, 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_has_only_the_stderr_of_its_own_message() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::STDERR, &[], |record| record.retry.attempts_count = Some(1)).await;
    let outputs = fixture.outputs().await;
    fixture.send_text(r#"{"stderr": "about another message"}"#).await;
    outputs.next().await;
    fixture.send_text(r#"{"stderr": "about this message", "panic": true}"#).await;
    let (letter, _) = fixture.dead_letter().await;
    for text in ["about this message", "told to panic"] {
        assert!(letter.reason.contains(text), "{}", letter.reason);
    }
    assert!(!letter.reason.contains("another"), "{}", letter.reason);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn printed_output_is_in_the_log_and_not_in_messages() {
    let data = tempfile::tempdir().unwrap();
    let weir = Weir::up(data.path()).await;
    weir.must(&["deploy", guest_path(guests::STDERR).to_str().unwrap()]).await;
    let blueprint = json!({
        "blueprint": {},
        "flow": {"stderr:{id}": {"topics": {"input": "flow:tg:in", "output": "flow:tg:out"}}},
        "interfaces": {"in": {"flow": "flow:tg:in"}, "out": {"flow": "flow:tg:out"}},
    });
    let (blueprint_file, message_file) = (data.path().join("blueprint.json"), data.path().join("message.json"));
    let message = json!({"stdout": "on stdout", "stderr": "on stderr", "log": "by the log"});
    std::fs::write(&blueprint_file, blueprint.to_string()).unwrap();
    std::fs::write(&message_file, message.to_string()).unwrap();
    weir.must(&["blueprint", "put", "printing", blueprint_file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "printing", "one"]).await;
    weir.must(&["send", "one", "in", message_file.to_str().unwrap()]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await.trim(), message.to_string());
    for text in ["on stdout", "on stderr", "by the log"] {
        eventually(DEADLINE, text, || std::future::ready(weir.said().contains(text).then_some(()))).await;
    }
    assert_eq!(weir.end().await.code(), Some(0));
}
