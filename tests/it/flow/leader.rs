//! One flow service leads: another one stands by, and what one that was overtaken still does has no effect.

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
use super::support::{Bench, blueprint, queues_of, quick, soon, splitter_record, until};

async fn prepared() -> Bench {
    let bench = Bench::new().await;
    bench.put("component", "splitter@1.0.0", &splitter_record()).await;
    bench.put("flow-blueprint", "text", &blueprint()).await;
    bench
}

async fn serve_over(backend: Arc<dyn Backend>, settings: FlowSettings) -> Result<FlowService, FlowError> {
    let config = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
    soon(FlowService::start(backend, config, "tg", settings)).await
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

async fn leader(bench: &Bench) -> Option<Value> {
    bench.get("flow-service", "leader").await
}

#[tokio::test]
async fn whoever_leads_writes_an_id_of_its_own() {
    let bench = prepared().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let service = serve_over(Cutting::over(bench.backend.clone()), quick()).await.unwrap();
        ids.push(leader(&bench).await.unwrap().as_str().unwrap().to_owned());
        soon(service.stop()).await;
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[tokio::test]
async fn a_service_that_loses_its_lock_stands_by_while_another_has_it_and_leads_again_after_it() {
    let bench = prepared().await;
    let (one, two) = (Cutting::over(bench.backend.clone()), Cutting::over(bench.backend.clone()));
    let _first = serve_over(one.clone(), quick()).await.unwrap();
    let held = serve_over(two.clone(), quick()).await.map(|_| ()).unwrap_err();
    assert!(matches!(&held, FlowError::Held { .. }), "{held}");
    bench.start("one", json!({"size": 1})).await.unwrap();
    let first_id = leader(&bench).await;
    one.down();
    let second = take_over(&two).await;
    let second_id = leader(&bench).await;
    assert_ne!(first_id, second_id);
    one.up();
    bench.start("two", json!({"size": 1})).await.unwrap();
    assert_eq!(bench.flows.list_flows().await.unwrap(), ["one", "two"]);
    assert_eq!(leader(&bench).await, second_id, "the first stands by");
    soon(second.stop()).await;
    until(async || leader(&bench).await != second_id).await;
    for flow in ["one", "two"] {
        soon(bench.flows.stop_flow(flow)).await.unwrap();
    }
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn operations_are_dropped_with_the_lock_and_the_next_service_answers_them() {
    let bench = prepared().await;
    let (one, two) = (Cutting::over(bench.backend.clone()), Cutting::over(bench.backend.clone()));
    // Its stop waits for a reader for as long as this test.
    let _first = serve_over(one.clone(), FlowSettings { stop_wait: Duration::from_secs(600), ..quick() }).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    let reader = bench.reader("flow:tg:text:one", "splitter--one--input").await;
    let flows = bench.flows.clone();
    let stop = tokio::spawn(async move { flows.stop_flow("one").await });
    until(async || bench.get("flow", "one").await.is_some_and(|flow| flow["status"] == "stopping")).await;
    one.down();
    let _second = take_over(&two).await;
    drop(reader);
    soon(stop).await.unwrap().unwrap();
    assert_eq!(bench.get("flow", "one").await, None);
    assert!(bench.queues().is_empty());
    // The first has nothing left to do when it is back.
    one.up();
    bench.start("one", json!({"size": 1})).await.unwrap();
    assert_eq!(bench.flows.list_flows().await.unwrap(), ["one"]);
}

#[tokio::test]
async fn a_service_that_was_overtaken_without_notice_writes_nothing_and_leaves_its_requests_to_the_other() {
    let bench = prepared().await;
    let settings = FlowSettings { resume_every: Duration::from_secs(3600), ..quick() };
    let first = serve_over(Cut::pretending(bench.backend.clone()), settings.clone()).await.unwrap();
    bench.start("zero", json!({"size": 1})).await.unwrap();
    let second = loop {
        match serve_over(Cut::pretending(bench.backend.clone()), settings.clone()).await {
            // The first one took its turn meanwhile.
            Err(FlowError::Fenced) => {}
            begun => break begun.unwrap(),
        }
    };
    let second_id = leader(&bench).await;
    // Both take requests. What the first one takes it cannot write: it learns so, gives the request back, and takes its turn to lead, which
    // overtakes the second in turn.
    for round in 0..10 {
        let id = format!("flow-{round}");
        bench.start(&id, json!({"size": 1})).await.unwrap();
        soon(bench.flows.stop_flow(&id)).await.unwrap();
    }
    assert_ne!(leader(&bench).await, second_id, "both led at some time");
    assert!(first.is_running() && second.is_running());
    let mut expected: Vec<String> = queues_of("zero").to_vec();
    expected.push(super::support::SHARED_QUEUE.to_owned());
    assert_eq!(bench.queues(), expected.into_iter().collect());
    assert_eq!(bench.flows.list_flows().await.unwrap(), ["zero"]);
}

/// Sends one request twice, as one message that is delivered again; the error of each answer.
async fn twice(bench: &Bench, request: &Value) -> [Option<String>; 2] {
    let topic = "response:tg:flow".parse().unwrap();
    let answers = bench.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    let producer = bench.backend.producer(&"request:tg:flow".parse().unwrap()).await.unwrap();
    let id = MessageId::random(&mut rand::rng());
    let mut errors = Vec::new();
    for _ in 0..2 {
        let message = Message { id: Some(id), ..Message::new(request.to_string()).with(CORRELATION_ID, "twice") };
        producer.publish_confirmed(message).await.unwrap();
        let answer = soon(answers.receive()).await.unwrap();
        let response: Response = serde_json::from_slice(&answer.message.body).unwrap();
        errors.push(response.error.map(|error| error.message));
    }
    errors.try_into().unwrap()
}

#[tokio::test]
async fn a_request_that_was_done_is_answered_so_when_it_is_delivered_again() {
    let bench = prepared().await;
    let _service = bench.serve(quick()).await;
    let start =
        json!({"operation": "start-flow", "flow_id": "one", "blueprint_name": "text", "description": "", "parameters": {"size": 1}});
    assert_eq!(twice(&bench, &start).await, [None, None]);
    let other = twice(&bench, &start).await;
    assert!(other.iter().all(|error| error.as_ref().is_some_and(|error| error.contains("already exists"))), "{other:?}");
    for backlog in ["refuse", "discard"] {
        let stop = json!({"operation": "stop-flow", "flow_id": "one", "backlog": backlog});
        assert_eq!(twice(&bench, &stop).await, [None, None]);
        let other = twice(&bench, &stop).await;
        assert!(other.iter().all(|error| error.as_ref().is_some_and(|error| error.contains("does not exist"))), "{other:?}");
        assert_eq!(twice(&bench, &start).await, [None, None]);
    }
    assert_eq!(bench.get("flow-service", "done").await.unwrap().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn another_request_under_the_id_of_one_that_was_done_is_carried_out() {
    let bench = prepared().await;
    let _service = bench.serve(quick()).await;
    for flow in ["one", "two"] {
        bench.start(flow, json!({"size": 1})).await.unwrap();
    }
    let topic = "response:tg:flow".parse().unwrap();
    let answers = bench.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    let producer = bench.backend.producer(&"request:tg:flow".parse().unwrap()).await.unwrap();
    let id = MessageId::random(&mut rand::rng());
    for flow in ["one", "two"] {
        let stop = json!({"operation": "stop-flow", "flow_id": flow});
        let message = Message { id: Some(id), ..Message::new(stop.to_string()).with(CORRELATION_ID, flow) };
        producer.publish_confirmed(message).await.unwrap();
        let answer = soon(answers.receive()).await.unwrap();
        let response: Response = serde_json::from_slice(&answer.message.body).unwrap();
        assert_eq!(response.error, None);
        assert_eq!(bench.get("flow", flow).await, None, "flow `{flow}` still runs");
    }
}

#[tokio::test]
async fn a_swap_that_is_delivered_again_does_not_undo_a_later_one() {
    let bench = prepared().await;
    let mut newer = splitter_record();
    newer["digest"] = json!(format!("sha256:{}", "cd".repeat(32)));
    bench.put("component", "splitter@2.0.0", &newer).await;
    let _service = bench.serve(quick()).await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    let (topic, producer) =
        ("response:tg:flow".parse().unwrap(), bench.backend.producer(&"request:tg:flow".parse().unwrap()).await.unwrap());
    let answers = bench.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    let (first, second) = (MessageId::random(&mut rand::rng()), MessageId::random(&mut rand::rng()));
    let mut outcomes = Vec::new();
    for (id, version) in [(first, "2.0.0"), (second, "1.0.0"), (first, "2.0.0"), (second, "1.0.0")] {
        let swap = json!({"operation": "swap", "flow_id": "one", "processor": "splitter", "component": format!("splitter@{version}")});
        let message = Message { id: Some(id), ..Message::new(swap.to_string()).with(CORRELATION_ID, "swap") };
        producer.publish_confirmed(message).await.unwrap();
        let answer = soon(answers.receive()).await.unwrap();
        let response: Response = serde_json::from_slice(&answer.message.body).unwrap();
        let version = bench.get("processor:splitter", "one").await.unwrap()["component"]["version"].clone();
        outcomes.push((response.error.map(|error| error.message), version));
    }
    let expected = ["2.0.0", "1.0.0", "1.0.0", "1.0.0"].map(|version| (None, json!(version)));
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn a_stop_that_the_next_service_finished_is_answered_so_when_it_is_delivered_again() {
    let bench = prepared().await;
    let service = bench.serve(quick()).await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    soon(service.stop()).await;
    // As a service leaves it that is killed in a stop.
    let mut record = bench.get("flow", "one").await.unwrap();
    (record["status"], record["stop-request"]) = (json!("stopping"), json!("00000000000000000000000000000007"));
    bench.put("flow", "one", &record).await;
    let _service = bench.serve(quick()).await;
    until(async || bench.get("flow", "one").await.is_none()).await;
    assert_eq!(bench.get("flow-service", "done").await, Some(json!(["00000000000000000000000000000007"])));
}

#[tokio::test]
async fn the_last_stops_are_remembered() {
    let bench = prepared().await;
    let many: Vec<String> = (0..512).map(|number| format!("{number:032x}")).collect();
    bench.put("flow-service", "done", &json!(many)).await;
    let _service = bench.serve(quick()).await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    soon(bench.flows.stop_flow("one")).await.unwrap();
    let done = bench.get("flow-service", "done").await.unwrap();
    let done = done.as_array().unwrap();
    assert_eq!((done.len(), done[0].as_str()), (512, Some(&*many[1])));
}

#[tokio::test]
async fn the_lock_is_free_once_the_service_has_ended() {
    let bench = prepared().await;
    let lock = FLOW_SERVICE.lock("tg").unwrap();
    let service = bench.serve(quick()).await;
    assert!(bench.broker.lock_holder(&lock).await.unwrap().is_some());
    soon(service.stop()).await;
    assert_eq!(bench.broker.lock_holder(&lock).await.unwrap(), None);
}
