//! One flow service leads: another one stands by, and further actions of an overtaken one have no effect.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weir_config::ConfigClient;
use weir_config::names::FLOW_SERVICE;
use weir_flow::protocol::Response;
use weir_flow::{FlowError, FlowService, FlowSettings};
use weir_pubsub::{Backend, CORRELATION_ID, ConsumerOptions, Inspect, Message, MessageId};
use weir_tests::cutting::Cutting;
use weir_tests::wait::{DEADLINE, eventually};

use super::cut::Cut;
use super::support::{FlowFixture, blueprint, queues_of, quick, splitter_record, until, within_deadline};

async fn prepared() -> FlowFixture {
    let fixture = FlowFixture::new().await;
    fixture.put("component", "splitter@1.0.0", &splitter_record()).await;
    fixture.put("flow-blueprint", "text", &blueprint()).await;
    fixture
}

async fn serve_over(backend: Arc<dyn Backend>, settings: FlowSettings) -> Result<FlowService, FlowError> {
    let config = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
    within_deadline(FlowService::start(backend, config, "tg", settings)).await
}

/// Starts a service as soon as the lock is free: the broker releases it a moment after the loss.
async fn take_over(backend: &Arc<Cutting>) -> FlowService {
    let started = || async {
        match serve_over(backend.clone(), quick()).await {
            Ok(service) => Some(service),
            Err(FlowError::Held { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    };
    eventually(DEADLINE, "the lock", started).await
}

async fn leader(fixture: &FlowFixture) -> Option<Value> {
    fixture.get("flow-service", "leader").await
}

#[tokio::test]
async fn each_leader_writes_its_own_id() {
    let fixture = prepared().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let service = serve_over(Cutting::over(fixture.backend.clone()), quick()).await.unwrap();
        ids.push(leader(&fixture).await.unwrap().as_str().unwrap().to_owned());
        within_deadline(service.stop()).await;
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[tokio::test]
async fn a_service_that_loses_its_lock_stands_by_and_leads_again_later() {
    let fixture = prepared().await;
    let (one, two) = (Cutting::over(fixture.backend.clone()), Cutting::over(fixture.backend.clone()));
    let _first = serve_over(one.clone(), quick()).await.unwrap();
    let held = serve_over(two.clone(), quick()).await.map(|_| ()).unwrap_err();
    assert!(matches!(&held, FlowError::Held { .. }), "{held}");
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let first_id = leader(&fixture).await;
    one.down();
    let second = take_over(&two).await;
    let second_id = leader(&fixture).await;
    assert_ne!(first_id, second_id);
    one.up();
    fixture.start("two", json!({"size": 1})).await.unwrap();
    assert_eq!(fixture.flows.list_flows().await.unwrap(), ["one", "two"]);
    assert_eq!(leader(&fixture).await, second_id, "the first stands by");
    within_deadline(second.stop()).await;
    until(async || leader(&fixture).await != second_id).await;
    for flow in ["one", "two"] {
        within_deadline(fixture.flows.stop_flow(flow)).await.unwrap();
    }
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn operations_are_dropped_with_the_lock_and_answered_by_the_next_service() {
    let fixture = prepared().await;
    let (one, two) = (Cutting::over(fixture.backend.clone()), Cutting::over(fixture.backend.clone()));
    // Its stop waits for a reader for as long as this test runs.
    let _first = serve_over(one.clone(), FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    let flows = fixture.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_flow("one").await });
    until(async || fixture.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
    one.down();
    let _second = take_over(&two).await;
    drop(reader);
    within_deadline(stop).await.unwrap().unwrap();
    assert_eq!(fixture.get("flow", "one").await, None);
    assert!(fixture.queues().is_empty());
    // The first one has nothing left to do once it is back.
    one.up();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    assert_eq!(fixture.flows.list_flows().await.unwrap(), ["one"]);
}

#[tokio::test]
async fn a_service_replaced_without_notice_writes_nothing_and_leaves_its_requests_to_the_other() {
    let fixture = prepared().await;
    let settings = FlowSettings { resume_every: Duration::from_secs(3600), ..quick() };
    let first = serve_over(Cut::pretending(fixture.backend.clone()), settings.clone()).await.unwrap();
    fixture.start("zero", json!({"size": 1})).await.unwrap();
    let second = loop {
        match serve_over(Cut::pretending(fixture.backend.clone()), settings.clone()).await {
            // The first one took its turn meanwhile.
            Err(FlowError::Fenced) => {}
            begun => break begun.unwrap(),
        }
    };
    let second_id = leader(&fixture).await;
    // Both receive requests. The first one cannot write what it receives: it gets an error, requeues the request, and takes its turn to
    // lead, which overtakes the second.
    for round in 0..10 {
        let id = format!("flow-{round}");
        fixture.start(&id, json!({"size": 1})).await.unwrap();
        within_deadline(fixture.flows.stop_flow(&id)).await.unwrap();
    }
    assert_ne!(leader(&fixture).await, second_id, "both led at some time");
    assert!(first.is_running() && second.is_running());
    let mut expected: Vec<String> = queues_of("zero").to_vec();
    expected.push(super::support::SHARED_QUEUE.to_owned());
    assert_eq!(fixture.queues(), expected.into_iter().collect());
    assert_eq!(fixture.flows.list_flows().await.unwrap(), ["zero"]);
}

/// Sends one request twice, as one message that is redelivered; returns the error of each answer.
async fn twice(fixture: &FlowFixture, request: &Value) -> [Option<String>; 2] {
    let topic = "response:tg:flow".parse().unwrap();
    let answers = fixture.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    let producer = fixture.backend.producer(&"request:tg:flow".parse().unwrap()).await.unwrap();
    let id = MessageId::random(&mut rand::rng());
    let mut errors = Vec::new();
    for _ in 0..2 {
        let message = Message { id: Some(id), ..Message::new(request.to_string()).with(CORRELATION_ID, "twice") };
        producer.publish_confirmed(message).await.unwrap();
        let answer = within_deadline(answers.receive()).await.unwrap();
        let response: Response = serde_json::from_slice(&answer.message.body).unwrap();
        errors.push(response.error.map(|error| error.message));
    }
    errors.try_into().unwrap()
}

#[tokio::test]
async fn a_redelivered_completed_start_is_answered_as_done() {
    let fixture = prepared().await;
    let _service = fixture.serve(quick()).await;
    let start =
        json!({"operation": "start-flow", "flow_id": "one", "blueprint_name": "text", "description": "", "parameters": {"size": 1}});
    assert_eq!(twice(&fixture, &start).await, [None, None]);
    let other = twice(&fixture, &start).await;
    assert!(other.iter().all(|error| error.as_ref().is_some_and(|error| error.contains("already exists"))), "{other:?}");
    for backlog in ["refuse", "discard"] {
        let stop = json!({"operation": "stop-flow", "flow_id": "one", "backlog": backlog});
        assert_eq!(twice(&fixture, &stop).await, [None, None]);
        let other = twice(&fixture, &stop).await;
        assert!(other.iter().all(|error| error.as_ref().is_some_and(|error| error.contains("does not exist"))), "{other:?}");
        assert_eq!(twice(&fixture, &start).await, [None, None]);
    }
    assert_eq!(fixture.get("flow-service", "done").await.unwrap().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn another_request_under_the_id_of_one_that_was_done_is_carried_out() {
    let fixture = prepared().await;
    let _service = fixture.serve(quick()).await;
    for flow in ["one", "two"] {
        fixture.start(flow, json!({"size": 1})).await.unwrap();
    }
    let topic = "response:tg:flow".parse().unwrap();
    let answers = fixture.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    let producer = fixture.backend.producer(&"request:tg:flow".parse().unwrap()).await.unwrap();
    let id = MessageId::random(&mut rand::rng());
    for flow in ["one", "two"] {
        let stop = json!({"operation": "stop-flow", "flow_id": flow});
        let message = Message { id: Some(id), ..Message::new(stop.to_string()).with(CORRELATION_ID, flow) };
        producer.publish_confirmed(message).await.unwrap();
        let answer = within_deadline(answers.receive()).await.unwrap();
        let response: Response = serde_json::from_slice(&answer.message.body).unwrap();
        assert_eq!(response.error, None);
        assert_eq!(fixture.get("flow", flow).await, None, "flow `{flow}` still runs");
    }
}

#[tokio::test]
async fn a_redelivered_swap_does_not_undo_a_later_one() {
    let fixture = prepared().await;
    let mut newer = splitter_record();
    newer["digest"] = json!(format!("sha256:{}", "cd".repeat(32)));
    fixture.put("component", "splitter@2.0.0", &newer).await;
    let _service = fixture.serve(quick()).await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    let (topic, producer) =
        ("response:tg:flow".parse().unwrap(), fixture.backend.producer(&"request:tg:flow".parse().unwrap()).await.unwrap());
    let answers = fixture.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    let (first, second) = (MessageId::random(&mut rand::rng()), MessageId::random(&mut rand::rng()));
    let mut outcomes = Vec::new();
    for (id, version) in [(first, "2.0.0"), (second, "1.0.0"), (first, "2.0.0"), (second, "1.0.0")] {
        let swap = json!({"operation": "swap", "flow_id": "one", "processor": "splitter", "component": format!("splitter@{version}")});
        let message = Message { id: Some(id), ..Message::new(swap.to_string()).with(CORRELATION_ID, "swap") };
        producer.publish_confirmed(message).await.unwrap();
        let answer = within_deadline(answers.receive()).await.unwrap();
        let response: Response = serde_json::from_slice(&answer.message.body).unwrap();
        let version = fixture.get("processor:splitter", "one").await.unwrap()["component"]["version"].clone();
        outcomes.push((response.error.map(|error| error.message), version));
    }
    let expected = ["2.0.0", "1.0.0", "1.0.0", "1.0.0"].map(|version| (None, json!(version)));
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn a_redelivered_stop_finished_by_the_next_service_is_answered_as_done() {
    let fixture = prepared().await;
    let service = fixture.serve(quick()).await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    within_deadline(service.stop()).await;
    // The state left by a service that is killed during a stop.
    let mut record = fixture.get("flow", "one").await.unwrap();
    (record["status"], record["stop-request"]) = (json!("stopping"), json!("00000000000000000000000000000007"));
    fixture.put("flow", "one", &record).await;
    let _service = fixture.serve(quick()).await;
    until(async || fixture.get("flow", "one").await.is_none()).await;
    assert_eq!(fixture.get("flow-service", "done").await, Some(json!(["00000000000000000000000000000007"])));
}

#[tokio::test]
async fn the_last_stops_are_remembered() {
    let fixture = prepared().await;
    let many: Vec<String> = (0..512).map(|number| format!("{number:032x}")).collect();
    fixture.put("flow-service", "done", &json!(many)).await;
    let _service = fixture.serve(quick()).await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    within_deadline(fixture.flows.stop_flow("one")).await.unwrap();
    let done = fixture.get("flow-service", "done").await.unwrap();
    let done = done.as_array().unwrap();
    assert_eq!((done.len(), done[0].as_str()), (512, Some(&*many[1])));
}

#[tokio::test]
async fn the_lock_is_free_once_the_service_has_ended() {
    let fixture = prepared().await;
    let lock = FLOW_SERVICE.lock("tg").unwrap();
    let service = fixture.serve(quick()).await;
    assert!(fixture.broker.lock_holder(&lock).await.unwrap().is_some());
    within_deadline(service.stop()).await;
    assert_eq!(fixture.broker.lock_holder(&lock).await.unwrap(), None);
}
