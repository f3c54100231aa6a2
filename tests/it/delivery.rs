//! What happens to a message: from a queue through a component into queues.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use weir_config::Batch;
use weir_config::records::{Entry, ProcessorState, entry_type};
use weir_pubsub::{Backend, Delete, Message, MessageId, Requester};
use weir_tests::wait::{DEADLINE, eventually};

use crate::guests;
use crate::host_fixture::{HostFixture, entry, names};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_once_in_order_with_their_origin() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::ECHO, &[], |_| {}).await;
    for n in 0..300_u32 {
        let mut message = Message::new(n.to_string()).with("colour", "red").with("traceparent", "00-1-2-3");
        message.id = Some(MessageId(u128::from(n) + 1));
        fixture.send("flow:tg:in", message).await;
    }
    let outputs = fixture.outputs().await;
    for n in 0..300_u32 {
        let message = outputs.next().await;
        assert_eq!(message.body, n.to_string());
        assert_eq!(message.id, Some(MessageId(u128::from(n) + 1).of_output("output", 0)));
        assert_eq!((message.properties.get("colour"), message.properties.get("traceparent")), (Some("red"), Some("00-1-2-3")));
        let from = message.from.unwrap();
        let from: Vec<_> = from.split(' ').collect();
        assert_eq!((from.len(), from[0], from[1].len(), from[3]), (4, "echo", 12, "1"), "{from:?}");
    }
    let status = fixture.until("echo", |status| status.handled_count == 300).await;
    assert_eq!((status.sent_count, status.failed_count, status.in_hand_count, status.state), (300, 0, 0, ProcessorState::Running));
    assert_eq!(fixture.stats("flow:tg:in", "echo--v--input").await.depth_count, 0);
    assert_eq!(fixture.stats("flow:tg:out", "test").await.depth_count, 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_sends_only_what_the_last_attempt_sent() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::RETRY, &[("until", "3"), ("delay", "1")], |_| {}).await;
    fixture.send_text("one").await;
    let message = fixture.outputs().await.next().await;
    assert!(message.from.unwrap().ends_with(" 3"), "of the third attempt");
    let status = fixture.until("retry", |status| status.handled_count == 1).await;
    assert_eq!((status.failed_count, status.trapped_count, status.dead_count, status.sent_count), (2, 0, 0, 1));
    assert_eq!(fixture.stats("flow:tg:out", "test").await.depth_count, 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_failing_every_attempt_becomes_a_dead_letter() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::RETRY, &[("until", "100"), ("delay", "1")], |_| {}).await;
    let mut message = Message::new("one").with("colour", "red");
    message.id = Some(MessageId(7));
    fixture.send("flow:tg:in", message).await;
    let (letter, message) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.attempts_count, letter.reason.as_str()), ("retry", 5, "attempt 5 of 100"));
    assert_eq!((letter.topic.as_str(), letter.subscription.as_str()), ("flow:tg:in", "retry--v--input"));
    assert!(letter.digest.starts_with("sha256:"));
    assert_eq!((&message.body[..], message.id, message.properties.get("colour")), (&b"one"[..], Some(MessageId(7)), Some("red")));
    assert_eq!(fixture.stats("flow:tg:out", "test").await.depth_count, 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_message_is_given_up_at_once_and_blocks_nothing() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::REJECT, &[], |_| {}).await;
    fixture.send_text(r#"{"reject": "no text"}"#).await;
    fixture.send_text(r#"{"n": 2}"#).await;
    fixture.send_text("not JSON").await;
    assert_eq!(fixture.outputs().await.next_text().await, r#"{"n": 2}"#);
    let (letter, _) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.attempts_count, letter.reason.as_str()), ("reject", 1, "no text"));
    let (letter, message) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), &message.body[..]), ("reject", &b"not JSON"[..]));
    let status = fixture.until("reject", |status| status.dead_count == 2).await;
    assert_eq!((status.handled_count, status.failed_count, status.trapped_count), (1, 2, 0));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_retried_in_a_new_instance_and_reported_with_its_stderr() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::TRAP, &[], |record| record.retry.attempts_count = Some(2)).await;
    fixture.send_text(r#"{"trap": true}"#).await;
    fixture.send_text("{}").await;
    assert_eq!(fixture.outputs().await.next_text().await, "{}");
    let (letter, _) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.attempts_count), ("trap", 2));
    assert!(letter.reason.contains("unreachable") && letter.reason.contains("told to trap"), "{}", letter.reason);
    let status = fixture.until("trap", |status| status.handled_count == 1).await;
    assert_eq!((status.failed_count, status.trapped_count, status.dead_count), (2, 2, 1));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_is_a_trap() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::EXIT, &[], |record| record.retry.attempts_count = Some(1)).await;
    fixture.send_text(r#"{"exit": 3}"#).await;
    fixture.send_text("{}").await;
    assert_eq!(fixture.outputs().await.next_text().await, "{}");
    let (letter, _) = fixture.dead_letter().await;
    assert!(letter.error == "trap" && letter.reason.contains("exited with code"), "{letter:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_is_neither_an_attempt_nor_an_error() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::BUSY, &[("times", "3"), ("delay", "1")], |record| record.retry.attempts_count = Some(1)).await;
    fixture.send_text("one").await;
    assert_eq!(fixture.outputs().await.next_text().await, "one");
    let status = fixture.until("busy", |status| status.handled_count == 1).await;
    assert_eq!((status.failed_count, status.dead_count, status.last_error), (0, 0, None));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_waits_for_its_queue() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::ECHO, |_| {}).await;
    fixture.put(&entry_type("echo"), "v", &entry(&component, &[("input", "flow:tg:in"), ("output", "flow:tg:out")], &[])).await;
    let status = fixture.until_state("echo", ProcessorState::Failing).await;
    assert!(status.last_error.unwrap().contains("does not exist"));
    fixture.create("flow:tg:out", "test").await;
    fixture.create("flow:tg:in", "echo--v--input").await;
    fixture.send_text("late").await;
    assert_eq!(fixture.outputs().await.next_text().await, "late");
    fixture.until_state("echo", ProcessorState::Running).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumed_output_waits_for_its_queue_and_any_other_is_dropped() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::ECHO, |_| {}).await;
    fixture.create("flow:tg:in", "echo--v--input").await;
    let mut wanted = entry(&component, &[("input", "flow:tg:in"), ("output", "flow:tg:out")], &[]);
    fixture.put(&entry_type("echo"), "v", &wanted).await;
    fixture.send_text("dropped").await;
    let status = fixture.until("echo", |status| status.handled_count == 1).await;
    assert_eq!((status.sent_count, status.dropped_count), (0, 1));
    wanted.consumed = vec!["output".to_owned()];
    fixture.put(&entry_type("echo"), "v", &wanted).await;
    // The change restarts nothing, so it can only be seen in the outcome of messages.
    eventually(DEADLINE, "a message that waits for its queue", || async {
        fixture.send_text("kept").await;
        fixture.status("echo").filter(|status| status.last_error.as_ref().is_some_and(|error| error.contains("has no queue")))
    })
    .await;
    fixture.create("flow:tg:out", "test").await;
    assert_eq!(fixture.outputs().await.next_text().await, "kept");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_that_cannot_run_reports_why_and_blocks_no_other() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::RETRY, |_| {}).await;
    let topics = [("input", "flow:tg:other"), ("output", "flow:tg:out")];
    fixture.put(&entry_type("retry"), "v", &entry(&component, &topics, &[("until", "soon")])).await;
    fixture.run(guests::ECHO, &[], |_| {}).await;
    fixture.send_text("one").await;
    assert_eq!(fixture.outputs().await.next_text().await, "one");
    let status = fixture.until_state("retry", ProcessorState::Broken).await;
    assert_eq!(status.last_error.as_deref(), Some("parameter `until`: `soon` is not a whole number"));
    fixture.create("flow:tg:other", "retry--v--input").await;
    fixture.put(&entry_type("retry"), "v", &entry(&component, &topics, &[("until", "1")])).await;
    fixture.until_state("retry", ProcessorState::Running).await;
    fixture.send("flow:tg:other", Message::new("two")).await;
    assert_eq!(fixture.outputs().await.next_text().await, "two");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_with_a_missing_deployment_runs_once_it_is_deployed() {
    let fixture = HostFixture::new().await;
    let bytes = weir_tests::guest(guests::ECHO);
    let digest = weir_runtime::digest_of(&bytes);
    let component = weir_config::records::ComponentRef { name: "echo".to_owned(), version: "1.0.0".to_owned(), digest };
    fixture.put(&entry_type("echo"), "v", &entry(&component, &[("input", "flow:tg:in"), ("output", "flow:tg:out")], &[])).await;
    let status = fixture.until_state("echo", ProcessorState::Broken).await;
    assert!(status.last_error.unwrap().contains("weir deploy echo@1.0.0 FILE.wasm"));
    fixture.run(guests::ECHO, &[], |_| {}).await;
    fixture.until_state("echo", ProcessorState::Running).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_entry_stops_and_a_restored_one_continues() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::ECHO, &[], |_| {}).await;
    fixture.until_state("echo", ProcessorState::Running).await;
    let text = fixture.config.get_one(&entry_type("echo"), "v").await.unwrap().unwrap();
    fixture.config.apply(Batch::new().delete(entry_type("echo"), "v")).await.unwrap();
    eventually(DEADLINE, "the variant to be gone", || std::future::ready(fixture.status("echo").is_none().then_some(()))).await;
    fixture.send_text("kept").await;
    assert_eq!(fixture.requeued("flow:tg:in", "echo--v--input").await, 1);
    let paused = Entry { paused: true, ..serde_json::from_str(&text).unwrap() };
    fixture.put(&entry_type("echo"), "v", &paused).await;
    fixture.until_state("echo", ProcessorState::Paused).await;
    assert_eq!(fixture.stats("flow:tg:in", "echo--v--input").await.depth_count, 1);
    fixture.config.apply(Batch::new().put(entry_type("echo"), "v", text)).await.unwrap();
    assert_eq!(fixture.outputs().await.next_text().await, "kept");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_parameters_take_effect_without_losing_a_message() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::RETRY, &[("until", "1")], |record| record.retry.attempts_count = Some(1)).await;
    fixture.send_text("before").await;
    let outputs = fixture.outputs().await;
    assert_eq!(outputs.next_text().await, "before");
    let text = fixture.config.get_one(&entry_type("retry"), "v").await.unwrap().unwrap();
    let mut wanted: Entry = serde_json::from_str(&text).unwrap();
    wanted.parameters.insert("until".to_owned(), "2".to_owned());
    fixture.put(&entry_type("retry"), "v", &wanted).await;
    // With the new parameters the only attempt fails.
    eventually(DEADLINE, "the new parameters", || async {
        fixture.send_text("after").await;
        fixture.status("retry").filter(|status| status.dead_count > 0)
    })
    .await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_host_continues_where_the_last_one_stopped() {
    let mut fixture = HostFixture::new().await;
    fixture.run(guests::ECHO, &[], |record| record.concurrency = Some(4)).await;
    for n in 0..200 {
        fixture.send_text(&n.to_string()).await;
    }
    assert_eq!(fixture.stop_host().await.held_up, Vec::<String>::new());
    let left_count = fixture.requeued("flow:tg:in", "echo--v--input").await;
    assert_eq!(left_count + fixture.stats("flow:tg:out", "test").await.depth_count, 200);
    fixture.start_host(names(&["echo"])).await;
    let texts: BTreeSet<String> = fixture.outputs().await.texts(200).await.into_iter().collect();
    assert_eq!(texts.len(), 200, "each once");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_stops_within_its_grace_period_and_names_the_delaying_processors() {
    let mut fixture = HostFixture::new().await;
    fixture.run(guests::SPIN, &[], |_| {}).await;
    fixture.send_text(r#"{"spin": true}"#).await;
    fixture.until("spin", |status| status.in_hand_count == 1).await;
    let stopped = fixture.stop_host_within(Duration::from_millis(200)).await;
    assert_eq!(stopped.held_up, ["spin v: 1 messages in flight"]);
    assert_eq!(fixture.requeued("flow:tg:in", "spin--v--input").await, 1, "it comes again");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_backoff_is_requeued_when_the_host_stops() {
    let mut fixture = HostFixture::new().await;
    fixture.run(guests::RETRY, &[("until", "2"), ("delay", "60000")], |_| {}).await;
    fixture.send_text("one").await;
    fixture.until("retry", |status| status.failed_count == 1).await;
    assert_eq!(fixture.stop_host().await.held_up, Vec::<String>::new());
    assert_eq!(fixture.requeued("flow:tg:in", "retry--v--input").await, 1);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_creates_a_missing_dead_letter_queue() {
    let fixture = HostFixture::new().await;
    fixture.backend.delete_queue(&crate::host_fixture::queue("flow:tg:weir-dead-letters", "weir"), Delete::Always).await.unwrap();
    fixture.run(guests::REJECT, &[], |_| {}).await;
    fixture.send_text(r#"{"reject": "x"}"#).await;
    fixture.until("reject", |status| status.dead_count == 1).await;
    let letters = crate::host_fixture::queue("flow:tg:weir-dead-letters", "weir");
    // A broker that cannot change a limit would keep a queue without one.
    assert_eq!(fixture.backend.inspect().stats(&letters).await.unwrap().refuse_above_bytes, Some(256 << 20));
    assert_eq!(fixture.dead_letter().await.0.reason, "x");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_sends_are_refused_with_a_reason() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::BAD_OUTPUT, &[], |_| {}).await;
    fixture.send_text("{}").await;
    let report: serde_json::Value = serde_json::from_slice(&fixture.outputs().await.next().await.body).unwrap();
    let check = |what: &str, word: &str| {
        assert!(report[what]["kind"].as_str().unwrap().contains("Invalid"), "{what}: {report}");
        assert!(report[what]["reason"].as_str().unwrap().contains(word), "{what}: {report}");
    };
    check("unknown", "output `no-such-output` does not exist; must be one of: output");
    check("input", "output `input` does not exist");
    for property in ["weir-origin", "traceparent", "tracestate", "id"] {
        check(property, &format!("the property `{property}` is reserved for the host"));
    }
    check("reply", "not a request");
    check("request", "request `no-such-service` does not exist; must be one of: none");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_can_read_where_it_runs() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::INSPECT_CONTEXT, |_| {}).await;
    fixture.create("flow:tg:in", "inspect-context--v--input").await;
    fixture.create("flow:tg:out", "test").await;
    let topics = [("input", "flow:tg:in"), ("output", "flow:tg:out"), ("open", "flow:tg:open")];
    let mut wanted = entry(&component, &topics, &[("size", "3")]);
    wanted.flow = Some("one".to_owned());
    fixture.put(&entry_type("inspect-context"), "v", &wanted).await;
    let mut message = Message::new("{}").with("colour", "red").with("traceparent", "hidden");
    message.id = Some(MessageId(9));
    fixture.send("flow:tg:in", message).await;
    let mut seen: serde_json::Value = serde_json::from_slice(&fixture.outputs().await.next().await.body).unwrap();
    assert!(seen["remaining_ms"].take().as_u64().unwrap() <= 60_000);
    assert!(seen["content_type"].take().is_null() || seen["content_type"] == json!("application/json"));
    let wanted = json!({"input": "input", "processor": "inspect-context", "flow": "one", "variant": "v", "deployment": "inspect-context@1.0.0",
        "parameters": {"plain": "as declared", "size": "3"}, "outputs": ["output", "open"], "message_id": MessageId(9).to_string(),
        "attempt": 1, "remaining_ms": null, "content_type": null, "properties": {"colour": "red"}});
    assert_eq!(seen, wanted);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_is_available_and_follows_changes() {
    let mut fixture = HostFixture::without_host().await;
    fixture.config.apply(Batch::new().put("settings", "a", "1").put("unrelated", "b", "2")).await.unwrap();
    fixture.start_host(names(&["config-get"])).await;
    fixture.run(guests::CONFIG_GET, &[], |record| record.retry.attempts_count = Some(1)).await;
    fixture.send_text(r#"{"key": "a"}"#).await;
    let outputs = fixture.outputs().await;
    let first: serde_json::Value = serde_json::from_str(&outputs.next_text().await).unwrap();
    assert_eq!((&first["value"], &first["keys"]), (&json!("1"), &json!(["a"])));
    fixture.config.apply(Batch::new().put("settings", "a", "3")).await.unwrap();
    eventually(DEADLINE, "the changed value", || async {
        fixture.send_text(r#"{"key": "a"}"#).await;
        let seen: serde_json::Value = serde_json::from_str(&outputs.next_text().await).unwrap();
        (seen["value"] == "3" && seen["version"].as_u64() > first["version"].as_u64()).then_some(())
    })
    .await;
    fixture.send_text(r#"{"key": "a", "type": "unrelated"}"#).await;
    let (letter, _) = fixture.dead_letter().await;
    assert!(letter.error == "trap" && letter.reason.contains("`unrelated` is not declared"), "{letter:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_setup_keeps_the_variant_from_taking_messages() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::SETUP_REFUSED, &[("refuse", "no key")], |record| record.limits.time_ms = Some(300)).await;
    fixture.send_text("one").await;
    let status = fixture.until_state("setup-refused", ProcessorState::Failing).await;
    assert!(status.last_error.unwrap().contains("no key"));
    assert_eq!(fixture.stats("flow:tg:in", "setup-refused--v--input").await.consumer_count, 0);
    let text = fixture.config.get_one(&entry_type("setup-refused"), "v").await.unwrap().unwrap();
    for (refuse, word) in [("trap", "told to trap"), ("spin", "time")] {
        let text = text.replace("no key", refuse);
        fixture.config.apply(Batch::new().put(entry_type("setup-refused"), "v", text)).await.unwrap();
        fixture.until("setup-refused", |status| status.last_error.as_ref().is_some_and(|error| error.contains(word))).await;
    }
    let mut wanted: Entry = serde_json::from_str(&text).unwrap();
    wanted.parameters.clear();
    fixture.put(&entry_type("setup-refused"), "v", &wanted).await;
    assert_eq!(fixture.outputs().await.next().await.properties.get("configured"), Some("settings"));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_in_parts_and_a_failed_one_with_an_error() {
    let fixture = HostFixture::new().await;
    let component = fixture.deploy(guests::PARTS, |record| record.retry.attempts_count = Some(1)).await;
    fixture.create("request:tg:ask", "parts--v--request").await;
    let topics = [("request", "request:tg:ask"), ("response", "response:tg:ask")];
    fixture.put(&entry_type("parts"), "v", &entry(&component, &topics, &[])).await;
    fixture.until_state("parts", ProcessorState::Running).await;
    let (request, response) = ("request:tg:ask".parse().unwrap(), "response:tg:ask".parse().unwrap());
    let requester = Requester::connect(fixture.backend.clone(), &request, &response, &"test".parse().unwrap()).await.unwrap();
    let ask = async |body: &'static str| {
        let mut replies = requester.begin(Message::new(body), DEADLINE).await.unwrap();
        let mut parts = Vec::new();
        while let Some(part) = replies.next().await.unwrap() {
            parts.push((String::from_utf8(part.body.to_vec()).unwrap(), part.properties.get("weir-error").map(str::to_owned)));
        }
        parts
    };
    let plain = |text: &str| (text.to_owned(), None);
    assert_eq!(ask(r#"{"parts": 3}"#).await, [plain("0"), plain("1"), plain("2")]);
    assert_eq!(ask(r#"{"parts": 1, "open": true}"#).await, [plain("0"), plain("")], "the host ends it");
    let failed = ask(r#"{"parts": 0, "fail": "reject"}"#).await;
    assert_eq!(failed[0].1.as_deref(), Some("reject"));
    assert!(failed[0].0.contains("told to fail"), "{failed:?}");
    let cut = ask(r#"{"parts": 2, "fail": "retry"}"#).await;
    assert_eq!((cut.len(), cut[2].1.as_deref()), (3, Some("retry")), "no part is repeated");
    assert_eq!(fixture.stats("flow:tg:weir-dead-letters", "weir").await.depth_count, 0);
    fixture.end().await;
}
