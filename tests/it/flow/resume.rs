//! How a new service handles what an old one left.

use std::time::Duration;

use serde_json::{Value, json};
use weir_flow::{FlowService, FlowSettings};
use weir_pubsub::{Delete, Message};
use weir_tests::look::put;

use super::cut::{Cut, Line, Moment};
use super::support::{FlowFixture, SHARED_QUEUE, blueprint, names, queues_of, quick, spec, splitter_record, until, within_deadline};

/// A fixture without a service, whose config holds component and blueprint.
async fn prepared() -> FlowFixture {
    let fixture = FlowFixture::new().await;
    fixture.put("component", "splitter@1.0.0", &splitter_record()).await;
    fixture.put("flow-blueprint", "text", &blueprint()).await;
    fixture
}

/// The record left by a service that is interrupted right after announcing a start.
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
async fn the_service_creates_its_own_queues_and_the_dead_letter_queue() {
    let fixture = FlowFixture::new().await;
    let _service = fixture.serve(quick()).await;
    for queue in [spec("request:tg:flow", "flow-svc"), spec("flow:tg:weir-dead-letters", "weir")] {
        assert!(fixture.backend.queue_exists(&queue.queue).await.unwrap(), "{}", queue.queue);
    }
}

#[tokio::test]
async fn the_dead_letter_queue_gets_the_configured_bound_regardless_of_the_old_one() {
    let fixture = FlowFixture::new().await;
    let letters = spec("flow:tg:weir-dead-letters", "weir");
    // As created by an earlier version, or by a host that finds none.
    fixture.backend.create_queue(&letters).await.unwrap();
    put(&*fixture.backend, &letters.queue, Message::new("kept")).await.unwrap();
    for bytes in [1 << 20, 2 << 20] {
        let service = fixture.serve(FlowSettings { dead_letters_max_bytes: bytes, ..quick() }).await;
        let stats = fixture.backend.inspect().stats(&letters.queue).await.unwrap();
        assert_eq!((stats.refuse_above_bytes, stats.depth_count), (Some(bytes), Some(1)));
        within_deadline(service.stop()).await;
    }
    let _service = fixture.serve(FlowSettings { resume_every: Duration::from_millis(20), ..quick() }).await;
    fixture.backend.delete_queue(&letters.queue, Delete::Always).await.unwrap();
    until(async || fixture.backend.inspect().stats(&letters.queue).await.is_ok_and(|stats| stats.refuse_above_bytes == Some(256 << 20)))
        .await;
}

#[tokio::test]
async fn a_start_interrupted_by_a_crash_is_undone() {
    let fixture = prepared().await;
    fixture.put("flow", "one", &starting_record()).await;
    let before = fixture.everything().await;
    fixture.backend.create_queue(&spec("flow:tg:in:one", "worker--one--input")).await.unwrap();
    let _service = fixture.serve(quick()).await;
    until(async || fixture.get("flow", "one").await.is_none()).await;
    assert!(fixture.queues().is_empty());
    assert_eq!(fixture.get("processor:worker", "one").await, None);
    let after = fixture.everything().await;
    assert_eq!(after.len(), before.len() - 1, "nothing else is changed");
}

/// Neither a start of flow `one` nor anything belonging to it is left.
async fn until_nothing_is_left(fixture: &FlowFixture) {
    until(async || fixture.get("flow", "one").await.is_none()).await;
    assert_eq!(fixture.get("processor:splitter", "one").await, None);
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_start_reported_as_failed_is_undone_even_if_its_undo_failed() {
    for line in [Line::Down, Line::Deaf] {
        let fixture = prepared().await;
        let cut = Cut::over(fixture.backend.clone());
        let _service = fixture.serve_over(&cut).await;
        cut.set_after(Moment::QueueMade, line);
        let error = fixture.start("one", json!({"size": 1})).await.unwrap_err().to_string();
        assert!(error.contains("have not been rolled back yet"), "{error}");
        // If only the answer was lost, it runs for now.
        let status = fixture.get("flow", "one").await.unwrap().get("status").cloned();
        assert_eq!(status, (line == Line::Down).then(|| json!("starting")));
        cut.set(Line::Up);
        until_nothing_is_left(&fixture).await;
        fixture.start("one", json!({"size": 1})).await.unwrap();
        // A later start is not undone at the next check of the service.
        let queue = spec("flow:tg:text:one", "splitter--one--input").queue;
        fixture.backend.delete_queue(&queue, Delete::Always).await.unwrap();
        until(async || fixture.backend.queue_exists(&queue).await.unwrap()).await;
        assert!(fixture.get("flow", "one").await.unwrap().get("status").is_none());
        fixture.flows.stop_flow("one").await.unwrap();
    }
}

#[tokio::test]
async fn a_start_reported_as_failed_is_undone_by_the_next_service_too() {
    let fixture = prepared().await;
    let cut = Cut::over(fixture.backend.clone());
    let service = fixture.serve_over(&cut).await;
    cut.set_after(Moment::QueueMade, Line::Down);
    fixture.start("one", json!({"size": 1})).await.unwrap_err();
    drop(service);
    fixture.until_unserved().await;
    let _service = fixture.serve(quick()).await;
    until_nothing_is_left(&fixture).await;
}

#[tokio::test]
async fn a_flow_whose_start_failed_can_be_started_again_at_once() {
    let fixture = prepared().await;
    let cut = Cut::over(fixture.backend.clone());
    let config = weir_config::ConfigClient::connect(cut.clone(), "tg").await.unwrap();
    // Nothing is resumed meanwhile.
    let settings = FlowSettings { resume_every: Duration::from_secs(3600), ..quick() };
    let _service = within_deadline(FlowService::start(cut.clone(), config, "tg", settings)).await.unwrap();
    for line in [Line::Down, Line::Deaf] {
        cut.set_after(Moment::QueueMade, line);
        fixture.start("one", json!({"size": 1})).await.unwrap_err();
        let error = fixture.start("one", json!({"size": 2})).await.unwrap_err().to_string();
        assert!(error.contains("unavailable") || error.contains("cut"), "{error}");
        cut.set(Line::Up);
        fixture.start("one", json!({"size": 3})).await.unwrap();
        assert_eq!(fixture.flows.get_flow("one").await.unwrap().parameters["size"], "3");
        fixture.flows.stop_flow("one").await.unwrap();
    }
}

#[tokio::test]
async fn undoing_a_start_keeps_what_existed_before() {
    let fixture = prepared().await;
    let odd = weir_pubsub::QueueSpec {
        overflow: weir_pubsub::Overflow::DropOldest { bytes: 5000 },
        ..spec("flow:tg:in:one", "worker--one--input")
    };
    fixture.backend.create_queue(&odd).await.unwrap();
    let mut record = starting_record();
    record["plan"]["queues"][0]["found"] = json!(true);
    fixture.put("flow", "one", &record).await;
    let _service = fixture.serve(quick()).await;
    until(async || fixture.get("flow", "one").await.is_none()).await;
    assert_eq!(fixture.queues(), names(&["tg.flow.in:one.worker--one--input"]), "the queue that was there before stays");
    assert_eq!(fixture.get("processor:worker", "one").await, None);
}

#[tokio::test]
async fn a_flow_left_in_stopping_is_stopped_completely() {
    let fixture = prepared().await;
    let first = fixture.serve(quick()).await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.start("two", json!({"size": 1})).await.unwrap();
    first.stop().await;
    let mut record = fixture.get("flow", "one").await.unwrap();
    record["status"] = json!("stopping");
    fixture.put("flow", "one", &record).await;
    let _service = fixture.serve(quick()).await;
    until(async || fixture.get("flow", "one").await.is_none()).await;
    let [input, exit] = queues_of("two");
    assert_eq!(fixture.queues(), names(&[SHARED_QUEUE, &input, &exit]));
    assert_eq!(fixture.get("processor:splitter", "one").await, None);
}

#[tokio::test]
async fn a_stop_interrupted_by_a_shutdown_is_continued_by_the_next_service() {
    let fixture = prepared().await;
    let service = fixture.serve(FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    let flows = fixture.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_flow("one").await });
    until(async || fixture.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
    within_deadline(service.stop()).await;
    let message = within_deadline(stop).await.unwrap().unwrap_err().to_string();
    assert_eq!(message, "the flow service is shutting down; the stop of flow `one` continues when it is back");
    drop(reader);
    let _service = fixture.serve(quick()).await;
    until(async || fixture.get("flow", "one").await.is_none()).await;
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn missing_queues_of_running_flows_are_created_before_the_first_answer_and_later() {
    let fixture = prepared().await;
    let first = fixture.serve(quick()).await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    first.stop().await;
    let queue = spec("flow:tg:text:one", "splitter--one--input").queue;
    fixture.backend.delete_queue(&queue, Delete::Always).await.unwrap();
    let _service = fixture.serve(FlowSettings { resume_every: Duration::from_millis(20), ..quick() }).await;
    let before = fixture.config.version().await.unwrap();
    assert!(fixture.backend.queue_exists(&queue).await.unwrap());
    fixture.backend.delete_queue(&queue, Delete::Always).await.unwrap();
    until(async || fixture.backend.queue_exists(&queue).await.unwrap()).await;
    assert_eq!(fixture.config.version().await.unwrap(), before, "nobody is told of it");
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
    let fixture = prepared().await;
    let entry = json!({"topics": {"input": "flow:tg:text:theirs"}, "parameters": {"size": "7"}});
    fixture.put("processor:splitter", "theirs", &entry).await;
    fixture.put("flow", "theirs", &foreign("text", None)).await;
    let _service = fixture.serve(quick()).await;
    assert_eq!(fixture.queues(), names(&[SHARED_QUEUE, &queues_of("theirs")[0], &queues_of("theirs")[1]]));
    let record = fixture.get("flow", "theirs").await.unwrap();
    assert_eq!(record["description"], "theirs");
    assert_eq!(record["plan"]["entries"][1]["variant"], "theirs");
    assert_eq!(fixture.get("processor:splitter", "theirs").await.unwrap(), entry, "their entries stay as they are");
    fixture.flows.stop_flow("theirs").await.unwrap();
    assert!(fixture.queues().is_empty());
    assert_eq!(fixture.get("processor:splitter", "theirs").await, None);
}

#[tokio::test]
async fn a_foreign_flow_without_its_blueprint_is_planned_from_its_entries_and_can_be_stopped() {
    let fixture = prepared().await;
    fixture.put("processor:theirs", "theirs", &json!({"topics": {"input": "flow:tg:a", "output": "flow:tg:b"}, "parameters": {}})).await;
    fixture.put("flow", "theirs", &foreign("gone", Some("stopping"))).await;
    fixture.put("flow", "broken", &json!({"blueprint-name": 5})).await;
    let _service = fixture.serve(quick()).await;
    until(async || fixture.get("flow", "theirs").await.is_none()).await;
    assert_eq!(fixture.get("processor:theirs", "theirs").await, None);
    fixture.flows.stop_flow("broken").await.unwrap();
    assert!(fixture.flows.list_flows().await.unwrap().is_empty());
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_second_service_is_refused_while_the_first_runs() {
    let fixture = FlowFixture::new().await;
    let first = fixture.serve(quick()).await;
    let second = FlowService::start(fixture.backend.clone(), fixture.config.clone(), "tg", quick()).await;
    assert!(matches!(second.map(|_| ()).unwrap_err(), weir_flow::FlowError::Held { .. }));
    first.stop().await;
    fixture.serve(quick()).await;
}

#[tokio::test]
async fn a_service_that_lost_its_queue_recreates_it() {
    let (fixture, service) = FlowFixture::ready().await;
    fixture.backend.delete_queue(&spec("request:tg:flow", "flow-svc").queue, Delete::Always).await.unwrap();
    until(async || fixture.backend.queue_exists(&spec("request:tg:flow", "flow-svc").queue).await.unwrap()).await;
    assert_eq!(within_deadline(fixture.flows.list_blueprints()).await.unwrap(), ["text"]);
    assert!(service.is_running());
}
