//! Stopping flows.

use std::time::Duration;

use serde_json::json;
use weir_flow::FlowSettings;
use weir_tests::look::figures;

use super::support::{Bench, SHARED_QUEUE, names, queues_of, quick, soon, spec, until};

#[tokio::test]
async fn a_stop_deletes_its_queues_but_not_shared_ones() {
    let (bench, _service) = Bench::ready().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.start("two", json!({"size": 1})).await.unwrap();
    bench.send("flow:tg:text:one", "backlog").await;
    let notifies = bench.notifies().await;
    assert!(bench.flows.stop_flow("one").await.unwrap().is_empty());
    let [input, exit] = queues_of("two");
    assert_eq!(bench.queues(), names(&[SHARED_QUEUE, &input, &exit]));
    assert_eq!(bench.flows.list_flows().await.unwrap(), ["two"]);
    assert_eq!(bench.get("processor:splitter", "one").await, None);
    assert!(bench.get("processor:counter", "text").await.is_some());
    assert_eq!(notifies.next().await.types, ["flow", "processor:splitter"]);
    assert_eq!(notifies.next().await.types, ["flow", "flow-service", "queue-made"]);
    assert_eq!(bench.made().await, bench.queues());
    bench.flows.stop_flow("two").await.unwrap();
    assert!(bench.queues().is_empty() && bench.made().await.is_empty());
    assert_eq!(bench.get("processor:counter", "text").await, None);
}

#[tokio::test]
async fn a_stop_works_after_its_blueprint_was_changed_or_deleted() {
    let (bench, _service) = Bench::ready().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.start("two", json!({"size": 1})).await.unwrap();
    let other = json!({"blueprint": {}, "flow": {"other:{id}": {}}});
    bench.flows.put_blueprint("text", &other.to_string()).await.unwrap();
    bench.flows.stop_flow("one").await.unwrap();
    bench.flows.delete_blueprint("text").await.unwrap();
    bench.flows.stop_flow("two").await.unwrap();
    assert!(bench.queues().is_empty());
    assert!(!bench.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
}

#[tokio::test]
async fn an_entry_that_somebody_broke_does_not_keep_a_flow_from_stopping() {
    let (bench, _service) = Bench::ready().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.put("processor:splitter", "one", &json!("broken")).await;
    bench.put("descriptor", "counter", &json!("broken")).await;
    bench.flows.stop_flow("one").await.unwrap();
    assert_eq!(bench.get("processor:splitter", "one").await, None);
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn what_another_flow_consumed_is_consumed_no_more() {
    let (bench, _service) = Bench::ready().await;
    let sender = json!({"blueprint": {}, "flow": {"sender:{id}": {"topics": {"output": "flow:tg:news"}}}});
    let reader = json!({"blueprint": {}, "flow": {"reader:{id}": {"topics": {"input": "flow:tg:news"}}}});
    bench.flows.put_blueprint("sender", &sender.to_string()).await.unwrap();
    bench.flows.put_blueprint("reader", &reader.to_string()).await.unwrap();
    bench.start_on("sender", "s", json!({})).await.unwrap();
    let consumed = async || bench.get("processor:sender", "s").await.unwrap().get("consumed").cloned();
    assert_eq!(consumed().await, None);
    bench.start_on("reader", "r", json!({})).await.unwrap();
    assert_eq!(consumed().await, Some(json!(["output"])));
    bench.flows.stop_flow("r").await.unwrap();
    assert_eq!(consumed().await, None);
}

#[tokio::test]
async fn a_stop_waits_for_processors_to_leave() {
    let bench = Bench::new().await;
    let _service = bench.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await;
    bench.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    bench.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    let reader = bench.reader("flow:tg:text:one", "splitter--one--input").await;
    let flows = bench.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_flow("one").await });
    until(async || bench.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
    assert_eq!(bench.get("processor:splitter", "one").await, None, "its processors are told to leave");
    assert!(bench.queues().contains(&queues_of("one")[0]));
    // Meanwhile others start and stop, and the stopping one cannot be started anew.
    bench.start("two", json!({"size": 1})).await.unwrap();
    bench.flows.stop_flow("two").await.unwrap();
    assert!(!stop.is_finished());
    drop(reader);
    assert!(soon(stop).await.unwrap().unwrap().is_empty());
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn a_stop_retries_while_a_consumer_is_still_attached() {
    let bench = Bench::new().await;
    let _service = bench.serve(FlowSettings { stop_wait: Duration::ZERO, delete_tries_count: 10_000, ..quick() }).await;
    bench.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    bench.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    let reader = bench.reader("flow:tg:text:one", "splitter--one--input").await;
    let flows = bench.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_flow("one").await });
    // The other queues go at the first try.
    until(async || bench.queues() == names(&[&queues_of("one")[0]])).await;
    drop(reader);
    assert!(soon(stop).await.unwrap().unwrap().is_empty());
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn what_resists_every_try_is_left_over_and_deleted_later() {
    let bench = Bench::new().await;
    let settings = FlowSettings { resume_every: Duration::from_millis(20), delete_tries_count: 3, ..quick() };
    let _service = bench.serve(settings).await;
    bench.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    bench.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    let reader = bench.reader("flow:tg:text:one", "splitter--one--input").await;
    let notes = soon(bench.flows.stop_flow("one")).await.unwrap();
    let name = queues_of("one")[0].clone();
    assert_eq!(notes, ["queue flow:tg:text:one (splitter--one--input) still exists and is deleted later: it still has 1 consumers"]);
    assert!(bench.flows.list_flows().await.unwrap().is_empty());
    assert_eq!(bench.get("leftover", &name).await.unwrap(), json!({"topic": "flow:tg:text:one", "subscription": "splitter--one--input"}));
    drop(reader);
    until(async || bench.get("leftover", &name).await.is_none()).await;
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn who_reads_an_exit_does_not_hold_up_the_stop() {
    let bench = Bench::new().await;
    let _service = bench.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await;
    bench.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    bench.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    let reader = bench.reader("flow:tg:chunks:one", "gateway--one--chunks").await;
    assert!(soon(bench.flows.stop_flow("one")).await.unwrap().is_empty());
    assert!(matches!(soon(reader.receive()).await, Err(weir_pubsub::PubsubError::QueueNotFound { .. })));
}

#[tokio::test]
async fn a_start_waits_for_the_stop_of_the_same_flow() {
    let bench = Bench::new().await;
    let _service = bench.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await;
    bench.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    bench.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.send("flow:tg:text:one", "old").await;
    let reader = bench.reader("flow:tg:text:one", "splitter--one--input").await;
    let stop = bench.flows.stop_flow("one");
    let start = async {
        until(async || bench.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
        let (started, ()) = tokio::join!(bench.start("one", json!({"size": 2})), async { drop(reader) });
        started
    };
    let (stopped, started) = soon(async { tokio::join!(stop, start) }).await;
    stopped.unwrap();
    started.unwrap();
    assert_eq!(bench.flows.get_flow("one").await.unwrap().parameters["size"], "2");
    let queue = spec("flow:tg:text:one", "splitter--one--input").queue;
    assert_eq!(figures(&*bench.backend, &queue).await.unwrap().depth_count, 0);
}
