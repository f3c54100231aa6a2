//! A broker that counts nothing and does not support bounds of queues: services work with it, and take nothing unknown for nothing.

use serde_json::json;
use weir_config::Batch;
use weir_pubsub::{Backend, ConsumerOptions, Message, Queue, QueueSpec};

use super::place::Place;

fn names(place: &Place) -> Vec<String> {
    place.broker.queues().into_iter().map(|(queue, _)| queue.wire_name()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_bounds_of_queues_the_services_start_and_exits_are_made() {
    let place = Place::plain().await;
    assert!(names(&place).contains(&"tg.flow.weir-dead-letters.weir".to_owned()));
    place
        .deploy("echo", &json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}), &json!({"out": {"flow": "flow:tg:out:{id}"}}))
        .await;
    place.start("echo", "one").await;
    assert!(names(&place).contains(&"tg.flow.out:one.gateway--one--out".to_owned()), "{:?}", names(&place));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_queue_that_may_be_read_is_deleted_only_once_it_is_empty() {
    let place = Place::plain().await;
    let queue = |name: &str| Queue::new(format!("flow:tg:{name}").parse().unwrap(), "p--v--input".parse().unwrap()).unwrap();
    let (full, empty) = (queue("a"), queue("b"));
    let mut batch = Batch::new();
    for queue in [&full, &empty] {
        place.broker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        let record = json!({"topic": queue.topic().as_str(), "subscription": queue.subscription().as_str()});
        batch = batch.put("leftover", &queue.wire_name(), record.to_string());
    }
    place.broker.producer(full.topic()).await.unwrap().publish_confirmed(Message::new("1")).await.unwrap();
    let reader = place.broker.consumer(full.topic(), full.subscription(), ConsumerOptions::default()).await.unwrap();
    let held = reader.receive().await.unwrap();
    place.config.apply(batch).await.unwrap();
    // They are tried in order of their names, so the first one was tried when the second one is gone.
    place.until("the empty queue is deleted", async || !names(&place).contains(&empty.wire_name())).await;
    assert!(names(&place).contains(&full.wire_name()), "it is read");
    place.broker.settle(&held.receipt, Vec::new()).await.unwrap();
    place.until("the queue is deleted once it is empty", async || !names(&place).contains(&full.wire_name())).await;
}
