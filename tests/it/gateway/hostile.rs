//! Malicious bodies: far too large, far too deep, unterminated.

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use weir_gateway::{GatewaySettings, Token, Tokens};
use weir_tests::wait::within;
use weir_tests::weir::Weir;

use super::fixture::{GatewayFixture, NDJSON, answer, error_of, settings};

const HUGE_BYTES: usize = 100 << 20;
const SERVICE: &str = "/api/v1/flow/one/service/in";
const MESSAGES: &str = "/api/v1/weir/flows/one/interfaces/in/messages";

/// A connection on which a request can be written piece by piece.
pub(super) struct Connection {
    pub(super) reader: BufReader<OwnedReadHalf>,
    pub(super) writer: OwnedWriteHalf,
}

impl Connection {
    pub(super) async fn open(address: &str) -> Self {
        let (reader, writer) = TcpStream::connect(address).await.unwrap().into_split();
        Connection { reader: BufReader::new(reader), writer }
    }

    pub(super) async fn post(&mut self, path: &str, media_type: &str, length: &str) {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\n{length}\r\n\r\n");
        self.writer.write_all(head.as_bytes()).await.unwrap();
    }

    /// The status and body of the next answer.
    pub(super) async fn answer(&mut self) -> (u16, Value) {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            within("a line of the answer's head", self.reader.read_line(&mut line)).await.unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        within("the answer's body", self.reader.read_exact(&mut body)).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

/// The peak memory of a process, if the system reports it.
fn peak_bytes(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10)
}

async fn start_flow(weir: &Weir) {
    let flow = json!({"worker:{id}": {"topics": {"input": "flow:tg:in:{id}"}}});
    let blueprint = json!({"blueprint": {}, "flow": flow, "interfaces": {"in": {"flow": "flow:tg:in:{id}"}}}).to_string();
    for request in [
        json!({"operation": "put-blueprint", "blueprint-name": "b", "blueprint-definition": blueprint}),
        json!({"operation": "start-flow", "blueprint-name": "b", "flow-id": "one"}),
    ] {
        let answer = weir.post("/api/v1/flow", &request).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn a_100_mib_message_is_refused_and_the_connection_stays_usable() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_flow(&weir).await;
    let before = peak_bytes(weir.pid());
    let mut connection = Connection::open(weir.url().trim_start_matches("http://")).await;
    let piece = vec![b'1'; 1 << 20];
    let mut told = Vec::new();
    for (path, media_type) in [(SERVICE, "application/json"), (MESSAGES, "application/json"), (MESSAGES, NDJSON)] {
        connection.post(path, media_type, &format!("content-length: {HUGE_BYTES}")).await;
        for _ in 0..HUGE_BYTES / piece.len() {
            within("a piece to be taken", connection.writer.write_all(&piece)).await.unwrap();
        }
        let (status, body) = connection.answer().await;
        told.push(format!("{status} {}", error_of(&body, "too-large")));
    }
    expect![[r#"
        200 the body has 104857600 bytes; this path accepts at most 16777216
        413 the body has 104857600 bytes; this path accepts at most 16777216
        413 line 1 has more than 4194304 bytes, the limit of a message"#]]
    .assert_eq(&told.join("\n"));
    connection.post(SERVICE, "application/json", "content-length: 1").await;
    connection.writer.write_all(b"1").await.unwrap();
    assert_eq!(connection.answer().await, (200, json!({})));
    if let (Some(before), Some(after)) = (before, peak_bytes(weir.pid())) {
        assert!(after - before < HUGE_BYTES / 2, "it took {} bytes", after - before);
    }
}

#[tokio::test]
async fn a_large_body_without_the_token_is_drained_so_that_its_sender_receives_the_error() {
    let tokens = Some(Tokens::one(Token::new("the-token-of-this-gateway").unwrap()));
    let fixture = GatewayFixture::with(GatewaySettings { tokens, ..GatewaySettings::default() }).await;
    let mut connection = Connection::open(&fixture.address.to_string()).await;
    connection.post("/api/v1/weir/components", "application/wasm", "content-length: 20971520").await;
    within("the body to be taken", connection.writer.write_all(&vec![0; 20 << 20])).await.unwrap();
    let (status, body) = connection.answer().await;
    assert_eq!((status, error_of(&body, "unauthorized").is_empty()), (401, false));
}

#[tokio::test]
async fn an_oversized_service_request_is_refused_with_the_limit() {
    let fixture = GatewayFixture::new().await;
    let value = json!({"type": "prompt", "key": "large", "value": "x".repeat(10 << 20)});
    let (status, body) = fixture.post("/api/v1/config", &json!({"operation": "put", "values": [value]})).await;
    assert_eq!(status, 200);
    expect!["a request to the config service may have 4194304 bytes, this one has 10485833: split it into several; keep larger values in a file or another store"].assert_eq(&error_of(&body, "too-large"));
    let (_, listed) = fixture.post("/api/v1/config", &json!({"operation": "list", "type": "prompt"})).await;
    assert_eq!(listed["directory"], json!([]));
}

#[tokio::test]
async fn deep_json_is_refused_where_it_is_parsed_and_passed_where_it_is_not() {
    let fixture = GatewayFixture::with_flow().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let post = async |path: &str, media_type: &str, body: String| answer(fixture.post_request(path, media_type, body)).await;
    let (_, config) = post("/api/v1/config", "application/json", format!(r#"{{"operation": "list", "type": {deep}}}"#)).await;
    expect!["the body is not JSON: recursion limit exceeded at line 1 column 157"].assert_eq(&error_of(&config, "not-json"));
    let request = json!({"operation": "put-blueprint", "blueprint-name": "deep", "blueprint-definition": deep});
    let (_, flow) = fixture.post("/api/v1/flow", &request).await;
    expect!["the blueprint is not JSON: recursion limit exceeded at line 1, column 128"].assert_eq(&error_of(&flow, "flow-error"));
    // A message belongs to its receiver: it is not parsed on the way.
    assert_eq!(post(SERVICE, "application/json", deep.clone()).await, (200, json!({})));
    assert_eq!(post(MESSAGES, "application/json", format!("[{deep}, 1]")).await, (200, json!({"count": 2})));
    assert_eq!(post(MESSAGES, NDJSON, format!("{deep}\n")).await, (200, json!({"count": 1})));
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 4);
}

#[tokio::test]
async fn messages_of_a_list_are_stored_unchanged() {
    let fixture = GatewayFixture::with_flow().await;
    let messages = ["{\"b\": 1.00,  \"a\": 12345678901234567890123}", "1e3", "\"\\u0041\""];
    let (status, _) = answer(fixture.post_request(MESSAGES, "application/json", format!("[{}]", messages.join(" , ")))).await;
    assert_eq!(status, 200);
    assert_eq!(fixture.bodies("flow:tg:in:one", "worker--one--input").await, messages);
}

#[tokio::test]
async fn silent_connections_are_closed_and_make_room_for_others() {
    let fixture =
        GatewayFixture::with(GatewaySettings { max_connections_count: 2, idle_timeout: Duration::from_secs(1), ..settings() }).await;
    let address = fixture.address.to_string();
    let mut silent = Connection::open(&address).await;
    let mut slow = Connection::open(&address).await;
    slow.writer.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").await.unwrap();
    // There is no slot for it until one of them is closed.
    let mut third = Connection::open(&address).await;
    third.writer.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(within("the third connection", third.answer()).await.0, 200);
    for connection in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        within("the end of a connection", connection.reader.read_to_end(&mut rest)).await.unwrap();
    }
}

#[tokio::test]
async fn an_endless_body_is_abandoned_and_its_connection_closed() {
    let settings = GatewaySettings { body_timeout: Duration::from_secs(1), ..GatewaySettings::default() };
    let fixture = GatewayFixture::with(settings).await;
    let mut told = Vec::new();
    // A trickle of bytes never ends; a flood exceeds the size limit first.
    for piece in ["1\r\n \r\n".to_owned(), format!("10000\r\n{}\r\n", " ".repeat(0x10000))] {
        let Connection { reader, mut writer } = Connection::open(&fixture.address.to_string()).await;
        let pace = if piece.len() < 100 { Duration::from_millis(10) } else { Duration::from_nanos(1) };
        writer
            .write_all(
                b"POST /api/v1/config HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .await
            .unwrap();
        let endless = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(pace);
            // Until the other side has closed it.
            while writer.write_all(piece.as_bytes()).await.is_ok() {
                ticks.tick().await;
            }
            writer
        });
        let mut connection = Connection { reader, writer: TcpStream::connect(fixture.address).await.unwrap().into_split().1 };
        let (status, body) = connection.answer().await;
        told.push(format!("{status} {}: {}", body["error"]["type"].as_str().unwrap(), body["error"]["message"].as_str().unwrap()));
        within("the connection to be closed", endless).await.unwrap();
    }
    expect![[r#"
        200 body-broken: the body could not be read: did not arrive within 1 s
        200 too-large: the body is too large; this path accepts at most 16777216"#]]
    .assert_eq(&told.join("\n"));
}
