//! The services' own topics: no flow reads the requests to them, and another subscription to these requests does not block the services.

use serde_json::json;
use weir_pubsub::{Backend, BrowseStart, Delete, Inspect, Message, PubsubError, Queue};
use weir_tests::look::put;

use super::support::{FlowFixture, names, spec, within_deadline};

/// Fills one queue, bypassing the others of its topic, from another queue.
async fn fill(fixture: &FlowFixture, queue: &Queue) {
    let from = spec("flow:tg:filler", "filler");
    fixture.broker.create_queue(&from).await.unwrap();
    put(&*fixture.broker, &from.queue, Message::new("x")).await.unwrap();
    for bytes in [1 << 20, 1 << 14, 64] {
        for sent in 0.. {
            let page = fixture.broker.browse(&from.queue, BrowseStart::Oldest, 1, 0).await.unwrap();
            let message = Message::new(vec![b'x'; bytes]);
            match within_deadline(fixture.broker.redrive(&from.queue, &page.messages[0].named(), queue, message)).await {
                Ok(moved) => assert!(moved && sent < 1000, "the queue never fills"),
                Err(PubsubError::QueueFull { .. }) => break,
                Err(error) => panic!("{error}"),
            }
            put(&*fixture.broker, &from.queue, Message::new("x")).await.unwrap();
        }
    }
    fixture.broker.delete_queue(&from.queue, Delete::Always).await.unwrap();
}

#[tokio::test]
async fn a_full_subscription_to_the_requests_of_the_services_does_not_block_them() {
    let (fixture, _service) = FlowFixture::ready().await;
    for topic in ["request:tg:config", "request:tg:flow"] {
        let other = spec(topic, "spy--one--input");
        fixture.broker.create_queue(&other).await.unwrap();
        fill(&fixture, &other.queue).await;
    }
    fixture.put("prompt", "greeting", &json!("hello")).await;
    assert_eq!(fixture.get("prompt", "greeting").await, Some(json!("hello")));
    fixture.start("one", json!({"size": 1})).await.unwrap();
    within_deadline(fixture.flows.stop_flow("one")).await.unwrap();
}

#[tokio::test]
async fn a_blueprint_that_consumes_the_requests_to_a_service_does_not_start() {
    let (fixture, _service) = FlowFixture::ready().await;
    let before = fixture.queues();
    for (topic, service) in [("request:tg:config", "config"), ("request:tg:flow", "flow")] {
        let blueprint = json!({"blueprint": {}, "flow": {"spy:{id}": {"topics": {"input": topic}}}});
        fixture.flows.put_blueprint("spying", &blueprint.to_string()).await.unwrap();
        let error = fixture.start_on("spying", "s", json!({})).await.unwrap_err().to_string();
        assert!(error.contains(&format!("consumes `{topic}`, which only the {service} service may read")), "{error}");
    }
    assert_eq!((fixture.queues(), fixture.get("flow", "s").await), (before, None));
    let topics = json!({"output": "request:tg:config", "input": "notify:tg:config", "answer-input": "response:tg:flow"});
    let blueprint = json!({"blueprint": {}, "flow": {"asking:{id}": {"topics": topics}}});
    fixture.flows.put_blueprint("asking", &blueprint.to_string()).await.unwrap();
    fixture.start_on("asking", "a", json!({})).await.unwrap();
    assert_eq!(fixture.queues(), names(&[]), "it needs no queue");
}
