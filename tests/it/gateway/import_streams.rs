//! Messages into a flow over a WebSocket.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use weir_gateway::GatewaySettings;
use weir_pubsub::embedded::EmbeddedOptions;
use weir_pubsub::{Backend, ConsumerOptions, Queue};
use weir_tests::look::messages;
use weir_tests::wait::{DEADLINE, eventually, within};

use super::fixture::{GatewayFixture, error_of, settings};
use super::peer::Peer;

const PATH: &str = "/api/v1/flow/one/import/in";
const STREAMS: &str = "weir_gateway_streams";

/// The bodies and ids of the messages in the queue behind `in`, in their order.
async fn stored(fixture: &GatewayFixture) -> Vec<(String, String)> {
    let queue = Queue::new("flow:tg:in:one".parse().unwrap(), "worker--one--input".parse().unwrap()).unwrap();
    let browsed = messages(&*fixture.backend, &queue, 20_000).await;
    let both = |message: &weir_pubsub::Message| (String::from_utf8(message.body.to_vec()).unwrap(), message.id.unwrap().to_string());
    browsed.iter().map(both).collect()
}

async fn bodies(fixture: &GatewayFixture) -> Vec<String> {
    stored(fixture).await.into_iter().map(|(body, _)| body).collect()
}

/// A broker whose queues are full at 1 MiB.
async fn narrow(settings: GatewaySettings) -> GatewayFixture {
    let options = EmbeddedOptions { queue_high_bytes: 1 << 20, ..EmbeddedOptions::default() };
    let mut fixture = GatewayFixture::without_services(settings, options).await;
    fixture.start_services().await;
    fixture.start_flow("one").await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn all_messages_are_stored_in_order_when_the_end_is_acknowledged() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    for at in 0..10_000 {
        peer.stream.feed(Frame::text(format!("{{\"at\":  {at}.0}}"))).await.unwrap();
    }
    assert_eq!(peer.close().await, Vec::<String>::new());
    assert_eq!(bodies(&fixture).await, (0..10_000).map(|at| format!("{{\"at\":  {at}.0}}")).collect::<Vec<_>>());
    fixture.figure_becomes(STREAMS, "import", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_confirmed_once_stored() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, &format!("{PATH}?answers=true")).await;
    peer.send("0").await;
    let first = peer.next_json().await;
    assert_eq!(stored(&fixture).await, [("0".to_owned(), first["id"].as_str().unwrap().to_owned())]);
    for at in 1..1000 {
        peer.send(at.to_string()).await;
    }
    let mut answers = vec![first];
    while answers.len() < 1000 {
        answers.push(peer.next_json().await);
    }
    let numbers: Vec<u64> = answers.iter().map(|answer| answer["message"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
    let ids: Vec<&str> = answers.iter().map(|answer| answer["id"].as_str().unwrap()).collect();
    assert_eq!(ids, stored(&fixture).await.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>());
    assert_eq!(peer.close().await, Vec::<String>::new());
}

#[tokio::test]
async fn invalid_json_ends_the_import_after_storing_what_preceded() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    for text in ["1", "2", "three", "4"] {
        peer.send(text).await;
    }
    let told = peer.next_json().await;
    let reason = "message 3 is not JSON: expected ident at line 1 column 2".to_owned();
    assert_eq!((&told["count"], error_of(&told, "not-json")), (&json!(2), reason.clone()));
    assert_eq!(peer.end().await, (1007, reason));
    assert_eq!(bodies(&fixture).await, ["1", "2"]);
}

#[tokio::test]
async fn an_oversized_message_ends_the_import_and_its_sender_receives_the_reason() {
    let fixture = GatewayFixture::with_flow().await;
    let largest = format!("\"{}\"", "x".repeat((4 << 20) - 2));
    for size in [5 << 20, 100 << 20] {
        let mut peer = Peer::open(&fixture, PATH).await;
        peer.send(largest.clone()).await;
        // Written completely before anything is read.
        peer.send("x".repeat(size)).await;
        let told = peer.next_json().await;
        let reason = format!("message 2 has {size} bytes; the limit is 4194304");
        assert_eq!((&told["count"], error_of(&told, "too-large")), (&json!(1), reason.clone()));
        assert_eq!(peer.end().await, (1009, reason));
    }
    assert_eq!(bodies(&fixture).await, [largest.clone(), largest]);
    fixture.figure_becomes(STREAMS, "import", 0.0).await;
}

#[tokio::test]
async fn a_fragmented_message_is_bounded_as_a_whole() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    let piece = |text: &str, kind, is_last| Frame::Frame(RawFrame::message(text.to_owned(), OpCode::Data(kind), is_last));
    peer.stream.send(piece("[1,", Data::Text, false)).await.unwrap();
    peer.stream.send(piece("2]", Data::Continue, true)).await.unwrap();
    peer.stream.send(piece("[", Data::Text, false)).await.unwrap();
    let much = " ".repeat(1 << 20);
    for _ in 0..5 {
        peer.stream.send(piece(&much, Data::Continue, false)).await.unwrap();
    }
    let told = peer.next_json().await;
    assert_eq!(told["count"], 1);
    assert!(error_of(&told, "too-large").starts_with("message 2 has "), "{told}");
    assert_eq!(peer.end().await.0, 1009);
    assert_eq!(bodies(&fixture).await, ["[1,2]"]);
}

#[tokio::test]
async fn a_binary_message_ends_the_import() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send("1").await;
    peer.stream.send(Frame::binary(b"2".to_vec())).await.unwrap();
    let told = peer.next_json().await;
    assert_eq!((&told["count"], error_of(&told, "bad-request")), (&json!(1), "message 2 is binary: send JSON as text".to_owned()));
    assert_eq!(peer.end().await.0, 1003);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_applies_back_pressure_and_loses_nothing() {
    let fixture = narrow(settings()).await;
    let subscription = "worker--one--input".parse().unwrap();
    let one_by_one = ConsumerOptions { window: NonZeroU32::MIN, ..ConsumerOptions::default() };
    let consumer = fixture.backend.consumer(&"flow:tg:in:one".parse().unwrap(), &subscription, one_by_one).await.unwrap();
    let mut peer = Peer::open(&fixture, PATH).await;
    let padding = "x".repeat(64 << 10);
    let sending = tokio::spawn(async move {
        for at in 0..200 {
            peer.send(json!([at, padding]).to_string()).await;
        }
        peer.close().await
    });
    let mut received = Vec::new();
    while received.len() < 200 {
        let delivery = within("a message", consumer.receive()).await.unwrap();
        let body: Value = serde_json::from_slice(&delivery.message.body).unwrap();
        received.push(body[0].as_u64().unwrap());
        let depth = fixture.depth("flow:tg:in:one", "worker--one--input").await;
        assert!(depth < 60, "{depth} messages of 64 KiB are in a queue of 1 MiB");
        fixture.backend.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
    assert_eq!(within("the end", sending).await.unwrap(), Vec::<String>::new());
    // If the queue is full and read at the same time, messages sent after a refused one may overtake it.
    received.sort_unstable();
    assert_eq!(received, (0..200).collect::<Vec<_>>());
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 0);
}

#[tokio::test]
async fn a_queue_that_stays_full_ends_the_import_and_reports_how_much_is_stored() {
    let fixture = narrow(GatewaySettings { full_queue_timeout: Duration::from_millis(200), ..settings() }).await;
    let mut peer = Peer::open(&fixture, PATH).await;
    let message = format!("\"{}\"", "x".repeat(64 << 10));
    for _ in 0..100 {
        peer.send(message.clone()).await;
    }
    let told = peer.next_json().await;
    error_of(&told, "queue-full");
    assert_eq!(peer.end().await.0, 1013);
    assert_eq!(told["count"].as_u64().unwrap(), fixture.depth("flow:tg:in:one", "worker--one--input").await);
}

#[tokio::test]
async fn an_interrupted_import_keeps_the_complete_messages() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send("1").await;
    peer.send("2").await;
    peer.stream.get_mut().write_all(&[0x81, 0x80 | 100, 0, 0, 0, 0, b'3']).await.unwrap();
    drop(peer);
    fixture.figure_becomes(STREAMS, "import", 0.0).await;
    assert_eq!(bodies(&fixture).await, ["1", "2"]);
}

#[tokio::test]
async fn a_sender_that_never_reads_its_answers_is_disconnected() {
    let fixture = GatewayFixture::with(GatewaySettings { unread_timeout: Duration::from_millis(300), ..settings() }).await;
    fixture.start_flow("one").await;
    let mut peer = Peer::open(&fixture, &format!("{PATH}?answers=true")).await;
    let flood = async { while peer.stream.send(Frame::text("1")).await.is_ok() {} };
    within("the import to be ended", flood).await;
    fixture.figure_becomes(STREAMS, "import", 0.0).await;
    assert_eq!(fixture.post("/api/v1/flow/one/service/in", &json!("after")).await, (200, json!({})));
}

#[tokio::test]
async fn it_ends_with_the_reason_when_its_flow_or_weir_stops() {
    let mut fixture = GatewayFixture::with_flow().await;
    fixture.start_flow("two").await;
    let mut stopped = Peer::open(&fixture, PATH).await;
    let mut ended = Peer::open(&fixture, "/api/v1/flow/two/import/in").await;
    for (peer, flow) in [(&mut stopped, "one"), (&mut ended, "two")] {
        peer.send("1").await;
        let depth = || async { (fixture.depth(&format!("flow:tg:in:{flow}"), &format!("worker--{flow}--input")).await == 1).then_some(()) };
        eventually(DEADLINE, "the message to be stored", depth).await;
    }
    fixture.stop_flow("one").await;
    let told = stopped.next_json().await;
    let reason = error_of(&told, "flow-stopped");
    assert_eq!(reason, "flow `one` was stopped; `weir flow start` starts it again");
    assert_eq!((&told["count"], stopped.end().await), (&json!(1), (1001, reason)));
    drop(fixture.end_gateway());
    let told = ended.next_json().await;
    assert_eq!((&told["count"], error_of(&told, "unavailable")), (&json!(1), "Weir is shutting down".to_owned()));
    assert_eq!(ended.end().await, (1001, "Weir is shutting down".to_owned()));
}

#[tokio::test]
async fn a_peer_that_ignores_the_close_does_not_delay_the_shutdown() {
    let mut fixture = GatewayFixture::with_flow().await;
    let _silent = Peer::open(&fixture, PATH).await;
    fixture.figure_becomes(STREAMS, "import", 1.0).await;
    let ended = fixture.end_gateway();
    within("the gateway to end", ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn invalid_imports_are_refused_before_anything_is_sent() {
    let fixture = GatewayFixture::with_flow().await;
    for (path, status, kind) in [
        ("/api/v1/flow/one/import/ask", 400, "wrong-interface"),
        ("/api/v1/flow/one/import/nothing", 404, "not-found"),
        ("/api/v1/flow/two/import/in", 404, "not-found"),
        ("/api/v1/flow/one/import/in?answers=perhaps", 400, "bad-request"),
        ("/api/v1/flow/one/import/in?answer=true", 400, "bad-request"),
    ] {
        let (actual, body) = Peer::try_open(&fixture, path, &[]).await.err().unwrap();
        assert_eq!(actual, status, "{path}");
        error_of(&body, kind);
    }
}
