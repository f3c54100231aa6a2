//! Limits for all callers together: connections, and the bytes of requests and answers held.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use weir_gateway::GatewaySettings;
use weir_tests::wait::{DEADLINE, eventually, within};

use super::fixture::{GatewayFixture, NDJSON, answer, error_of, settings};
use super::hostile::Connection;
use super::peer::Peer;

const MIB: usize = 1 << 20;
const COMPONENTS: &str = "/api/v1/weir/components";
const MESSAGES: &str = "/api/v1/weir/flows/one/interfaces/in/messages";
/// Longer than any test: these time-outs never end anything.
const NEVER: Duration = Duration::from_secs(3_600);

fn held(max_held_bytes: usize) -> GatewaySettings {
    GatewaySettings { max_held_bytes, ..settings() }
}

/// Waits until the gateway holds at least this many bytes.
async fn until_held(fixture: &GatewayFixture, bytes: usize) {
    let look = || async { (fixture.figure("weir_gateway_held_bytes", &[]).await >= bytes as f64).then_some(()) };
    eventually(DEADLINE, format!("{bytes} bytes to be held"), look).await;
}

async fn until_nothing_is_held(fixture: &GatewayFixture) {
    let look = || async { (fixture.figure("weir_gateway_held_bytes", &[]).await == 0.0).then_some(()) };
    eventually(DEADLINE, "nothing to be held", look).await;
}

/// A flow `one`, and 3 MiB in the configuration.
async fn large_config(fixture: &GatewayFixture) {
    fixture.start_flow("one").await;
    for key in ["a", "b", "c"] {
        let values = json!([{"type": "large", "key": key, "value": "x".repeat(MIB)}]);
        let (_, put) = fixture.post("/api/v1/config", &json!({"operation": "put", "values": values})).await;
        assert!(put.get("error").is_none(), "{put}");
    }
}

#[tokio::test]
async fn clients_that_never_read_block_neither_health_nor_others() {
    let settings = GatewaySettings { max_connections_count: 32, idle_timeout: NEVER, unread_timeout: NEVER, ..settings() };
    let fixture = GatewayFixture::with(settings).await;
    let asked = "GET /api/v1/weir/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(300);
    let mut greedy = Vec::new();
    // Far more than there are slots, and than may wait for one.
    for _ in 0..150 {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        // If it was already refused, writing may fail.
        let _ = stream.write_all(asked.as_bytes()).await;
        greedy.push(stream);
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let mut connection = Connection::open(&fixture.address.to_string()).await;
        connection
            .writer
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        within(path, connection.reader.read_to_string(&mut text)).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200") || path == "/readyz" && text.starts_with("HTTP/1.1 503"), "{path}: {text}");
    }
    // Connections that do not read yield to others.
    let served = || async {
        let response = fixture.get_request("/api/v1/weir/queues").send().await.ok()?;
        response.status().is_success().then_some(())
    };
    eventually(DEADLINE, "another request to be served", served).await;
    drop(greedy);
}

#[tokio::test]
async fn idle_connections_give_way_to_others() {
    let settings = GatewaySettings { max_connections_count: 2, idle_timeout: NEVER, unread_timeout: NEVER, ..settings() };
    let fixture = GatewayFixture::with(settings).await;
    let address = fixture.address.to_string();
    let mut idle = Connection::open(&address).await;
    idle.writer.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(idle.answer().await.0, 200);
    let mut slow = Connection::open(&address).await;
    slow.writer.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").await.unwrap();
    for _ in 0..2 {
        let mut other = Connection::open(&address).await;
        other.writer.write_all(b"GET /api/v1/weir/queues HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(other.answer().await.0, 200);
    }
}

#[tokio::test]
async fn a_connection_that_waited_too_long_is_answered_with_retry_later() {
    let fixture =
        GatewayFixture::with(GatewaySettings { max_connections_count: 1, idle_timeout: Duration::from_secs(2), ..settings() }).await;
    fixture.start_flow("one").await;
    // A request in flight keeps its slot. Until it has one, an earlier request of the test yields.
    let mut busy = Connection::open(&fixture.address.to_string()).await;
    busy.post(MESSAGES, NDJSON, "transfer-encoding: chunked").await;
    busy.writer.write_all(b"2\r\n1\n\r\n").await.unwrap();
    let stored = || async { (fixture.depth("flow:tg:in:one", "worker--one--input").await == 1).then_some(()) };
    eventually(DEADLINE, "the import to have a place", stored).await;
    let mut refused = Connection::open(&fixture.address.to_string()).await;
    refused.writer.write_all(b"GET /api/v1/weir/queues HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within("a refusal", refused.reader.read_to_string(&mut text)).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"), "{head}");
    assert!(error_of(&serde_json::from_str(body).unwrap(), "unavailable").contains("gateway.max-connections"), "{body}");
    busy.writer.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(busy.answer().await, (200, json!({"count": 1})));
}

#[tokio::test]
async fn a_stalled_import_releases_its_connection_and_a_slow_one_does_not() {
    let fixture = GatewayFixture::with(GatewaySettings { body_timeout: Duration::from_secs(2), ..settings() }).await;
    fixture.start_flow("one").await;
    for answers in ["", "?answers=true"] {
        let mut still = Connection::open(&fixture.address.to_string()).await;
        still.post(&format!("{MESSAGES}{answers}"), NDJSON, "transfer-encoding: chunked").await;
        still.writer.write_all(b"4\r\n1\n2 \r\n").await.unwrap();
        let mut text = String::new();
        within("the connection to be closed", still.reader.read_to_string(&mut text)).await.unwrap();
        let last = text.lines().find(|line| line.contains("\"count\"")).unwrap_or_else(|| panic!("{text}"));
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["count"], 1, "{text}");
        assert!(error_of(&last, "body-broken").contains("no data arrived for 2 s"), "{text}");
    }
    let mut slow = Connection::open(&fixture.address.to_string()).await;
    slow.post(MESSAGES, NDJSON, "transfer-encoding: chunked").await;
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..20 {
        ticks.tick().await;
        slow.writer.write_all(b"1\r\n1\r\n").await.unwrap();
    }
    slow.writer.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(slow.answer().await, (200, json!({"count": 1})));
}

#[tokio::test]
async fn buffered_uploads_share_a_limit_and_small_requests_continue() {
    let fixture = GatewayFixture::with(held(8 * MIB)).await;
    let free_bytes = 64 << 10;
    let mut held = Vec::new();
    for count in 1..=2 {
        let mut upload = Connection::open(&fixture.address.to_string()).await;
        upload.post(COMPONENTS, "application/wasm", &format!("content-length: {}", 5 * MIB)).await;
        within("a part to be taken", upload.writer.write_all(&vec![0; 4 * MIB])).await.unwrap();
        held.push(upload);
        until_held(&fixture, count * (4 * MIB - free_bytes)).await;
    }
    for path in [COMPONENTS, "/api/v1/flow/one/service/in"] {
        let media_type = if path == COMPONENTS { "application/wasm" } else { "application/json" };
        let response = fixture.post_request(path, media_type, vec![b' '; 2 * MIB]).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));
        let body = response.json().await.unwrap();
        assert!(error_of(&body, "overloaded").contains("gateway.max-held-bytes"), "{body}");
    }
    assert_eq!(fixture.post("/api/v1/flow", &json!({"operation": "list-flows"})).await.0, 200);
    assert_eq!(fixture.figure("weir_gateway_overloaded_total", &[]).await, 2.0);
    held.clear();
    until_nothing_is_held(&fixture).await;
    let (status, _) = answer(fixture.post_request(COMPONENTS, "application/wasm", vec![b' '; 2 * MIB])).await;
    assert_eq!(status, 422, "it is no component, and was read");
}

#[tokio::test]
async fn import_lines_count_against_the_common_limit() {
    let fixture = GatewayFixture::with(held(MIB)).await;
    fixture.start_flow("one").await;
    let line = format!("\"{}\"\n", "x".repeat(3 * MIB));
    let (status, body) = answer(fixture.post_request(MESSAGES, NDJSON, format!("1\n{line}"))).await;
    assert_eq!((status, &body["count"]), (503, &json!(1)));
    error_of(&body, "overloaded");
    // A body of several times the budget passes in pieces.
    let small = format!("\"{}\"\n", "x".repeat(30 << 10)).repeat(200);
    assert_eq!(answer(fixture.post_request(MESSAGES, NDJSON, small)).await, (200, json!({"count": 200})));
    until_nothing_is_held(&fixture).await;
}

#[tokio::test]
async fn unread_answers_are_bounded_on_websockets() {
    let fixture = GatewayFixture::with(GatewaySettings { unread_timeout: NEVER, ping_interval: NEVER, ..held(16 * MIB) }).await;
    large_config(&fixture).await;
    let mut peers = Vec::new();
    for _ in 0..2 {
        let mut peer = Peer::open(&fixture, "/api/v1/socket").await;
        for id in 0..20 {
            peer.send(json!({"id": id, "service": "config", "request": {"operation": "config"}}).to_string()).await;
        }
        peers.push(peer);
    }
    let refused = || async { (fixture.figure("weir_gateway_overloaded_total", &[]).await > 0.0).then_some(()) };
    eventually(DEADLINE, "an answer to be refused", refused).await;
    assert!(fixture.figure("weir_gateway_held_bytes", &[]).await <= 16.0 * MIB as f64);
    assert_eq!(fixture.post("/api/v1/flow", &json!({"operation": "list-flows"})).await.0, 200);
    for peer in &mut peers {
        let mut answered = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let answer = peer.next_json().await;
            assert!(answered.insert(answer["id"].as_u64().unwrap()), "answered twice");
            if answer.get("response").is_none() {
                error_of(&answer, "overloaded");
            }
        }
    }
    until_nothing_is_held(&fixture).await;
}

#[tokio::test]
async fn unread_answers_are_bounded_over_http() {
    let fixture = GatewayFixture::with(held(16 * MIB)).await;
    large_config(&fixture).await;
    let body = r#"{"operation": "config"}"#;
    let mut unread = Vec::new();
    let asked = || async {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        let head = "POST /api/v1/config HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).repeat(5).as_bytes()).await.unwrap();
        stream
    };
    while fixture.figure("weir_gateway_overloaded_total", &[]).await == 0.0 {
        assert!(unread.len() < 200, "all answers are held");
        unread.push(asked().await);
    }
    assert!(fixture.figure("weir_gateway_held_bytes", &[]).await <= 16.0 * MIB as f64);
    drop(unread);
    until_nothing_is_held(&fixture).await;
    let (status, answered) = fixture.post("/api/v1/config", &json!({"operation": "config"})).await;
    assert_eq!((status, answered["config"]["large"]["a"].as_str().unwrap().len()), (200, MIB));
}

/// The beginning of a text of this many bytes on a WebSocket.
async fn begin_text(peer: &mut Peer, bytes: usize, sent_bytes: usize) {
    let mut frame = vec![0x81, 0x80 | 127];
    frame.extend((bytes as u64).to_be_bytes());
    // A mask that changes nothing.
    frame.extend([0; 4]);
    frame.resize(frame.len() + sent_bytes, b' ');
    within("a part to be taken", peer.stream.get_mut().write_all(&frame)).await.unwrap();
}

#[tokio::test]
async fn incoming_websocket_messages_are_bounded() {
    let fixture = GatewayFixture::with(held(8 * MIB)).await;
    fixture.start_flow("one").await;
    let mut first = Peer::open(&fixture, "/api/v1/socket").await;
    begin_text(&mut first, 12 * MIB, 6 * MIB).await;
    until_held(&fixture, 5 * MIB).await;
    let mut second = Peer::open(&fixture, "/api/v1/flow/one/import/in").await;
    begin_text(&mut second, 4 * MIB - 1, 3 * MIB).await;
    let close = loop {
        match within("the end", second.stream.next()).await {
            Some(Ok(Frame::Close(Some(close)))) => break close,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(close.code == CloseCode::Again && close.reason.contains("the gateway already holds"), "{close:?}");
    // Pings in between do not free budget: bytes in transit stay counted.
    assert!(fixture.figure("weir_gateway_held_bytes", &[]).await >= 5.0 * MIB as f64);
    drop(first);
    until_nothing_is_held(&fixture).await;
}
