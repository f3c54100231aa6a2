//! Stopping flows with `"backlog": "refuse"`: only without messages.

use std::time::Duration;

use serde_json::json;
use weir_config::Batch;
use weir_flow::FlowSettings;
use weir_pubsub::Message;

use super::support::{Bench, SHARED_QUEUE, names, queues_of, quick, soon, until};

const INPUT: (&str, &str) = ("flow:tg:text:one", "splitter--one--input");
const EXIT: (&str, &str) = ("flow:tg:chunks:one", "gateway--one--chunks");

/// The error of a stop that must be refused.
async fn refused(bench: &Bench, id: &str) -> String {
    soon(bench.flows.stop_empty_flow(id)).await.unwrap_err().to_string()
}

#[tokio::test]
async fn an_empty_flow_is_stopped_and_leaves_what_others_use() {
    let (bench, _service) = Bench::ready().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.start("two", json!({"size": 1})).await.unwrap();
    bench.send("flow:tg:counts:text", "of both").await;
    soon(bench.flows.stop_empty_flow("one")).await.unwrap();
    let [input, exit] = queues_of("two");
    assert_eq!(bench.queues(), names(&[SHARED_QUEUE, &input, &exit]));
    assert_eq!(bench.flows.list_flows().await.unwrap(), ["two"]);
    assert_eq!(bench.get("processor:splitter", "one").await, None);
    assert!(bench.get("processor:counter", "text").await.is_some());
    let error = refused(&bench, "two").await;
    assert!(error.contains("1 for processor `counter` (counter--text--input)"), "{error}");
    bench.flows.stop_flow("two").await.unwrap();
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn a_flow_with_messages_in_flight_is_not_stopped_and_is_as_it_was() {
    let (bench, _service) = Bench::ready().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    // To the letter, with what this version does not know.
    let mut entry = bench.get("processor:splitter", "one").await.unwrap();
    entry["previous"] = entry["component"].clone();
    entry["later"] = json!("unknown");
    let text = format!(" {entry:#}");
    bench.config.apply(Batch::new().put("processor:splitter", "one", &text)).await.unwrap();
    bench.send(INPUT.0, "held").await;
    bench.send(EXIT.0, "result").await;
    let (reader, _exit) = (bench.reader(INPUT.0, INPUT.1).await, bench.reader(EXIT.0, EXIT.1).await);
    let held = soon(reader.receive()).await.unwrap();
    let before = (bench.everything().await, bench.queues());
    let error = refused(&bench, "one").await;
    assert_eq!(
        error,
        "flow `one` still holds 2 messages: 1 for processor `splitter` (splitter--one--input), 1 at the exit `chunks`; it is not stopped: read its exits with `weir take one INTERFACE`, or delete the messages with `weir flow stop one --discard`"
    );
    assert_eq!((bench.everything().await, bench.queues()), before);
    assert_eq!(held.message.body, "held");
    bench.backend.settle(&held.receipt, Vec::new()).await.unwrap();
    assert!(refused(&bench, "one").await.contains("1 message: 1 at the exit `chunks`"));
}

#[tokio::test]
async fn what_waits_unread_refuses_the_stop_before_it_disturbs_the_flow() {
    let (bench, _service) = Bench::ready().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    let _reader = bench.reader(INPUT.0, INPUT.1).await;
    bench.send(EXIT.0, "result").await;
    let before = bench.config.version().await.unwrap();
    assert!(refused(&bench, "one").await.contains("1 message: 1 at the exit `chunks`; it is not stopped"));
    assert_eq!(bench.config.version().await.unwrap(), before);
}

#[tokio::test]
async fn requests_count_until_they_expire() {
    let (bench, _service) = Bench::ready().await;
    let asked = json!({"blueprint": {}, "flow": {"answerer:{id}": {"topics": {"request": "request:tg:ask:{id}"}}}});
    bench.flows.put_blueprint("asked", &asked.to_string()).await.unwrap();
    bench.start_on("asked", "one", json!({})).await.unwrap();
    let producer = bench.backend.producer(&"request:tg:ask:one".parse().unwrap()).await.unwrap();
    let question = |seconds| Message { expires_in: Some(Duration::from_secs(seconds)), ..Message::new("?") };
    producer.publish_confirmed(question(0)).await.unwrap();
    producer.publish_confirmed(question(600)).await.unwrap();
    let error = refused(&bench, "one").await;
    assert!(error.contains("1 message: 1 for processor `answerer` (answerer--one--request)"), "{error}");
    let reader = bench.reader("request:tg:ask:one", "answerer--one--request").await;
    let held = soon(reader.receive()).await.unwrap();
    bench.backend.settle(&held.receipt, Vec::new()).await.unwrap();
    drop(reader);
    producer.publish_confirmed(question(0)).await.unwrap();
    soon(bench.flows.stop_empty_flow("one")).await.unwrap();
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn a_backlog_is_discarded_or_refused_and_anything_else_is_an_error() {
    let (bench, _service) = Bench::ready().await;
    let raw = bench.raw().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.send(INPUT.0, "waits").await;
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
        assert!(bench.queues().is_empty());
        bench.start("one", json!({"size": 1})).await.unwrap();
        bench.send(INPUT.0, "waits").await;
    }
}

#[tokio::test]
async fn a_sender_of_another_flow_is_told_only_when_the_stop_is_done() {
    let (bench, _service) = Bench::ready().await;
    let sender = json!({"blueprint": {}, "flow": {"sender:{id}": {"topics": {"output": "flow:tg:news"}}}});
    let reader = json!({"blueprint": {}, "flow": {"reader:{id}": {"topics": {"input": "flow:tg:news"}}}});
    bench.flows.put_blueprint("sender", &sender.to_string()).await.unwrap();
    bench.flows.put_blueprint("reader", &reader.to_string()).await.unwrap();
    bench.start_on("sender", "s", json!({})).await.unwrap();
    bench.start_on("reader", "r", json!({})).await.unwrap();
    let consumed = async || bench.get("processor:sender", "s").await.unwrap().get("consumed").cloned();
    bench.send("flow:tg:news", "read").await;
    let consumer = bench.reader("flow:tg:news", "reader--r--input").await;
    let held = soon(consumer.receive()).await.unwrap();
    refused(&bench, "r").await;
    assert_eq!(consumed().await, Some(json!(["output"])));
    bench.backend.settle(&held.receipt, Vec::new()).await.unwrap();
    drop(consumer);
    soon(bench.flows.stop_empty_flow("r")).await.unwrap();
    assert_eq!(consumed().await, None);
}

/// A flow `one` in the middle of a stop that waits for a reader to leave.
async fn stopping(settings: FlowSettings) -> (Bench, weir_flow::FlowService, Box<dyn weir_pubsub::Consumer>, Stop) {
    let bench = Bench::new().await;
    let service = bench.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..settings }).await;
    bench.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    bench.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    let reader = bench.reader(INPUT.0, INPUT.1).await;
    let flows = bench.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_empty_flow("one").await });
    until(async || bench.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
    (bench, service, reader, stop)
}

type Stop = tokio::task::JoinHandle<Result<(), weir_flow::FlowError>>;

#[tokio::test]
async fn while_the_stop_may_be_refused_the_flow_keeps_what_it_shares() {
    for is_refused in [true, false] {
        let (bench, _service, reader, stop) = stopping(quick()).await;
        let record = bench.get("flow", "one").await.unwrap();
        assert_eq!(record["backlog"], "refuse");
        assert_eq!(bench.get("processor:counter", "text").await, None);
        assert_eq!(bench.get("processor:splitter", "one").await, None);
        bench.flows.put_blueprint("other", &super::support::blueprint().to_string().replace("{unit}", "another")).await.unwrap();
        bench.start("two", json!({"size": 1})).await.unwrap();
        let counter = bench.get("processor:counter", "text").await.unwrap();
        bench.flows.stop_flow("two").await.unwrap();
        assert!(bench.queues().contains(SHARED_QUEUE), "it is still the first one's, too");
        bench.start("two", json!({"size": 1})).await.unwrap();
        if is_refused {
            bench.send(INPUT.0, "came in between").await;
            let held = soon(reader.receive()).await.unwrap();
            drop((reader, held));
            let error = soon(stop).await.unwrap().unwrap_err().to_string();
            assert!(error.contains("1 for processor `splitter`"), "{error}");
            assert!(bench.get("processor:splitter", "one").await.is_some());
        } else {
            drop(reader);
            soon(stop).await.unwrap().unwrap();
            assert_eq!(bench.flows.list_flows().await.unwrap(), ["two"]);
        }
        assert_eq!(bench.get("processor:counter", "text").await.unwrap(), counter);
        for id in bench.flows.list_flows().await.unwrap() {
            bench.flows.stop_flow(&id).await.unwrap();
        }
        assert!(bench.queues().is_empty());
        assert!(!bench.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
    }
}

#[tokio::test]
async fn a_stop_that_a_shutdown_cuts_off_leaves_the_flow_running() {
    let (bench, service, reader, stop) = stopping(quick()).await;
    soon(service.stop()).await;
    let message = soon(stop).await.unwrap().unwrap_err().to_string();
    assert_eq!(message, "the flow service is shutting down; flow `one` was not stopped: repeat the command when the service is back");
    assert_eq!(bench.get("flow", "one").await.unwrap().get("status"), None);
    assert!(bench.get("processor:splitter", "one").await.is_some());
    drop(reader);
    let _service = bench.serve(quick()).await;
    soon(bench.flows.stop_empty_flow("one")).await.unwrap();
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn a_stop_that_a_crash_cuts_off_is_taken_back_by_the_next_service() {
    let (bench, service, reader, stop) = stopping(quick()).await;
    drop(service);
    bench.until_unserved().await;
    stop.abort();
    bench.send(INPUT.0, "waits").await;
    let _service = bench.serve(quick()).await;
    until(async || bench.get("flow", "one").await.unwrap().get("status").is_none()).await;
    let record = bench.get("flow", "one").await.unwrap();
    assert_eq!((record.get("backlog"), record["plan"]["entries"][0].get("kept")), (None, None));
    assert!(bench.get("processor:splitter", "one").await.is_some());
    assert!(bench.get("processor:counter", "text").await.is_some());
    assert_eq!(soon(reader.receive()).await.unwrap().message.body, "waits");
}

#[tokio::test]
async fn a_discarding_stop_takes_the_place_of_one_that_was_cut_off() {
    let (bench, service, reader, stop) = stopping(quick()).await;
    drop(service);
    stop.abort();
    bench.send(INPUT.0, "waits").await;
    drop(reader);
    bench.until_unserved().await;
    let _service = bench.serve(quick()).await;
    soon(bench.flows.stop_flow("one")).await.unwrap();
    assert!(bench.queues().is_empty());
    assert!(!bench.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
}
