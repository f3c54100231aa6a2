//! Many requests on one WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message as Frame;
use weir_gateway::{GatewaySettings, Tokens};
use weir_pubsub::{Backend, CORRELATION_ID, Consumer, ConsumerOptions, Message, Queue, WEIR_ERROR, WEIR_PART};
use weir_tests::look::messages;
use weir_tests::wait::within;

use super::fixture::{GatewayFixture, error_of, settings};
use super::peer::Peer;

const PATH: &str = "/api/v1/socket";
const STREAMS: &str = "weir_gateway_streams";

fn config(id: &str) -> String {
    json!({"id": id, "service": "config", "request": {"operation": "list", "type": "t"}}).to_string()
}

fn ask(id: &str) -> String {
    json!({"id": id, "service": "ask", "flow": "one", "request": id}).to_string()
}

async fn requests(fixture: &GatewayFixture) -> Box<dyn Consumer> {
    let subscription = "worker--one--request".parse().unwrap();
    fixture.backend.consumer(&"request:tg:ask:one".parse().unwrap(), &subscription, ConsumerOptions::default()).await.unwrap()
}

async fn publish(fixture: &GatewayFixture, answer: Message) {
    let answers = fixture.backend.producer(&"response:tg:ask:one".parse().unwrap()).await.unwrap();
    answers.publish_confirmed(answer).await.unwrap();
}

/// The id that the answer to the next request must carry.
async fn next_id(requests: &dyn Consumer) -> String {
    let delivery = within("a request", requests.receive()).await.unwrap();
    delivery.message.properties.get(CORRELATION_ID).unwrap().to_owned()
}

#[tokio::test]
async fn both_services_answer_on_one_socket() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send(json!({"id": "a", "service": "flow", "request": {"operation": "get-flow", "flow-id": "one"}}).to_string()).await;
    let answer = peer.next_json().await;
    assert_eq!((&answer["id"], &answer["complete"], &answer["response"]["description"]), (&json!("a"), &json!(true), &json!("first")));
    assert!(answer["response"].get("blueprint-names").is_some() && answer["response"].get("error").is_none(), "{answer}");
    let put = json!({"operation": "put", "values": [{"type": "t", "key": "k", "value": "v"}]});
    peer.send(json!({"id": 2, "service": "config", "flow": null, "request": put}).to_string()).await;
    assert_eq!(peer.next_json().await["id"], 2);
    peer.send(config("c")).await;
    assert_eq!(peer.next_json().await["response"]["directory"], json!(["k"]));
    peer.send(json!({"id": "d", "service": "config", "request": {"operation": "dance"}}).to_string()).await;
    let failed = peer.next_json().await;
    assert_eq!((&failed["id"], &failed["complete"], failed.get("response")), (&json!("d"), &json!(true), None));
    error_of(&failed, "bad-operation");
}

#[tokio::test]
async fn a_message_to_a_flow_interface_is_stored_unchanged() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send(r#"{"id":"a","service":"in","flow":"one","request":{"x":  1.00, "b":[]}}"#).await;
    assert_eq!(peer.next_text().await, r#"{"id":"a","response":{},"complete":true}"#);
    let queue = Queue::new("flow:tg:in:one".parse().unwrap(), "worker--one--input".parse().unwrap()).unwrap();
    let stored = messages(&*fixture.backend, &queue, 2).await;
    assert_eq!((stored.len(), &stored[0].body[..]), (1, &br#"{"x":  1.00, "b":[]}"#[..]));
}

#[tokio::test]
async fn requests_are_answered_as_they_complete_in_all_their_parts() {
    let fixture = GatewayFixture::with_flow().await;
    let requests = requests(&fixture).await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send(ask("slow")).await;
    let id = next_id(&*requests).await;
    peer.send(config("quick")).await;
    assert_eq!(peer.next_json().await["id"], "quick");
    let part = |body: &'static str| Message::new(body).with(CORRELATION_ID, id.clone());
    publish(&fixture, part("1.50").with(WEIR_PART, "more")).await;
    assert_eq!(peer.next_text().await, r#"{"id":"slow","response":1.50,"complete":false}"#);
    publish(&fixture, part("2")).await;
    assert_eq!(peer.next_text().await, r#"{"id":"slow","response":2,"complete":true}"#);
    peer.send(ask("fails")).await;
    let id = next_id(&*requests).await;
    let body = json!({"error": {"type": "x", "message": "it broke"}}).to_string();
    publish(&fixture, Message::new(body).with(CORRELATION_ID, id).with(WEIR_ERROR, "reject")).await;
    let failed = peer.next_json().await;
    assert_eq!((&failed["id"], &failed["complete"]), (&json!("fails"), &json!(true)));
    assert_eq!(error_of(&failed, "request-failed"), "flow `one` answered with an error (reject): it broke");
}

#[tokio::test]
async fn an_invalid_request_is_answered_with_the_error_and_the_socket_continues() {
    let fixture = GatewayFixture::with_flow().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    for (text, id, kind) in [
        ("garbage", None, "not-json"),
        ("[]", None, "bad-request"),
        (r#"{"service":"config","request":{}}"#, None, "bad-request"),
        (r#"{"id":"a","request":{}}"#, Some("a"), "bad-request"),
        (r#"{"id":"a","service":"config"}"#, Some("a"), "bad-request"),
        (r#"{"id":"a","service":"config","request":[]}"#, Some("a"), "bad-request"),
        (r#"{"id":"a","service":"dance","request":{}}"#, Some("a"), "not-found"),
        (r#"{"id":"a","service":"in","flow":"two","request":{}}"#, Some("a"), "not-found"),
        (r#"{"id":"a","service":"nothing","flow":"one","request":{}}"#, Some("a"), "not-found"),
    ] {
        peer.send(text).await;
        let answer = peer.next_json().await;
        assert_eq!((answer["id"].as_str(), &answer["complete"]), (id, &json!(true)), "{text}: {answer}");
        error_of(&answer, kind);
    }
    peer.stream.send(Frame::binary(config("a").into_bytes())).await.unwrap();
    assert_eq!(error_of(&peer.next_json().await, "bad-request"), "the message is binary: send JSON as text");
    peer.send(config("after")).await;
    assert_eq!(peer.next_json().await["id"], "after");
    assert_eq!(peer.close().await, Vec::<String>::new());
    fixture.figure_becomes(STREAMS, "socket", 0.0).await;
}

#[tokio::test]
async fn an_oversized_message_ends_the_socket_and_its_sender_receives_the_reason() {
    let fixture = GatewayFixture::new().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send(config("first")).await;
    // Written completely before anything is read.
    peer.send("x".repeat(100 << 20)).await;
    assert_eq!(peer.next_json().await["id"], "first");
    let reason = "the message has 104857600 bytes; the limit is 16777216";
    assert_eq!(error_of(&peer.next_json().await, "too-large"), reason);
    assert_eq!(peer.end().await, (1009, reason.to_owned()));
    fixture.figure_becomes(STREAMS, "socket", 0.0).await;
}

#[tokio::test]
async fn invalid_utf_8_ends_the_socket() {
    let fixture = GatewayFixture::new().await;
    let mut peer = Peer::open(&fixture, PATH).await;
    // A masked text of one byte, 0xff.
    peer.stream.get_mut().write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff]).await.unwrap();
    error_of(&peer.next_json().await, "body-broken");
    assert_eq!(peer.end().await.0, 1007);
}

#[tokio::test]
async fn an_interrupted_socket_leaves_nothing_behind() {
    let fixture = GatewayFixture::with_flow().await;
    let requests = requests(&fixture).await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send(ask("under way")).await;
    next_id(&*requests).await;
    // The header of a message of 100 bytes, and the first of them.
    peer.stream.get_mut().write_all(&[0x81, 0x80 | 100, 0, 0, 0, 0, b'{']).await.unwrap();
    drop(peer);
    fixture.figure_becomes(STREAMS, "socket", 0.0).await;
    let mut other = Peer::open(&fixture, PATH).await;
    other.send(config("a")).await;
    assert_eq!(other.next_json().await["id"], "a");
}

#[tokio::test]
async fn a_socket_that_never_reads_is_throttled_and_closed() {
    let fixture = GatewayFixture::with(GatewaySettings { unread_timeout: Duration::from_millis(300), ..settings() }).await;
    let put = json!({"operation": "put", "values": [{"type": "t", "key": "k", "value": "x".repeat(1 << 20)}]});
    fixture.post("/api/v1/config", &put).await;
    let get = json!({"operation": "getvalues", "type": "t"});
    let request = json!({"id": "a", "service": "config", "request": get, "padding": "x".repeat(64 << 10)}).to_string();
    let mut peer = Peer::open(&fixture, PATH).await;
    // 64 MiB of requests for 1 GiB of answers.
    let mut sent_count = 0;
    let flood = async {
        while sent_count < 1000 && peer.stream.send(Frame::text(request.clone())).await.is_ok() {
            sent_count += 1;
        }
    };
    within("the socket to be ended", flood).await;
    assert!(sent_count < 1000, "everything was read");
    fixture.figure_becomes(STREAMS, "socket", 0.0).await;
}

#[tokio::test]
async fn pings_are_answered_and_a_silent_peer_is_disconnected() {
    let fixture = GatewayFixture::with(GatewaySettings { ping_interval: Duration::from_millis(200), ..settings() }).await;
    // Reads nothing, so that no ping is answered.
    let _silent = Peer::open(&fixture, PATH).await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.stream.send(Frame::Ping("hello".into())).await.unwrap();
    let mut pings_count = 0;
    let mut pong = None;
    while pings_count < 10 {
        match within("a ping", peer.stream.next()).await.unwrap().unwrap() {
            Frame::Ping(_) => pings_count += 1,
            Frame::Pong(said) => pong = Some(said),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pong.unwrap(), "hello");
    fixture.figure_becomes(STREAMS, "socket", 1.0).await;
    peer.send(config("b")).await;
    assert_eq!(peer.next_json().await["id"], "b");
}

#[tokio::test]
async fn requests_in_flight_per_socket_are_bounded() {
    let fixture = GatewayFixture::with(GatewaySettings { socket_requests_count: 2, ..settings() }).await;
    fixture.start_flow("one").await;
    let requests = requests(&fixture).await;
    let mut peer = Peer::open(&fixture, PATH).await;
    for text in [ask("1"), ask("2"), config("3")] {
        peer.send(text).await;
    }
    let ids = [next_id(&*requests).await, next_id(&*requests).await];
    // Time for the third to be answered, were it read: the same request takes this long.
    fixture.post("/api/v1/config", &json!({"operation": "list", "type": "t"})).await;
    publish(&fixture, Message::new("0").with(CORRELATION_ID, ids[1].clone())).await;
    let mut order = Vec::new();
    for _ in 0..2 {
        order.push(peer.next_json().await["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(order.last().unwrap(), "3", "{order:?}");
    publish(&fixture, Message::new("0").with(CORRELATION_ID, ids[0].clone())).await;
    assert!(["1", "2"].contains(&peer.next_json().await["id"].as_str().unwrap()));
}

#[tokio::test]
async fn requests_to_a_stopped_flow_fail_and_the_socket_continues() {
    let fixture = GatewayFixture::with_flow().await;
    let requests = requests(&fixture).await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send(ask("a")).await;
    next_id(&*requests).await;
    fixture.stop_flow("one").await;
    let ended = peer.next_json().await;
    assert_eq!((&ended["id"], &ended["complete"]), (&json!("a"), &json!(true)));
    assert!(error_of(&ended, "flow-stopped").starts_with("flow `one` was stopped"));
    peer.send(ask("b")).await;
    error_of(&peer.next_json().await, "flow-stopped");
    fixture.figure_becomes("weir_gateway_dispatchers", "requester", 0.0).await;
}

#[tokio::test]
async fn requests_in_flight_are_answered_before_weir_stops() {
    let mut fixture = GatewayFixture::with_flow().await;
    let requests = requests(&fixture).await;
    let mut peer = Peer::open(&fixture, PATH).await;
    peer.send(ask("a")).await;
    let id = next_id(&*requests).await;
    drop(fixture.end_gateway());
    publish(&fixture, Message::new("\"done\"").with(CORRELATION_ID, id)).await;
    let answer = peer.next_json().await;
    assert_eq!((&answer["id"], &answer["response"]), (&json!("a"), &json!("done")));
    error_of(&peer.next_json().await, "unavailable");
    assert_eq!(peer.end().await, (1001, "Weir is shutting down".to_owned()));
}

#[tokio::test]
async fn web_pages_other_hosts_and_plain_requests_are_refused() {
    let fixture = GatewayFixture::with(GatewaySettings { max_sockets_count: 2, ..settings() }).await;
    fixture.start_flow("one").await;
    for path in [PATH, "/api/v1/flow/one/import/in", "/api/v1/flow/one/export/out"] {
        for (header, value) in [("origin", "http://localhost:8088"), ("host", "weir.example")] {
            let (status, body) = Peer::try_open(&fixture, path, &[(header, value)]).await.err().unwrap();
            assert_eq!(status, 403, "{path} {header}");
            error_of(&body, "forbidden");
        }
        let (status, body) = fixture.get(path).await;
        assert_eq!((status, error_of(&body, "bad-request").contains("open it with a WebSocket client")), (400, true));
        let (status, _) = Peer::try_open(&fixture, path, &[("sec-websocket-version", "8")]).await.err().unwrap();
        assert_eq!(status, 400);
    }
    let open = (Peer::open(&fixture, PATH).await, Peer::open(&fixture, "/api/v1/flow/one/import/in").await);
    let (status, body) = Peer::try_open(&fixture, PATH, &[]).await.err().unwrap();
    assert_eq!(status, 503);
    assert_eq!(error_of(&body, "unavailable"), "2 WebSockets are open, the maximum: close some, or try again later");
    drop(open);
    fixture.figure_becomes(STREAMS, "socket", 0.0).await;
    fixture.figure_becomes(STREAMS, "import", 0.0).await;
    Peer::open(&fixture, PATH).await;
}

#[tokio::test]
async fn a_socket_accepts_a_token_in_header_or_query() {
    let token = weir_gateway::Token::new("0123456789abcdef").unwrap();
    let fixture = GatewayFixture::with(GatewaySettings { tokens: Some(Tokens::one(token)), ..settings() }).await;
    assert_eq!(Peer::try_open(&fixture, PATH, &[]).await.err().unwrap().0, 401);
    for (path, headers) in
        [(PATH.to_owned(), &[("authorization", "Bearer 0123456789abcdef")][..]), (format!("{PATH}?token=0123456789abcdef"), &[])]
    {
        let mut peer = Peer::try_open(&fixture, &path, headers).await.ok().unwrap();
        peer.send(config("a")).await;
        assert_eq!(peer.next_json().await["id"], "a");
    }
    // Further content of the query is not refused because of the token in it.
    let (status, _) = Peer::try_open(&fixture, "/api/v1/flow/one/import/in?answers=true&token=0123456789abcdef", &[]).await.err().unwrap();
    assert_eq!(status, 404);
}
