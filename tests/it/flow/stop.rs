//! Stopping flows.

use std::time::Duration;

use serde_json::json;
use weir_flow::FlowSettings;
use weir_tests::look::figures;

use super::support::{FlowFixture, SHARED_QUEUE, names, queues_of, quick, spec, until, within_deadline};

#[tokio::test]
async fn a_stop_deletes_its_queues_but_not_shared_ones() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.start("two", json!({"size": 1})).await.unwrap();
    fixture.send("flow:tg:text:one", "backlog").await;
    let notifies = fixture.notifies().await;
    assert!(fixture.flows.stop_flow("one").await.unwrap().is_empty());
    let [input, exit] = queues_of("two");
    assert_eq!(fixture.queues(), names(&[SHARED_QUEUE, &input, &exit]));
    assert_eq!(fixture.flows.list_flows().await.unwrap(), ["two"]);
    assert_eq!(fixture.get("processor:splitter", "one").await, None);
    assert!(fixture.get("processor:counter", "text").await.is_some());
    assert_eq!(notifies.next().await.types, ["flow", "processor:splitter"]);
    assert_eq!(notifies.next().await.types, ["flow", "flow-service", "queue-made"]);
    assert_eq!(fixture.made().await, fixture.queues());
    fixture.flows.stop_flow("two").await.unwrap();
    assert!(fixture.queues().is_empty() && fixture.made().await.is_empty());
    assert_eq!(fixture.get("processor:counter", "text").await, None);
}

#[tokio::test]
async fn a_stop_works_after_its_blueprint_was_changed_or_deleted() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.start("two", json!({"size": 1})).await.unwrap();
    let other = json!({"blueprint": {}, "flow": {"other:{id}": {}}});
    fixture.flows.put_blueprint("text", &other.to_string()).await.unwrap();
    fixture.flows.stop_flow("one").await.unwrap();
    fixture.flows.delete_blueprint("text").await.unwrap();
    fixture.flows.stop_flow("two").await.unwrap();
    assert!(fixture.queues().is_empty());
    assert!(!fixture.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
}

#[tokio::test]
async fn a_corrupted_entry_does_not_prevent_a_flow_from_stopping() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.put("processor:splitter", "one", &json!("broken")).await;
    fixture.put("descriptor", "counter", &json!("broken")).await;
    fixture.flows.stop_flow("one").await.unwrap();
    assert_eq!(fixture.get("processor:splitter", "one").await, None);
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_stop_updates_the_consumed_topics_of_other_flows() {
    let (fixture, _service) = FlowFixture::ready().await;
    let sender = json!({"blueprint": {}, "flow": {"sender:{id}": {"topics": {"output": "flow:tg:news"}}}});
    let reader = json!({"blueprint": {}, "flow": {"reader:{id}": {"topics": {"input": "flow:tg:news"}}}});
    fixture.flows.put_blueprint("sender", &sender.to_string()).await.unwrap();
    fixture.flows.put_blueprint("reader", &reader.to_string()).await.unwrap();
    fixture.start_on("sender", "s", json!({})).await.unwrap();
    let consumed = async || fixture.get("processor:sender", "s").await.unwrap().get("consumed").cloned();
    assert_eq!(consumed().await, None);
    fixture.start_on("reader", "r", json!({})).await.unwrap();
    assert_eq!(consumed().await, Some(json!(["output"])));
    fixture.flows.stop_flow("r").await.unwrap();
    assert_eq!(consumed().await, None);
}

#[tokio::test]
async fn a_stop_waits_for_processors_to_detach() {
    let fixture = FlowFixture::new().await;
    let _service = fixture.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await;
    fixture.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    fixture.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    let flows = fixture.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_flow("one").await });
    until(async || fixture.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
    assert_eq!(fixture.get("processor:splitter", "one").await, None, "its processors are told to leave");
    assert!(fixture.queues().contains(&queues_of("one")[0]));
    // Meanwhile others start and stop, and the stopping one cannot be started again.
    fixture.start("two", json!({"size": 1})).await.unwrap();
    fixture.flows.stop_flow("two").await.unwrap();
    assert!(!stop.is_finished());
    drop(reader);
    assert!(within_deadline(stop).await.unwrap().unwrap().is_empty());
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_stop_retries_while_a_consumer_is_still_attached() {
    let fixture = FlowFixture::new().await;
    let _service = fixture.serve(FlowSettings { stop_wait: Duration::ZERO, delete_tries_count: 10_000, ..quick() }).await;
    fixture.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    fixture.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    let flows = fixture.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_flow("one").await });
    // The other queues are deleted at the first attempt.
    until(async || fixture.queues() == names(&[&queues_of("one")[0]])).await;
    drop(reader);
    assert!(within_deadline(stop).await.unwrap().unwrap().is_empty());
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn an_undeletable_queue_is_left_over_and_deleted_later() {
    let fixture = FlowFixture::new().await;
    let settings = FlowSettings { resume_every: Duration::from_millis(20), delete_tries_count: 3, ..quick() };
    let _service = fixture.serve(settings).await;
    fixture.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    fixture.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    let notes = within_deadline(fixture.flows.stop_flow("one")).await.unwrap();
    let name = queues_of("one")[0].clone();
    assert_eq!(notes, ["queue flow:tg:text:one (splitter--one--input) still exists and is deleted later: it still has 1 consumers"]);
    assert!(fixture.flows.list_flows().await.unwrap().is_empty());
    assert_eq!(fixture.get("leftover", &name).await.unwrap(), json!({"topic": "flow:tg:text:one", "subscription": "splitter--one--input"}));
    drop(reader);
    until(async || fixture.get("leftover", &name).await.is_none()).await;
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_reader_of_an_exit_does_not_block_the_stop() {
    let fixture = FlowFixture::new().await;
    let _service = fixture.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await;
    fixture.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    fixture.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let reader = fixture.reader("flow:tg:chunks:one", "gateway--one--chunks").await;
    assert!(within_deadline(fixture.flows.stop_flow("one")).await.unwrap().is_empty());
    assert!(matches!(within_deadline(reader.receive()).await, Err(weir_pubsub::PubsubError::QueueNotFound { .. })));
}

#[tokio::test]
async fn a_start_waits_for_the_stop_of_the_same_flow() {
    let fixture = FlowFixture::new().await;
    let _service = fixture.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await;
    fixture.put("component", "splitter@1.0.0", &super::support::splitter_record()).await;
    fixture.flows.put_blueprint("text", &super::support::blueprint().to_string()).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.send("flow:tg:text:one", "old").await;
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    let stop = fixture.flows.stop_flow("one");
    let start = async {
        until(async || fixture.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
        let (started, ()) = tokio::join!(fixture.start("one", json!({"size": 2})), async { drop(reader) });
        started
    };
    let (stopped, started) = within_deadline(async { tokio::join!(stop, start) }).await;
    stopped.unwrap();
    started.unwrap();
    assert_eq!(fixture.flows.get_flow("one").await.unwrap().parameters["size"], "2");
    let queue = spec("flow:tg:text:one", "splitter--one--input").queue;
    assert_eq!(figures(&*fixture.backend, &queue).await.unwrap().depth_count, 0);
}
