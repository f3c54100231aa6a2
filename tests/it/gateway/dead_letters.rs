//! `POST dead-letters/redrive` and `.../delete`: what is sent, what stays and why, and two calls at the same time.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use weir_pubsub::embedded::EmbeddedOptions;
use weir_pubsub::{Backend, ConsumerOptions, Message, MessageId, Queue, QueueSpec};
use weir_tests::look;

use super::fixture::{GatewayFixture, answer, error_of, settings};

const REDRIVE: &str = "/api/v1/weir/dead-letters/redrive";
const DELETE: &str = "/api/v1/weir/dead-letters/delete";

fn queue(topic: &str, subscription: &str) -> Queue {
    Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap()
}

fn dead_letters() -> Queue {
    queue("flow:tg:weir-dead-letters", "weir")
}

fn letter(id: u128, topic: &str, subscription: &str) -> Message {
    let message = Message { id: Some(MessageId(id)), content_type: Some("text/plain".into()), ..Message::new(format!("body {id}")) };
    message
        .with("colour", "red")
        .with("weir-dead-topic", topic)
        .with("weir-dead-subscription", subscription)
        .with("weir-dead-error", "reject")
        .with("weir-dead-reason", "no page")
        .with("weir-dead-time", "1795876703000")
        .with("weir-dead-component", "worker@1.0.0")
}

/// A letter of the worker of flow `one`.
fn of_one(id: u128) -> Message {
    letter(id, "flow:tg:in:one", "worker--one--input")
}

async fn put(fixture: &GatewayFixture, letters: impl IntoIterator<Item = Message>) {
    for letter in letters {
        look::put(&*fixture.backend, &dead_letters(), letter).await.unwrap();
    }
}

fn kinds(answer: &Value) -> Vec<(u64, &str)> {
    let failures = answer["failures"].as_array().unwrap_or_else(|| panic!("{answer}"));
    failures.iter().map(|failure| (failure["position"].as_u64().unwrap_or(0), failure["type"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_redriven_dead_letter_reaches_only_its_queue_as_the_original_message() {
    let fixture = GatewayFixture::with_flow().await;
    let other = queue("flow:tg:in:one", "other");
    fixture.backend.create_queue(&QueueSpec::new(other.clone())).await.unwrap();
    put(&fixture, [of_one(7)]).await;
    let (status, listed) = fixture.get("/api/v1/weir/dead-letters?flow=one&processor=worker").await;
    let shown = &listed["letters"][0];
    assert_eq!(
        (status, &shown["component"], &shown["time-ms"], &shown["flows"]),
        (200, &json!("worker@1.0.0"), &json!(1795876703000_u64), &json!(["one"]))
    );
    let (status, sent) = fixture.post(REDRIVE, &json!({"ids": [MessageId(7).to_string()]})).await;
    assert_eq!((status, &sent["redriven-count"], &sent["failed-count"]), (200, &json!(1), &json!(0)), "{sent}");
    let consumer =
        fixture.backend.consumer(other.topic(), &"worker--one--input".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    let delivery = consumer.receive().await.unwrap();
    let expected =
        Message { id: Some(MessageId(7)), content_type: Some("text/plain".into()), ..Message::new("body 7") }.with("colour", "red");
    assert_eq!((delivery.message, delivery.delivery_count.at_least()), (expected, 1));
    assert_eq!(fixture.depth("flow:tg:in:one", "other").await, 0);
    assert_eq!(fixture.depth("flow:tg:weir-dead-letters", "weir").await, 0);
}

#[tokio::test]
async fn each_dead_letter_that_cannot_be_sent_stays_and_is_reported() {
    let fixture = GatewayFixture::with_flow().await;
    let letters = [
        of_one(1),
        letter(2, "flow:tg:in:gone", "worker--gone--input"),
        Message::new("foreign"),
        of_one(4).with("weir-dead-cut", "body"),
        letter(5, "nonsense", "x"),
        letter(6, "flow:tg:weir-dead-letters", "weir"),
        letter(7, "request:tg:ask:one", "worker--one--request"),
        of_one(8),
    ];
    put(&fixture, letters).await;
    let (status, sent) = fixture.post(REDRIVE, &json!({"all": true})).await;
    assert_eq!((status, &sent["redriven-count"], &sent["failed-count"]), (200, &json!(2), &json!(6)), "{sent}");
    let expected = [(2, "queue-missing"), (3, "foreign"), (4, "incomplete"), (5, "foreign"), (6, "foreign"), (7, "foreign")];
    let mut found = kinds(&sent);
    found.sort_unstable();
    assert_eq!(found, expected);
    let gone = sent["failures"].as_array().unwrap().iter().find(|failure| failure["position"] == 2).unwrap();
    assert_eq!(
        (&gone["flows"], &gone["topic"], &gone["subscription"]),
        (&json!(["gone"]), &json!("flow:tg:in:gone"), &json!("worker--gone--input"))
    );
    assert_eq!(fixture.bodies("flow:tg:in:one", "worker--one--input").await, ["body 1", "body 8"]);
    assert_eq!(fixture.depth("flow:tg:weir-dead-letters", "weir").await, 6);
    let (_, deleted) = fixture.post(DELETE, &json!({"ids": [3, "5", 999]})).await;
    assert_eq!((&deleted["deleted-count"], kinds(&deleted)), (&json!(2), vec![(999, "not-found")]));
    let (_, deleted) = fixture.post(DELETE, &json!({"flow": "gone"})).await;
    assert_eq!((&deleted["deleted-count"], &deleted["failed-count"]), (&json!(1), &json!(0)));
    let (_, deleted) = fixture.post(DELETE, &json!({"all": true})).await;
    assert_eq!(deleted["deleted-count"], 3);
    assert_eq!(fixture.depth("flow:tg:weir-dead-letters", "weir").await, 0);
}

#[tokio::test]
async fn two_concurrent_redrives_send_each_dead_letter_once() {
    let fixture = GatewayFixture::with_flow().await;
    put(&fixture, (0..500).map(|id| of_one(id + 1))).await;
    let (all, flow) = (json!({"all": true}), json!({"flow": "one"}));
    let ((_, one), (_, other)) = tokio::join!(fixture.post(REDRIVE, &all), fixture.post(REDRIVE, &flow));
    let count = |answer: &Value| answer["redriven-count"].as_u64().unwrap();
    assert_eq!(count(&one) + count(&other), 500, "{one} {other}");
    assert!(kinds(&one).iter().chain(&kinds(&other)).all(|(_, kind)| *kind == "gone"));
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for body in fixture.bodies("flow:tg:in:one", "worker--one--input").await {
        *counts.entry(body).or_default() += 1;
    }
    assert!(counts.len() == 500 && counts.values().all(|count| *count == 1), "{counts:?}");
}

#[tokio::test]
async fn a_dead_letter_held_by_a_consumer_is_skipped_and_reported() {
    let fixture = GatewayFixture::with_flow().await;
    put(&fixture, [of_one(1)]).await;
    let topic = dead_letters().topic().clone();
    let consumer = fixture.backend.consumer(&topic, &"weir".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    let held = consumer.receive().await.unwrap();
    for (selector, kind) in
        [(json!({"all": true}), "in-progress"), (json!({"ids": [1]}), "not-found"), (json!({"flow": "one"}), "in-progress")]
    {
        let (status, sent) = fixture.post(REDRIVE, &selector).await;
        assert_eq!((status, &sent["redriven-count"], kinds(&sent)[0].1), (200, &json!(0), kind), "{sent}");
    }
    fixture.backend.requeue(&held.receipt).await.unwrap();
    drop(consumer);
    let (_, sent) = fixture.post(REDRIVE, &json!({"all": true})).await;
    assert_eq!(sent["redriven-count"], 1);
}

#[tokio::test]
async fn dead_letters_for_a_full_queue_stay_and_the_others_proceed() {
    let options = EmbeddedOptions { queue_high_bytes: 1 << 20, ..EmbeddedOptions::default() };
    let mut fixture = GatewayFixture::without_services(settings(), options).await;
    fixture.start_services().await;
    fixture.start_flow("one").await;
    fixture.start_flow("two").await;
    let large = |id: u128| Message { body: vec![b'x'; 600 << 10].into(), ..of_one(id) };
    put(&fixture, [large(1), large(2), letter(3, "flow:tg:in:two", "worker--two--input")]).await;
    let (_, sent) = fixture.post(REDRIVE, &json!({"all": true})).await;
    assert_eq!((&sent["redriven-count"], kinds(&sent)), (&json!(2), vec![(2, "queue-full")]), "{sent}");
    assert_eq!(fixture.depth("flow:tg:in:two", "worker--two--input").await, 1);
    assert_eq!(fixture.depth("flow:tg:weir-dead-letters", "weir").await, 1);
}

#[tokio::test]
async fn many_dead_letters_are_processed_in_batches_on_request() {
    let fixture = GatewayFixture::with_flow().await;
    put(&fixture, (0..1000).map(|id| of_one(id + 1))).await;
    let (_, first) = fixture.post(REDRIVE, &json!({"all": true, "limit": 100})).await;
    let count = first["redriven-count"].as_u64().unwrap();
    assert!((100..500).contains(&count), "{first}");
    assert_eq!((&first["next-after"], &first["through"]), (&json!(count), &json!(1000)));
    put(&fixture, [of_one(2000)]).await;
    let (_, rest) = fixture.post(REDRIVE, &json!({"all": true, "after": count, "through": first["through"]})).await;
    assert_eq!(rest["redriven-count"].as_u64(), Some(1000 - count));
    assert_eq!((rest.get("next-after"), fixture.depth("flow:tg:weir-dead-letters", "weir").await), (None, 1), "what came later is left");
}

#[tokio::test]
async fn a_list_of_large_dead_letters_is_paged() {
    let fixture = GatewayFixture::with_flow().await;
    let long = |id: u128| Message { body: vec![b'x'; 100 << 10].into(), ..of_one(id).with("weir-dead-reason", "y".repeat(8 << 10)) };
    put(&fixture, (0..300).map(|id| long(id + 1))).await;
    let (mut after, mut seen) = (0, 0);
    loop {
        let (_, page) = fixture.get(&format!("/api/v1/weir/dead-letters?limit=1000&after={after}")).await;
        let letters = page["letters"].as_array().unwrap();
        assert!(page.to_string().len() < 2 << 20);
        seen += letters.len();
        assert!(letters.iter().all(|letter| letter["body"].as_str().unwrap().len() == 2048 && letter["body-bytes"] == 100 << 10));
        let Some(next) = page["next-after"].as_u64() else { break };
        assert!(next > after);
        after = next;
    }
    assert_eq!(seen, 300);
}

#[tokio::test]
async fn an_unreadable_dead_letter_blocks_no_other() {
    let options = EmbeddedOptions { cached_bytes: 0, ..EmbeddedOptions::default() };
    let mut fixture = GatewayFixture::without_services(settings(), options).await;
    fixture.start_services().await;
    fixture.start_flow("one").await;
    put(&fixture, [of_one(1), Message { body: "damaged here".into(), ..of_one(2) }, of_one(3)]).await;
    let damaged = fixture.queue_files().into_iter().find_map(|path| {
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(12).position(|window| window == b"damaged here")?;
        bytes[at] ^= 1;
        Some((path, bytes))
    });
    let (path, bytes) = damaged.unwrap();
    fs::write(path, bytes).unwrap();
    let (status, listed) = fixture.get("/api/v1/weir/dead-letters").await;
    assert_eq!((status, listed["letters"].as_array().unwrap().len()), (200, 3), "{listed}");
    assert!(listed["letters"][1]["unreadable"].as_str().unwrap().contains("checksum"), "{listed}");
    let (_, sent) = fixture.post(REDRIVE, &json!({"all": true})).await;
    assert_eq!((&sent["redriven-count"], kinds(&sent)), (&json!(2), vec![(2, "unreadable")]), "{sent}");
    let (_, deleted) = fixture.post(DELETE, &json!({"ids": [2]})).await;
    assert_eq!(deleted["deleted-count"], 1);
}

#[tokio::test]
async fn empty_or_oversized_selections_are_refused() {
    let fixture = GatewayFixture::new().await;
    for path in [REDRIVE, DELETE] {
        for wrong in
            [json!({}), json!({"all": false}), json!({"ids": ["1"], "all": true}), json!({"al": true}), json!({"ids": ["x"]}), json!([])]
        {
            let (status, body) = fixture.post(path, &wrong).await;
            assert_eq!(status, 400, "{wrong}: {body}");
            error_of(&body, "bad-request");
        }
        let (status, _) = answer(fixture.post_request(path, "text/plain", r#"{"all": true}"#)).await;
        assert_eq!(status, 415);
        let (status, body) = answer(fixture.post_request(path, "application/json", "{")).await;
        assert_eq!((status, error_of(&body, "not-json").is_empty()), (400, false));
        let (status, _) =
            answer(fixture.post_request(path, "application/json", format!(r#"{{"all": true{}}}"#, " ".repeat(2 << 20)))).await;
        assert_eq!(status, 413);
        let (_, done) = fixture.post(path, &json!({"all": true})).await;
        assert_eq!(done["failed-count"], 0, "without any letter there is nothing to do");
    }
}
