//! A broker that counts nothing and does not support limits of queues: services work with it, and never treat an unknown count as zero.

use serde_json::json;
use weir_config::Batch;
use weir_flow::{FlowError, StartFlow};
use weir_pubsub::{Backend, Consumer, ConsumerOptions, Message, Overflow, Queue, QueueSpec, create_bounded, ensure_bounded};

use super::fixture::WeirFixture;
use super::gateway::Gateway;
use super::lines::Lines;

/// A message in a queue, held by a consumer.
async fn hold(fixture: &WeirFixture, queue: &Queue) -> Box<dyn Consumer> {
    fixture.broker.producer(queue.topic()).await.unwrap().publish_confirmed(Message::new("1")).await.unwrap();
    let reader = fixture.broker.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    reader.readable().await.unwrap();
    reader
}

fn letters() -> Queue {
    Queue::new("flow:tg:weir-dead-letters".parse().unwrap(), "weir".parse().unwrap()).unwrap()
}

fn names(fixture: &WeirFixture) -> Vec<String> {
    fixture.broker.queues().into_iter().map(|(queue, _)| queue.wire_name()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_start_and_exits_are_created_without_queue_bounds() {
    let fixture = WeirFixture::plain().await;
    assert!(names(&fixture).contains(&"tg.flow.weir-dead-letters.weir".to_owned()));
    fixture
        .deploy("echo", &json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}), &json!({"out": {"flow": "flow:tg:out:{id}"}}))
        .await;
    fixture.start("echo", "one").await;
    assert!(names(&fixture).contains(&"tg.flow.out:one.gateway--one--out".to_owned()), "{:?}", names(&fixture));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_queue_with_a_possible_reader_is_deleted_only_once_empty() {
    let fixture = WeirFixture::plain().await;
    let queue = |name: &str| Queue::new(format!("flow:tg:{name}").parse().unwrap(), "p--v--input".parse().unwrap()).unwrap();
    let (full, empty) = (queue("a"), queue("b"));
    let mut batch = Batch::new();
    for queue in [&full, &empty] {
        fixture.broker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        let record = json!({"topic": queue.topic().as_str(), "subscription": queue.subscription().as_str()});
        batch = batch.put("leftover", queue.wire_name(), record.to_string());
    }
    fixture.broker.producer(full.topic()).await.unwrap().publish_confirmed(Message::new("1")).await.unwrap();
    let reader = fixture.broker.consumer(full.topic(), full.subscription(), ConsumerOptions::default()).await.unwrap();
    let held = reader.receive().await.unwrap();
    fixture.config.apply(batch).await.unwrap();
    // They are tried in order of their names, so the first one has been tried when the second one is gone.
    fixture.until("the empty queue is deleted", async || !names(&fixture).contains(&empty.wire_name())).await;
    assert!(names(&fixture).contains(&full.wire_name()), "it is read");
    fixture.broker.settle(&held.receipt, Vec::new()).await.unwrap();
    fixture.until("the queue is deleted once it is empty", async || !names(&fixture).contains(&full.wire_name())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_does_not_start_with_a_leftover_queue_that_may_have_a_reader() {
    let fixture = WeirFixture::plain().await;
    let topics = json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"});
    fixture.deploy("echo", &topics, &json!({"out": {"flow": "flow:tg:out:{id}"}})).await;
    let queue = Queue::new("flow:tg:in:one".parse().unwrap(), "echo--one--input".parse().unwrap()).unwrap();
    fixture.broker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let reader = hold(&fixture, &queue).await;
    let record = json!({"topic": queue.topic().as_str(), "subscription": queue.subscription().as_str()});
    fixture.config.apply(Batch::new().put("leftover", queue.wire_name(), record.to_string())).await.unwrap();
    let flow = StartFlow { id: "one".to_owned(), blueprint: "echo".to_owned(), ..StartFlow::default() };
    let refused = fixture.flows.start_flow(flow).await.unwrap_err();
    assert!(matches!(&refused, FlowError::Answered { message, .. } if message.contains("left over from an earlier stop")), "{refused}");
    let held = reader.receive().await.unwrap();
    fixture.broker.settle(&held.receipt, Vec::new()).await.unwrap();
    fixture.start("echo", "one").await;
    assert!(names(&fixture).contains(&queue.wire_name()));
}

#[tokio::test(flavor = "multi_thread")]
async fn uncountable_dead_letters_in_flight_are_reported_by_redrive_and_delete() {
    let fixture = WeirFixture::plain().await;
    let gateway = Gateway::over(&fixture).await;
    let _reader = hold(&fixture, &letters()).await;
    for operation in ["redrive", "delete"] {
        let path = format!("/api/v1/weir/dead-letters/{operation}");
        let answer = fixture.until_some("an answer", async || gateway.post(&path, &json!({"all": true})).await).await;
        let answer: serde_json::Value = answer.json().await.unwrap();
        let failure = &answer["failures"][0];
        assert_eq!(failure["type"], "in-progress", "{answer}");
        assert!(failure["message"].as_str().unwrap().contains("could not be counted"), "{answer}");
    }
}

// In one thread, whose log is captured.
#[tokio::test]
async fn an_empty_configuration_beside_an_unknown_number_of_dead_letters_is_logged() {
    let fixture = WeirFixture::plain().await;
    let (lines, _logged) = Lines::of_this_thread();
    weir_gateway::warn_of_unowned_queues(&*fixture.cutting, &fixture.config, "tg").await;
    let found = lines.take("configuration empty");
    assert!(found.len() == 1 && found[0].contains("does not count dead letters"), "{found:?}");
    // The same queue, counted: it is empty.
    weir_gateway::warn_of_unowned_queues(&*fixture.broker, &fixture.config, "tg").await;
    assert_eq!(lines.take("configuration empty"), [""; 0]);
    let _reader = hold(&fixture, &letters()).await;
    weir_gateway::warn_of_unowned_queues(&*fixture.broker, &fixture.config, "tg").await;
    let found = lines.take("configuration empty");
    assert!(found.len() == 1 && found[0].contains("but the queues are not"), "{found:?}");
}

// In one thread, whose log is captured.
#[tokio::test]
async fn an_unsupported_bound_is_logged_once_per_queue() {
    let fixture = WeirFixture::plain().await;
    let (lines, _logged) = Lines::of_this_thread();
    for name in ["bounded-a", "bounded-b", "bounded-a"] {
        let queue = Queue::new(format!("flow:tg:{name}").parse().unwrap(), "s".parse().unwrap()).unwrap();
        let spec = QueueSpec { queue, overflow: Overflow::Refuse { bytes: 100 } };
        create_bounded(&*fixture.cutting, &spec).await.unwrap();
        ensure_bounded(&*fixture.cutting, &spec).await.unwrap();
    }
    let found = lines.take("queue limit not supported");
    let found: Vec<&String> = found.iter().filter(|line| line.contains("bounded-")).collect();
    assert!(found.len() == 2 && found[0].contains("bounded-a") && found[1].contains("bounded-b"), "{found:?}");
}
