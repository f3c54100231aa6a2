//! Messages out of a flow over a WebSocket.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;
use weir_gateway::GatewaySettings;
use weir_pubsub::{Backend, Message};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::fixture::{GatewayFixture, error_of, settings};
use super::peer::Peer;

const PATH: &str = "/api/v1/flow/one/export/out";
const OUT: &str = "flow:tg:out:one";
const EXIT: &str = "gateway--one--out";
const STREAMS: &str = "weir_gateway_streams";

async fn all_taken(fixture: &GatewayFixture) {
    let taken = || async { (fixture.depth(OUT, EXIT).await == 0).then_some(()) };
    eventually(DEADLINE, "the exit to be empty", taken).await;
}

#[tokio::test]
async fn an_export_takes_the_messages_of_an_exit_unchanged() {
    let fixture = GatewayFixture::with_flow().await;
    fixture.publish(OUT, "{\"at\":  1.00}").await;
    fixture.publish(OUT, "no JSON").await;
    let mut peer = Peer::open(&fixture, PATH).await;
    assert_eq!(peer.next_text().await, "{\"at\":  1.00}");
    assert_eq!(peer.next().await, Frame::binary(b"no JSON".to_vec()));
    fixture.publish(OUT, "2").await;
    assert_eq!(peer.next_text().await, "2");
    peer.reading(all_taken(&fixture)).await;
    // Anything that a reader sends is ignored.
    peer.send("hello").await;
    fixture.publish(OUT, "3").await;
    assert_eq!(peer.next_text().await, "3");
    peer.reading(all_taken(&fixture)).await;
    assert_eq!(peer.close().await, Vec::<String>::new());
    fixture.figure_becomes(STREAMS, "export", 0.0).await;
    fixture.publish(OUT, "4").await;
    assert_eq!(fixture.depth(OUT, EXIT).await, 1);
}

#[tokio::test]
async fn a_message_without_a_later_pong_is_redelivered_in_order() {
    let fixture = GatewayFixture::with_flow().await;
    for at in 0..100 {
        fixture.publish(OUT, &at.to_string()).await;
    }
    let mut taken_count = 0;
    for left_count in [0, 3, 10, 20] {
        let mut peer = Peer::open(&fixture, PATH).await;
        for at in 0..=left_count {
            assert_eq!(peer.next_text().await, (taken_count + at).to_string());
        }
        // Reading the message after a batch answers its ping. The last batch was read at most in part, and nothing after it: no pong.
        drop(peer);
        fixture.figure_becomes(STREAMS, "export", 0.0).await;
        let left = fixture.bodies(OUT, EXIT).await;
        taken_count = 100 - left.len() as u64;
        assert!(taken_count <= 100 && left == (taken_count..100).map(|at| at.to_string()).collect::<Vec<_>>(), "{left:?}");
    }
    assert!(taken_count > 0 && taken_count < 40, "{taken_count}");
}

#[tokio::test]
async fn a_reader_that_never_answers_a_ping_is_disconnected() {
    let fixture = GatewayFixture::with(GatewaySettings { ping_interval: Duration::from_millis(200), ..settings() }).await;
    fixture.start_flow("one").await;
    fixture.publish(OUT, "1").await;
    let mut peer = Peer::open(&fixture, PATH).await;
    assert_eq!(peer.next_text().await, "1");
    // It is not silent, but it reads nothing, and so answers nothing.
    let talking = async {
        while peer.stream.send(Frame::text("still here")).await.is_ok() {
            weir_tests::wait::pass(Duration::from_millis(20)).await;
        }
    };
    within("the reader to be ended", talking).await;
    fixture.figure_becomes(STREAMS, "export", 0.0).await;
    assert_eq!(fixture.bodies(OUT, EXIT).await, ["1"]);
}

#[tokio::test]
async fn readers_of_an_exit_share_its_messages() {
    let fixture = GatewayFixture::with_flow().await;
    let peers = [Peer::open(&fixture, PATH).await, Peer::open(&fixture, PATH).await];
    for at in 0..100 {
        fixture.publish(OUT, &at.to_string()).await;
    }
    let reading = peers.map(|mut peer| async move {
        let mut all = Vec::new();
        while let Frame::Text(text) = peer.next().await {
            all.push(text.parse::<u64>().unwrap());
        }
        all
    });
    let stopping = async {
        all_taken(&fixture).await;
        fixture.stop_flow("one").await;
    };
    let (read, ()) = tokio::join!(futures_util::future::join_all(reading), stopping);
    let mut all = read.concat();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_export_of_a_consumed_interface_shows_copies_and_takes_nothing() {
    let fixture = GatewayFixture::with_flow().await;
    fixture.publish("flow:tg:in:one", "0").await;
    let mut peers = [Peer::open(&fixture, "/api/v1/flow/one/export/in").await, Peer::open(&fixture, "/api/v1/flow/one/export/in").await];
    fixture.publish("flow:tg:in:one", "1").await;
    for peer in &mut peers {
        assert_eq!(peer.next_text().await, "1");
    }
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_reads_blocks_only_itself_and_is_disconnected() {
    let half = Duration::from_millis(500);
    let fixture = GatewayFixture::with(GatewaySettings { unread_timeout: half, ping_interval: half, ..settings() }).await;
    fixture.start_flow("one").await;
    let body = json!("x".repeat(256 << 10)).to_string();
    let _never_reads = Peer::open(&fixture, PATH).await;
    let mut reads = Peer::open(&fixture, PATH).await;
    let publishing = async {
        for _ in 0..150 {
            fixture.publish(OUT, &body).await;
        }
        // Messages held by the other one are requeued when it is ended.
        fixture.figure_becomes(STREAMS, "export", 1.0).await;
        all_taken(&fixture).await;
    };
    let reading = async {
        let mut done = pin!(publishing);
        let mut read_count = 0_u64;
        loop {
            tokio::select! {
                next = reads.stream.next() => match next {
                    Some(Ok(Frame::Text(_))) => read_count += 1,
                    Some(Ok(Frame::Ping(_))) => {}
                    other => panic!("{other:?}"),
                },
                () = &mut done => return read_count,
            }
        }
    };
    let read_count = within("all messages to be taken", reading).await;
    // The other one was given one batch, which was requeued.
    assert_eq!(read_count, 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_copies_is_disconnected_with_the_reason() {
    let fixture = GatewayFixture::with_flow().await;
    let mut slow = Peer::open(&fixture, "/api/v1/flow/one/export/in").await;
    let body = json!("x".repeat(16 << 10)).to_string();
    let producer = fixture.backend.producer(&"flow:tg:in:one".parse().unwrap()).await.unwrap();
    for _ in 0..30 {
        try_join_all((0..100).map(|_| producer.publish_confirmed(Message::new(body.clone())))).await.unwrap();
    }
    let mut read_count = 0;
    let end = loop {
        match slow.next().await {
            Frame::Text(_) => read_count += 1,
            Frame::Close(Some(frame)) => break frame,
            other => panic!("{other:?}"),
        }
    };
    assert!(read_count < 3000);
    assert_eq!(u16::from(end.code), 1013);
    assert!(end.reason.ends_with("messages were missed because they arrived faster than they were read"), "{}", end.reason);
}

#[tokio::test]
async fn it_ends_with_the_reason_when_its_flow_or_weir_stops() {
    let mut fixture = GatewayFixture::with_flow().await;
    fixture.start_flow("two").await;
    let mut stopped = [Peer::open(&fixture, PATH).await, Peer::open(&fixture, "/api/v1/flow/one/export/in").await];
    let mut ended = [Peer::open(&fixture, "/api/v1/flow/two/export/out").await, Peer::open(&fixture, "/api/v1/flow/two/export/in").await];
    fixture.stop_flow("one").await;
    for peer in &mut stopped {
        assert_eq!(peer.end().await, (1001, "flow `one` was stopped; `weir flow start` starts it again".to_owned()));
    }
    fixture.figure_becomes(STREAMS, "export", 2.0).await;
    drop(fixture.end_gateway());
    for peer in &mut ended {
        assert_eq!(peer.end().await, (1001, "Weir is shutting down".to_owned()));
    }
}

#[tokio::test]
async fn a_refused_stop_ends_no_export() {
    let fixture = GatewayFixture::with_flow().await;
    let (mut exit, mut tap) = (Peer::open(&fixture, PATH).await, Peer::open(&fixture, "/api/v1/flow/one/export/in").await);
    let producer = fixture.backend.producer(&"flow:tg:in:one".parse().unwrap()).await.unwrap();
    // No processor handles it: the stop is refused.
    producer.publish_confirmed(Message::new("1")).await.unwrap();
    assert!(matches!(tap.next().await, Frame::Text(_)));
    let refuse = json!({"operation": "stop-flow", "flow-id": "one", "backlog": "refuse"});
    let (_, answer) = fixture.post("/api/v1/flow", &refuse).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("is not stopped"), "{answer}");
    producer.publish_confirmed(Message::new("2")).await.unwrap();
    assert!(matches!(tap.next().await, Frame::Text(_)));
    fixture.publish(OUT, "3").await;
    assert!(matches!(exit.next().await, Frame::Text(_)));
    fixture.stop_flow("one").await;
    for mut peer in [exit, tap] {
        assert_eq!(peer.end().await, (1001, "flow `one` was stopped; `weir flow start` starts it again".to_owned()));
    }
}

#[tokio::test]
async fn invalid_exports_are_refused() {
    let fixture = GatewayFixture::with_flow().await;
    for (path, status, kind) in [
        ("/api/v1/flow/one/export/ask", 400, "wrong-interface"),
        ("/api/v1/flow/one/export/nothing", 404, "not-found"),
        ("/api/v1/flow/two/export/out", 404, "not-found"),
    ] {
        let (actual, body) = Peer::try_open(&fixture, path, &[]).await.err().unwrap();
        assert_eq!(actual, status, "{path}");
        error_of(&body, kind);
    }
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.stream.send(Frame::text("x".repeat(100 << 10))).await.unwrap();
    assert_eq!(peer.end().await.0, 1009);
}
