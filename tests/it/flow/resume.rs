//! What a new service makes of what an old one left.

use std::time::Duration;

use serde_json::{Value, json};
use weir_flow::{FlowService, FlowSettings};
use weir_pubsub::{Delete, Message};
use weir_tests::look::put;

use super::cut::{Cut, Line, Moment};
use super::support::{Bench, SHARED_QUEUE, blueprint, names, queues_of, quick, soon, spec, splitter_record, until};

/// A bench without a service, whose config holds component and blueprint.
async fn prepared() -> Bench {
    let bench = Bench::new().await;
    bench.put("component", "splitter@1.0.0", &splitter_record()).await;
    bench.put("flow-blueprint", "text", &blueprint()).await;
    bench
}

/// The record that a service leaves which is cut off right after the announcement of a start.
fn starting_record() -> Value {
    let input = json!({"topic": "flow:tg:in:one", "subscription": "worker--one--input"});
    let entry = json!({"topics": {"input": "flow:tg:in:one", "output": "flow:tg:out:one"}, "parameters": {}, "flow": "one"});
    json!({
        "description": "", "blueprint-name": "gone", "interfaces": {}, "parameters": {}, "status": "starting",
        "plan": {
            "queues": [input],
            "entries": [{"processor": "worker", "variant": "one", "outputs": {"output": "flow:tg:out:one"}, "entry": entry}]
        }
    })
}

#[tokio::test]
async fn the_service_makes_its_own_queues_and_the_dead_letters() {
    let bench = Bench::new().await;
    let _service = bench.serve(quick()).await;
    for queue in [spec("request:tg:flow", "flow-svc"), spec("flow:tg:weir-dead-letters", "weir")] {
        assert!(bench.backend.queue_exists(&queue.queue).await.unwrap(), "{}", queue.queue);
    }
}

#[tokio::test]
async fn the_dead_letters_get_the_bound_that_is_set_whatever_they_had() {
    let bench = Bench::new().await;
    let letters = spec("flow:tg:weir-dead-letters", "weir");
    // As an earlier version, or a host that finds none, makes it.
    bench.backend.create_queue(&letters).await.unwrap();
    put(&*bench.backend, &letters.queue, Message::new("kept")).await.unwrap();
    for bytes in [1 << 20, 2 << 20] {
        let service = bench.serve(FlowSettings { dead_letters_max_bytes: bytes, ..quick() }).await;
        let stats = bench.backend.inspect().stats(&letters.queue).await.unwrap();
        assert_eq!((stats.refuse_above_bytes, stats.depth_count), (Some(bytes), Some(1)));
        soon(service.stop()).await;
    }
    let _service = bench.serve(FlowSettings { resume_every: Duration::from_millis(20), ..quick() }).await;
    bench.backend.delete_queue(&letters.queue, Delete::Always).await.unwrap();
    until(async || bench.backend.inspect().stats(&letters.queue).await.is_ok_and(|stats| stats.refuse_above_bytes == Some(256 << 20)))
        .await;
}

#[tokio::test]
async fn a_start_that_a_crash_cut_off_is_undone() {
    let bench = prepared().await;
    bench.put("flow", "one", &starting_record()).await;
    let before = bench.everything().await;
    bench.backend.create_queue(&spec("flow:tg:in:one", "worker--one--input")).await.unwrap();
    let _service = bench.serve(quick()).await;
    until(async || bench.get("flow", "one").await.is_none()).await;
    assert!(bench.queues().is_empty());
    assert_eq!(bench.get("processor:worker", "one").await, None);
    let after = bench.everything().await;
    assert_eq!(after.len(), before.len() - 1, "nothing else is changed");
}

/// No start of flow `one` is left, nor anything of it.
async fn until_nothing_is_left(bench: &Bench) {
    until(async || bench.get("flow", "one").await.is_none()).await;
    assert_eq!(bench.get("processor:splitter", "one").await, None);
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn a_start_that_was_told_as_failed_is_undone_even_if_its_undo_failed() {
    for line in [Line::Down, Line::Deaf] {
        let bench = prepared().await;
        let cut = Cut::over(bench.backend.clone());
        let _service = bench.serve_over(&cut).await;
        cut.set_after(Moment::QueueMade, line);
        let error = bench.start("one", json!({"size": 1})).await.unwrap_err().to_string();
        assert!(error.contains("have not been rolled back yet"), "{error}");
        // Where only the answer was lost, it runs for now.
        let status = bench.get("flow", "one").await.unwrap().get("status").cloned();
        assert_eq!(status, (line == Line::Down).then(|| json!("starting")));
        cut.set(Line::Up);
        until_nothing_is_left(&bench).await;
        bench.start("one", json!({"size": 1})).await.unwrap();
        // A later start is not undone when the service looks again.
        let queue = spec("flow:tg:text:one", "splitter--one--input").queue;
        bench.backend.delete_queue(&queue, Delete::Always).await.unwrap();
        until(async || bench.backend.queue_exists(&queue).await.unwrap()).await;
        assert!(bench.get("flow", "one").await.unwrap().get("status").is_none());
        bench.flows.stop_flow("one").await.unwrap();
    }
}

#[tokio::test]
async fn a_start_that_was_told_as_failed_is_undone_by_the_next_service_too() {
    let bench = prepared().await;
    let cut = Cut::over(bench.backend.clone());
    let service = bench.serve_over(&cut).await;
    cut.set_after(Moment::QueueMade, Line::Down);
    bench.start("one", json!({"size": 1})).await.unwrap_err();
    drop(service);
    bench.until_unserved().await;
    let _service = bench.serve(quick()).await;
    until_nothing_is_left(&bench).await;
}

#[tokio::test]
async fn a_flow_whose_start_failed_can_be_started_again_at_once() {
    let bench = prepared().await;
    let cut = Cut::over(bench.backend.clone());
    let config = weir_config::ConfigClient::connect(cut.clone(), "tg").await.unwrap();
    // Nothing is resumed meanwhile.
    let settings = FlowSettings { resume_every: Duration::from_secs(3600), ..quick() };
    let _service = soon(FlowService::start(cut.clone(), config, "tg", settings)).await.unwrap();
    for line in [Line::Down, Line::Deaf] {
        cut.set_after(Moment::QueueMade, line);
        bench.start("one", json!({"size": 1})).await.unwrap_err();
        let error = bench.start("one", json!({"size": 2})).await.unwrap_err().to_string();
        assert!(error.contains("unavailable") || error.contains("cut"), "{error}");
        cut.set(Line::Up);
        bench.start("one", json!({"size": 3})).await.unwrap();
        assert_eq!(bench.flows.get_flow("one").await.unwrap().parameters["size"], "3");
        bench.flows.stop_flow("one").await.unwrap();
    }
}

#[tokio::test]
async fn undoing_a_start_leaves_what_was_there_before_it() {
    let bench = prepared().await;
    let odd = weir_pubsub::QueueSpec {
        overflow: weir_pubsub::Overflow::DropOldest { bytes: 5000 },
        ..spec("flow:tg:in:one", "worker--one--input")
    };
    bench.backend.create_queue(&odd).await.unwrap();
    let mut record = starting_record();
    record["plan"]["queues"][0]["found"] = json!(true);
    bench.put("flow", "one", &record).await;
    let _service = bench.serve(quick()).await;
    until(async || bench.get("flow", "one").await.is_none()).await;
    assert_eq!(bench.queues(), names(&["tg.flow.in:one.worker--one--input"]), "the queue that was there before stays");
    assert_eq!(bench.get("processor:worker", "one").await, None);
}

#[tokio::test]
async fn a_flow_left_in_stopping_is_finished() {
    let bench = prepared().await;
    let first = bench.serve(quick()).await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.start("two", json!({"size": 1})).await.unwrap();
    first.stop().await;
    let mut record = bench.get("flow", "one").await.unwrap();
    record["status"] = json!("stopping");
    bench.put("flow", "one", &record).await;
    let _service = bench.serve(quick()).await;
    until(async || bench.get("flow", "one").await.is_none()).await;
    let [input, exit] = queues_of("two");
    assert_eq!(bench.queues(), names(&[SHARED_QUEUE, &input, &exit]));
    assert_eq!(bench.get("processor:splitter", "one").await, None);
}

#[tokio::test]
async fn a_stop_that_a_shutdown_cut_off_goes_on_with_the_next_service() {
    let bench = prepared().await;
    let service = bench.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    let reader = bench.reader("flow:tg:text:one", "splitter--one--input").await;
    let flows = bench.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_flow("one").await });
    until(async || bench.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
    soon(service.stop()).await;
    let message = soon(stop).await.unwrap().unwrap_err().to_string();
    assert_eq!(message, "the flow service is shutting down; the stop of flow `one` continues when it is back");
    drop(reader);
    let _service = bench.serve(quick()).await;
    until(async || bench.get("flow", "one").await.is_none()).await;
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn missing_queues_of_running_flows_are_made_before_the_service_answers_and_again_later() {
    let bench = prepared().await;
    let first = bench.serve(quick()).await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    first.stop().await;
    let queue = spec("flow:tg:text:one", "splitter--one--input").queue;
    bench.backend.delete_queue(&queue, Delete::Always).await.unwrap();
    let _service = bench.serve(FlowSettings { resume_every: Duration::from_millis(20), ..quick() }).await;
    let before = bench.config.version().await.unwrap();
    assert!(bench.backend.queue_exists(&queue).await.unwrap());
    bench.backend.delete_queue(&queue, Delete::Always).await.unwrap();
    until(async || bench.backend.queue_exists(&queue).await.unwrap()).await;
    assert_eq!(bench.config.version().await.unwrap(), before, "nobody is told of it");
}

fn foreign(blueprint: &str, status: Option<&str>) -> Value {
    let mut record = json!({"description": "theirs", "blueprint-name": blueprint, "interfaces": {}, "parameters": {"size": "7"}});
    if let Some(status) = status {
        record["status"] = json!(status);
    }
    record
}

#[tokio::test]
async fn a_record_without_a_plan_is_planned_from_its_blueprint() {
    let bench = prepared().await;
    let entry = json!({"topics": {"input": "flow:tg:text:theirs"}, "parameters": {"size": "7"}});
    bench.put("processor:splitter", "theirs", &entry).await;
    bench.put("flow", "theirs", &foreign("text", None)).await;
    let _service = bench.serve(quick()).await;
    assert_eq!(bench.queues(), names(&[SHARED_QUEUE, &queues_of("theirs")[0], &queues_of("theirs")[1]]));
    let record = bench.get("flow", "theirs").await.unwrap();
    assert_eq!(record["description"], "theirs");
    assert_eq!(record["plan"]["entries"][1]["variant"], "theirs");
    assert_eq!(bench.get("processor:splitter", "theirs").await.unwrap(), entry, "their entries stay as they are");
    bench.flows.stop_flow("theirs").await.unwrap();
    assert!(bench.queues().is_empty());
    assert_eq!(bench.get("processor:splitter", "theirs").await, None);
}

#[tokio::test]
async fn a_foreign_flow_whose_blueprint_is_gone_is_known_by_its_entries_and_can_be_stopped() {
    let bench = prepared().await;
    bench.put("processor:theirs", "theirs", &json!({"topics": {"input": "flow:tg:a", "output": "flow:tg:b"}, "parameters": {}})).await;
    bench.put("flow", "theirs", &foreign("gone", Some("stopping"))).await;
    bench.put("flow", "broken", &json!({"blueprint-name": 5})).await;
    let _service = bench.serve(quick()).await;
    until(async || bench.get("flow", "theirs").await.is_none()).await;
    assert_eq!(bench.get("processor:theirs", "theirs").await, None);
    bench.flows.stop_flow("broken").await.unwrap();
    assert!(bench.flows.list_flows().await.unwrap().is_empty());
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn a_second_service_is_told_that_there_is_one() {
    let bench = Bench::new().await;
    let first = bench.serve(quick()).await;
    let second = FlowService::start(bench.backend.clone(), bench.config.clone(), "tg", quick()).await;
    assert!(matches!(second.map(|_| ()).unwrap_err(), weir_flow::FlowError::Held { .. }));
    first.stop().await;
    bench.serve(quick()).await;
}

#[tokio::test]
async fn a_service_that_lost_its_queue_makes_it_again() {
    let (bench, service) = Bench::ready().await;
    bench.backend.delete_queue(&spec("request:tg:flow", "flow-svc").queue, Delete::Always).await.unwrap();
    until(async || bench.backend.queue_exists(&spec("request:tg:flow", "flow-svc").queue).await.unwrap()).await;
    assert_eq!(soon(bench.flows.list_blueprints()).await.unwrap(), ["text"]);
    assert!(service.is_running());
}
