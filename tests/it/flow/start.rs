//! Starting flows.

use serde_json::json;
use weir_flow::{FlowError, StartFlow};
use weir_pubsub::{Delete, Overflow, QueueSpec};
use weir_tests::look::figures;

use super::support::{FlowFixture, SHARED_QUEUE, names, queues_of, quick, spec};

#[tokio::test]
async fn a_start_creates_exactly_the_consumed_queues_the_exits_and_the_entries() {
    let (fixture, _service) = FlowFixture::ready().await;
    let notifies = fixture.notifies().await;
    let before = fixture.config.version().await.unwrap();
    let notes = fixture.start("one", json!({"size": 100, "unit": "word"})).await.unwrap();
    assert_eq!(notes.len(), 1, "the directions of the counter were assumed: {notes:?}");
    let [input, exit] = queues_of("one");
    assert_eq!(fixture.queues(), names(&[SHARED_QUEUE, &input, &exit]));
    let digest = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(
        fixture.get("processor:splitter", "one").await.unwrap(),
        json!({
            "topics": {"input": "flow:tg:text:one", "output": "flow:tg:chunks:one", "counts": "flow:tg:counts:text"},
            "parameters": {"size": "100"}, "flow": "one",
            "component": {"name": "splitter", "version": "1.0.0", "digest": digest}, "consumed": ["counts", "output"]
        })
    );
    assert_eq!(
        fixture.get("processor:counter", "text").await.unwrap(),
        json!({"topics": {"input": "flow:tg:counts:text"}, "parameters": {"unit": "word"}})
    );
    assert_eq!(fixture.get("flow", "one").await.unwrap().get("status"), None);
    assert_eq!(fixture.made().await, names(&[SHARED_QUEUE, &input, &exit]), "each queue that was made is recorded");
    // The announcement, then the entries and the running record in one step.
    let (first, second) = (notifies.next().await, notifies.next().await);
    assert_eq!((first.version, first.types), (before + 1, vec!["flow".to_owned(), "queue-made".to_owned()]));
    let types = ["flow", "processor:counter", "processor:splitter"].map(str::to_owned).to_vec();
    assert_eq!((second.version, second.types), (before + 2, types));
    assert_eq!(fixture.config.version().await.unwrap(), before + 2);
}

#[tokio::test]
async fn exits_keep_results_up_to_their_bound_and_may_be_disabled() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("kept", json!({"size": 1})).await.unwrap();
    fixture.send("flow:tg:chunks:kept", "1").await;
    let queue = spec("flow:tg:chunks:kept", "gateway--kept--chunks").queue;
    assert_eq!(figures(&*fixture.backend, &queue).await.unwrap().depth_count, 1);
    let bounded = QueueSpec { queue, overflow: Overflow::DropOldest { bytes: 64 << 20 } };
    fixture.backend.create_queue(&bounded).await.unwrap();
    let parameters = serde_json::from_value(json!({"size": 1})).unwrap();
    let flow = StartFlow { id: "dropped".to_owned(), blueprint: "text".to_owned(), parameters, drop_exits: true, ..StartFlow::default() };
    fixture.flows.start_flow(flow).await.unwrap();
    assert!(!fixture.queues().contains(&queues_of("dropped")[1]));
    assert_eq!(fixture.get("processor:splitter", "dropped").await.unwrap()["consumed"], json!(["counts"]));
}

#[tokio::test]
async fn a_start_that_fails_halfway_is_undone() {
    let (fixture, _service) = FlowFixture::ready().await;
    let odd = QueueSpec { overflow: Overflow::DropOldest { bytes: 5000 }, ..spec("flow:tg:text:one", "splitter--one--input") };
    fixture.backend.create_queue(&odd).await.unwrap();
    let before = (fixture.everything().await, fixture.queues());
    let error = fixture.start("one", json!({"size": 1})).await.unwrap_err();
    assert!(error.to_string().contains("splitter--one--input of flow:tg:text:one exists with other properties"), "{error}");
    assert_eq!((fixture.everything().await, fixture.queues()), before, "the queue that was there stays, all others are gone");
    fixture.backend.delete_queue(&odd.queue, Delete::Always).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
}

#[tokio::test]
async fn undoing_a_start_keeps_what_others_use() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("other", json!({"size": 1})).await.unwrap();
    let odd = QueueSpec { overflow: Overflow::DropOldest { bytes: 5000 }, ..spec("flow:tg:text:one", "splitter--one--input") };
    fixture.backend.create_queue(&odd).await.unwrap();
    let before = (fixture.everything().await, fixture.queues());
    fixture.start("one", json!({"size": 1})).await.unwrap_err();
    assert_eq!((fixture.everything().await, fixture.queues()), before);
}

#[tokio::test]
async fn only_one_of_two_simultaneous_starts_with_the_same_id_succeeds() {
    let (fixture, _service) = FlowFixture::ready().await;
    let (a, b) = tokio::join!(fixture.start("one", json!({"size": 1})), fixture.start("one", json!({"size": 2})));
    let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
    won.unwrap();
    assert!(
        matches!(&lost, Err(FlowError::Answered { kind, message }) if kind == "flow-error" && message.contains("already exists")),
        "{lost:?}"
    );
    let [input, exit] = queues_of("one");
    assert_eq!(fixture.queues(), names(&[SHARED_QUEUE, &input, &exit]));
}

#[tokio::test]
async fn many_flows_start_and_stop_concurrently() {
    let (fixture, _service) = FlowFixture::ready().await;
    let ids: Vec<String> = (0..20).map(|at| format!("f{at}")).collect();
    let started = futures_util::future::join_all(ids.iter().map(|id| fixture.start(id, json!({"size": 1})))).await;
    started.into_iter().for_each(|started| drop(started.unwrap()));
    assert_eq!(fixture.queues().len(), 41);
    let stopped = futures_util::future::join_all(ids.iter().map(|id| fixture.flows.stop_flow(id))).await;
    stopped.into_iter().for_each(|notes| assert!(notes.unwrap().is_empty()));
    assert_eq!(fixture.queues().len(), 0);
    assert!(fixture.flows.list_flows().await.unwrap().is_empty());
    assert!(!fixture.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
}

#[tokio::test]
async fn a_start_removes_leftovers_and_begins_with_an_empty_queue() {
    let (fixture, service) = FlowFixture::ready().await;
    service.stop().await;
    let old = spec("flow:tg:text:one", "splitter--one--input");
    fixture.backend.create_queue(&old).await.unwrap();
    fixture.send("flow:tg:text:one", "old").await;
    // A reader keeps the service from deleting it on its own.
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    let leftover = json!({"topic": "flow:tg:text:one", "subscription": "splitter--one--input"});
    fixture.put("leftover", &old.queue.wire_name(), &leftover).await;
    let _service = fixture.serve(quick()).await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    drop(reader);
    assert_eq!(figures(&*fixture.backend, &old.queue).await.unwrap().depth_count, 0);
    assert_eq!(fixture.get("leftover", &old.queue.wire_name()).await, None);
}

#[tokio::test]
async fn a_flow_of_a_thousand_processors_starts_and_stops() {
    let (fixture, _service) = FlowFixture::ready().await;
    let processors: serde_json::Map<String, serde_json::Value> =
        (0..1000).map(|at| (format!("p{at}:{{id}}"), json!({"topics": {"input": format!("flow:tg:t{at}:{{id}}")}}))).collect();
    fixture.flows.put_blueprint("wide", &json!({"blueprint": {}, "flow": processors}).to_string()).await.unwrap();
    let notes = fixture.start_on("wide", "w", json!({})).await.unwrap();
    assert_eq!((notes.len(), notes.last().unwrap().as_str()), (51, "and 950 more"));
    assert_eq!(fixture.queues().len(), 1000);
    fixture.flows.stop_flow("w").await.unwrap();
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_flow_that_is_too_large_is_refused_before_anything_is_created() {
    let (fixture, _service) = FlowFixture::ready().await;
    let processors: serde_json::Map<String, serde_json::Value> =
        (0..10_000).map(|at| (format!("p{at}:{{id}}"), json!({"topics": {"input": format!("flow:tg:t{at}:{{id}}")}}))).collect();
    fixture.flows.put_blueprint("wide", &json!({"blueprint": {}, "flow": processors}).to_string()).await.unwrap();
    let before = fixture.everything().await;
    let error = fixture.start_on("wide", "w", json!({})).await.unwrap_err().to_string();
    assert!(
        error.contains("would have 10000 processors, too many for one configuration write: split the blueprint into several"),
        "{error}"
    );
    assert_eq!((fixture.everything().await, fixture.queues().len()), (before, 0));
}
