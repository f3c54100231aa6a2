//! Stopping flows with `"backlog": "refuse"`: only without messages.

use std::time::Duration;

use serde_json::json;
use weir_config::Batch;
use weir_flow::FlowSettings;
use weir_pubsub::Message;

use super::support::{FlowFixture, SHARED_QUEUE, names, queues_of, quick, until, within_deadline};

const INPUT: (&str, &str) = ("flow:tg:text:one", "splitter--one--input");
const EXIT: (&str, &str) = ("flow:tg:chunks:one", "gateway--one--chunks");

/// The error of a stop that must be refused.
async fn refused(fixture: &FlowFixture, id: &str) -> String {
    within_deadline(fixture.flows.stop_empty_flow(id)).await.unwrap_err().to_string()
}

#[tokio::test]
async fn an_empty_flow_is_stopped_and_shared_resources_are_kept() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.start("two", json!({"size": 1})).await.unwrap();
    fixture.send("flow:tg:counts:text", "of both").await;
    within_deadline(fixture.flows.stop_empty_flow("one")).await.unwrap();
    let [input, exit] = queues_of("two");
    assert_eq!(fixture.queues(), names(&[SHARED_QUEUE, &input, &exit]));
    assert_eq!(fixture.flows.list_flows().await.unwrap(), ["two"]);
    assert_eq!(fixture.get("processor:splitter", "one").await, None);
    assert!(fixture.get("processor:counter", "text").await.is_some());
    let error = refused(&fixture, "two").await;
    assert!(error.contains("1 for processor `counter` (counter--text--input)"), "{error}");
    fixture.flows.stop_flow("two").await.unwrap();
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_flow_with_messages_in_flight_is_not_stopped_and_stays_unchanged() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    // Byte for byte, including fields unknown to this version.
    let mut entry = fixture.get("processor:splitter", "one").await.unwrap();
    entry["previous"] = entry["component"].clone();
    entry["later"] = json!("unknown");
    let text = format!(" {entry:#}");
    fixture.config.apply(Batch::new().put("processor:splitter", "one", &text)).await.unwrap();
    fixture.send(INPUT.0, "held").await;
    fixture.send(EXIT.0, "result").await;
    let (reader, _exit) = (fixture.reader(INPUT.0, INPUT.1).await, fixture.reader(EXIT.0, EXIT.1).await);
    let held = within_deadline(reader.receive()).await.unwrap();
    let before = (fixture.everything().await, fixture.queues());
    let error = refused(&fixture, "one").await;
    assert_eq!(
        error,
        "flow `one` still holds 2 messages: 1 for processor `splitter` (splitter--one--input), 1 at the exit `chunks`; it is not stopped: read its exits with `weir take one INTERFACE`, or delete the messages with `weir flow stop one --discard`"
    );
    assert_eq!((fixture.everything().await, fixture.queues()), before);
    assert_eq!(held.message.body, "held");
    fixture.backend.settle(&held.receipt, Vec::new()).await.unwrap();
    assert!(refused(&fixture, "one").await.contains("1 message: 1 at the exit `chunks`"));
}

#[tokio::test]
async fn unread_messages_refuse_the_stop_before_it_affects_the_flow() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let _reader = fixture.reader(INPUT.0, INPUT.1).await;
    fixture.send(EXIT.0, "result").await;
    let before = fixture.config.version().await.unwrap();
    assert!(refused(&fixture, "one").await.contains("1 message: 1 at the exit `chunks`; it is not stopped"));
    assert_eq!(fixture.config.version().await.unwrap(), before);
}

#[tokio::test]
async fn requests_count_as_messages_until_they_expire() {
    let (fixture, _service) = FlowFixture::ready().await;
    let asked = json!({"blueprint": {}, "flow": {"answerer:{id}": {"topics": {"request": "request:tg:ask:{id}"}}}});
    fixture.flows.put_blueprint("asked", &asked.to_string()).await.unwrap();
    fixture.start_on("asked", "one", json!({})).await.unwrap();
    let producer = fixture.backend.producer(&"request:tg:ask:one".parse().unwrap()).await.unwrap();
    let question = |seconds| Message { expires_in: Some(Duration::from_secs(seconds)), ..Message::new("?") };
    producer.publish_confirmed(question(0)).await.unwrap();
    producer.publish_confirmed(question(600)).await.unwrap();
    let error = refused(&fixture, "one").await;
    assert!(error.contains("1 message: 1 for processor `answerer` (answerer--one--request)"), "{error}");
    let reader = fixture.reader("request:tg:ask:one", "answerer--one--request").await;
    let held = within_deadline(reader.receive()).await.unwrap();
    fixture.backend.settle(&held.receipt, Vec::new()).await.unwrap();
    drop(reader);
    producer.publish_confirmed(question(0)).await.unwrap();
    within_deadline(fixture.flows.stop_empty_flow("one")).await.unwrap();
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_backlog_is_discarded_or_refused_and_anything_else_is_an_error() {
    let (fixture, _service) = FlowFixture::ready().await;
    let raw = fixture.raw().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.send(INPUT.0, "waits").await;
    for (wrong, text) in [(json!("drain"), "drain"), (json!(""), ""), (json!(null), "null"), (json!(5), "5"), (json!([5]), "[5]")] {
        let (kind, message) = raw.error(&json!({"operation": "stop-flow", "flow_id": "one", "backlog": wrong})).await;
        let expected = format!("field `backlog` of the request: must be one of: discard, refuse; not `{text}`");
        assert_eq!((kind.as_str(), message), ("flow-error", expected));
    }
    let (kind, message) = raw.error(&json!({"operation": "stop-flow", "flow_id": "one", "backlog": "refuse"})).await;
    assert_eq!(kind, "flow-error");
    assert!(message.contains("still holds 1 message"), "{message}");
    let (_, message) = raw.error(&json!({"operation": "stop-flow", "flow_id": "x", "backlog": "refuse"})).await;
    assert!(message.contains("flow `x` does not exist"), "{message}");
    for given in [json!({}), json!({"backlog": "discard"})] {
        let mut stop = json!({"operation": "stop-flow", "flow_id": "one"});
        stop.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        assert!(raw.text(&stop.to_string()).await.contains(r#""error":null"#));
        assert!(fixture.queues().is_empty());
        fixture.start("one", json!({"size": 1})).await.unwrap();
        fixture.send(INPUT.0, "waits").await;
    }
}

#[tokio::test]
async fn a_sender_in_another_flow_is_updated_only_once_the_stop_is_done() {
    let (fixture, _service) = FlowFixture::ready().await;
    let sender = json!({"blueprint": {}, "flow": {"sender:{id}": {"topics": {"output": "flow:tg:news"}}}});
    let reader = json!({"blueprint": {}, "flow": {"reader:{id}": {"topics": {"input": "flow:tg:news"}}}});
    fixture.flows.put_blueprint("sender", &sender.to_string()).await.unwrap();
    fixture.flows.put_blueprint("reader", &reader.to_string()).await.unwrap();
    fixture.start_on("sender", "s", json!({})).await.unwrap();
    fixture.start_on("reader", "r", json!({})).await.unwrap();
    let consumed = async || fixture.get("processor:sender", "s").await.unwrap().get("consumed").cloned();
    fixture.send("flow:tg:news", "read").await;
    let consumer = fixture.reader("flow:tg:news", "reader--r--input").await;
    let held = within_deadline(consumer.receive()).await.unwrap();
    refused(&fixture, "r").await;
    assert_eq!(consumed().await, Some(json!(["output"])));
    fixture.backend.settle(&held.receipt, Vec::new()).await.unwrap();
    drop(consumer);
    within_deadline(fixture.flows.stop_empty_flow("r")).await.unwrap();
    assert_eq!(consumed().await, None);
}

/// A flow `one` during a stop that waits for a reader to leave.
async fn stopping(settings: FlowSettings) -> (FlowFixture, weir_flow::FlowService, Box<dyn weir_pubsub::Consumer>, Stop) {
    let fixture = FlowFixture::new().await;
    let service = fixture.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..settings }).await;
    fixture.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    fixture.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let reader = fixture.reader(INPUT.0, INPUT.1).await;
    let flows = fixture.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_empty_flow("one").await });
    until(async || fixture.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
    (fixture, service, reader, stop)
}

type Stop = tokio::task::JoinHandle<Result<(), weir_flow::FlowError>>;

#[tokio::test]
async fn the_flow_keeps_shared_resources_while_the_stop_may_be_refused() {
    for is_refused in [true, false] {
        let (fixture, _service, reader, stop) = stopping(quick()).await;
        let record = fixture.get("flow", "one").await.unwrap();
        assert_eq!(record["backlog"], "refuse");
        assert_eq!(fixture.get("processor:counter", "text").await, None);
        assert_eq!(fixture.get("processor:splitter", "one").await, None);
        fixture.flows.put_blueprint("other", &super::support::blueprint().to_string().replace("{unit}", "another")).await.unwrap();
        fixture.start("two", json!({"size": 1})).await.unwrap();
        let counter = fixture.get("processor:counter", "text").await.unwrap();
        fixture.flows.stop_flow("two").await.unwrap();
        assert!(fixture.queues().contains(SHARED_QUEUE), "it is still the first one's, too");
        fixture.start("two", json!({"size": 1})).await.unwrap();
        if is_refused {
            fixture.send(INPUT.0, "came in between").await;
            let held = within_deadline(reader.receive()).await.unwrap();
            drop((reader, held));
            let error = within_deadline(stop).await.unwrap().unwrap_err().to_string();
            assert!(error.contains("1 for processor `splitter`"), "{error}");
            assert!(fixture.get("processor:splitter", "one").await.is_some());
        } else {
            drop(reader);
            within_deadline(stop).await.unwrap().unwrap();
            assert_eq!(fixture.flows.list_flows().await.unwrap(), ["two"]);
        }
        assert_eq!(fixture.get("processor:counter", "text").await.unwrap(), counter);
        for id in fixture.flows.list_flows().await.unwrap() {
            fixture.flows.stop_flow(&id).await.unwrap();
        }
        assert!(fixture.queues().is_empty());
        assert!(!fixture.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
    }
}

#[tokio::test]
async fn a_refusing_stop_interrupted_by_a_shutdown_leaves_the_flow_running() {
    let (fixture, service, reader, stop) = stopping(quick()).await;
    within_deadline(service.stop()).await;
    let message = within_deadline(stop).await.unwrap().unwrap_err().to_string();
    assert_eq!(message, "the flow service is shutting down; flow `one` was not stopped: repeat the command when the service is back");
    assert_eq!(fixture.get("flow", "one").await.unwrap().get("status"), None);
    assert!(fixture.get("processor:splitter", "one").await.is_some());
    drop(reader);
    let _service = fixture.serve(quick()).await;
    within_deadline(fixture.flows.stop_empty_flow("one")).await.unwrap();
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_refusing_stop_interrupted_by_a_crash_is_reverted_by_the_next_service() {
    let (fixture, service, reader, stop) = stopping(quick()).await;
    drop(service);
    fixture.until_unserved().await;
    stop.abort();
    fixture.send(INPUT.0, "waits").await;
    let _service = fixture.serve(quick()).await;
    until(async || fixture.get("flow", "one").await.unwrap().get("status").is_none()).await;
    let record = fixture.get("flow", "one").await.unwrap();
    assert_eq!((record.get("backlog"), record["plan"]["entries"][0].get("kept")), (None, None));
    assert!(fixture.get("processor:splitter", "one").await.is_some());
    assert!(fixture.get("processor:counter", "text").await.is_some());
    assert_eq!(within_deadline(reader.receive()).await.unwrap().message.body, "waits");
}

#[tokio::test]
async fn a_discarding_stop_replaces_an_interrupted_one() {
    let (fixture, service, reader, stop) = stopping(quick()).await;
    drop(service);
    stop.abort();
    fixture.send(INPUT.0, "waits").await;
    drop(reader);
    fixture.until_unserved().await;
    let _service = fixture.serve(quick()).await;
    within_deadline(fixture.flows.stop_flow("one")).await.unwrap();
    assert!(fixture.queues().is_empty());
    assert!(!fixture.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
}
