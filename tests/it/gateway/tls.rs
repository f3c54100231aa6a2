//! A gateway with TLS: slow connections and other protocols take no slot for long.

use std::net::SocketAddr;

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use weir_gateway::{GatewaySettings, TlsIdentity, TlsServer};
use weir_tests::certificates::Authority;
use weir_tests::wait::{DEADLINE, eventually, within};

use super::fixture::{GatewayFixture, settings};

struct Secure {
    fixture: GatewayFixture,
    http: reqwest::Client,
}

impl Secure {
    async fn new(settings: GatewaySettings) -> Secure {
        let authority = Authority::new("trusted");
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.certificate(&["localhost", "127.0.0.1"]).write(folder.path());
        let tls = TlsServer::new(&TlsIdentity::read(&certificate, &key).unwrap());
        let fixture = GatewayFixture::with(GatewaySettings { tls: Some(tls), ..settings }).await;
        let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).tls_certs_only([trusted]).pool_max_idle_per_host(0);
        Secure { fixture, http: http.build().unwrap() }
    }

    fn address(&self) -> SocketAddr {
        self.fixture.address
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.fixture.address)
    }

    async fn status(&self, path: &str) -> u16 {
        self.http.get(self.url(path)).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn requests_and_websockets_are_served_over_tls() {
    let gateway = Secure::new(settings()).await;
    assert_eq!(gateway.status("/healthz").await, 200);
    let list = json!({"operation": "list-flows"});
    let answer = gateway.http.post(gateway.url("/api/v1/flow")).json(&list).send().await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["flow-ids"], json!([]));

    let upgrade = gateway.http.get(gateway.url("/api/v1/socket")).header("connection", "upgrade").header("upgrade", "websocket");
    let upgrade = upgrade.header("sec-websocket-version", "13").header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    let upgraded = upgrade.send().await.unwrap().upgrade().await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    // Larger than what TLS buffers, in both directions.
    let large = "x".repeat(1 << 20);
    let put = json!({"id": 1, "service": "config", "request": {"operation": "put", "values": [{"type": "t", "key": "k", "value": large}]}});
    let get = json!({"id": 2, "service": "config", "request": {"operation": "getvalues", "type": "t"}});
    for (request, expected) in [(put, "{\"id\":1"), (get, "{\"id\":2")] {
        within("a request to be sent", socket.send(Message::text(request.to_string()))).await.unwrap();
        let answer = within("its answer", futures_util::StreamExt::next(&mut socket)).await.unwrap().unwrap();
        let text = answer.into_text().unwrap();
        assert!(text.starts_with(expected) && (expected.ends_with('1') || text.contains(&large)), "{}", text.len());
    }
}

#[tokio::test]
async fn a_silent_tls_client_blocks_neither_health_nor_others() {
    let gateway = Secure::new(GatewaySettings { max_connections_count: 1, ..settings() }).await;
    let silent = TcpStream::connect(gateway.address()).await.unwrap();
    // Half of a handshake, from another client.
    let mut half = TcpStream::connect(gateway.address()).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    for path in ["/healthz", "/metrics", "/api/v1/weir/status"] {
        assert_eq!(within(path, gateway.status(path)).await, 200, "{path}");
    }
    drop((silent, half));
}

#[tokio::test]
async fn health_is_answered_while_all_connections_are_in_use() {
    let gateway = Secure::new(GatewaySettings { max_connections_count: 1, ..settings() }).await;
    // It is in flight for as long as its body is.
    let (mut body, sent) = tokio::io::duplex(64);
    let stream = futures_util::stream::unfold(sent, |mut sent| async move {
        let mut part = vec![0; 64];
        let count = sent.read(&mut part).await.ok()?;
        part.truncate(count);
        (count > 0).then_some((Ok::<_, std::io::Error>(part), sent))
    });
    let busy = gateway.http.post(gateway.url("/api/v1/flow")).header("content-type", "application/json");
    let busy = tokio::spawn(busy.body(reqwest::Body::wrap_stream(stream)).send());
    body.write_all(b"{\"operation\":").await.unwrap();
    let figure = || async {
        let text = gateway.http.get(gateway.url("/metrics")).send().await.unwrap().text().await.unwrap();
        // The other one is the request for the figures.
        text.contains("\nweir_gateway_requests_waiting 2\n").then_some(())
    };
    eventually(DEADLINE, "the slow request to be under way", figure).await;
    for path in ["/healthz", "/metrics", "/healthz?again=1"] {
        assert_eq!(within(path, gateway.status(path)).await, 200, "{path}");
    }
    body.write_all(b"\"list-flows\"}").await.unwrap();
    drop(body);
    assert_eq!(within("the slow request", busy).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_without_tls_is_answered_with_the_reason() {
    let gateway = Secure::new(settings()).await;
    let mut plain = TcpStream::connect(gateway.address()).await.unwrap();
    plain.write_all(b"GET /api/v1/weir/status HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within("an answer", plain.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
    assert!(text.contains("this port requires TLS") && text.contains("https://"), "{text}");
    // Anything that is neither is just closed.
    let mut other = TcpStream::connect(gateway.address()).await.unwrap();
    other.write_all(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).await.unwrap();
    let mut bytes = Vec::new();
    within("the end", other.read_to_end(&mut bytes)).await.unwrap();
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    assert_eq!(gateway.status("/healthz").await, 200);
}
