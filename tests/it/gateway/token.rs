//! A gateway with a token: which requests are accepted, which are not, and their answers.

use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_gateway::{GatewaySettings, Token, Tokens};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::fixture::{GatewayFixture, answer, error_of};

const TOKEN: &str = "a-token/of+32~characters.in-all=";

async fn fixture() -> GatewayFixture {
    GatewayFixture::with(GatewaySettings { tokens: Some(Tokens::one(Token::new(TOKEN).unwrap())), ..GatewaySettings::default() }).await
}

/// Status, `WWW-Authenticate`, and the answer.
async fn refused(request: RequestBuilder) -> (u16, String, Value) {
    let response = request.send().await.unwrap();
    let wanted = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), wanted.unwrap_or_default(), response.json().await.unwrap())
}

#[tokio::test]
async fn every_path_except_health_requires_the_token() {
    let fixture = fixture().await;
    for path in ["/metrics", "/api/v1/weir/status", "/nothing", "/api/v1/socket"] {
        let (status, wanted, body) = refused(fixture.get_request(path)).await;
        assert_eq!((status, wanted.as_str()), (401, "Bearer"), "{path}");
        expect_test::expect![[r#"this gateway requires a token; none was sent: send the header `Authorization: Bearer TOKEN`; it is the one that `weir up` was started with. For a WebSocket, append `?token=TOKEN` to the address; the command line reads WEIR_TOKEN, TrustGraph's tools read TRUSTGRAPH_TOKEN"#]]
            .assert_eq(&error_of(&body, "unauthorized"));
    }
    let (status, wanted, body) = refused(fixture.get_request("/api/v1/weir/status").bearer_auth("another-token-of-somebody")).await;
    assert_eq!((status, wanted.as_str()), (401, "Bearer error=\"invalid_token\""));
    assert!(error_of(&body, "unauthorized").starts_with("the token is not valid for this gateway; it is the one that"), "{body}");
    // Shared with others: even there a missing token is not an answer with status 200.
    let list = r#"{"operation": "list-flows"}"#;
    assert_eq!(answer(fixture.post_request("/api/v1/flow", "application/json", list)).await.0, 401);
    assert_eq!(fixture.get("/healthz").await.0, 200);
    assert_ne!(fixture.get("/readyz").await.0, 401);
}

#[tokio::test]
async fn health_is_answered_to_a_load_balancer_without_a_token() {
    let (fixture, open) = (fixture().await, GatewayFixture::new().await);
    for (path, expected) in [("/healthz", 200), ("/readyz", 503)] {
        for host in ["weir.example:8088", "10.0.0.1"] {
            let asked = |fixture: &GatewayFixture| answer(fixture.get_request(path).header("host", host));
            let (status, body) = asked(&fixture).await;
            assert_eq!(status, expected, "{path} {host}: {body}");
            // Without a token such a name may be that of a web page whose name was made to resolve to this machine.
            let (status, body) = asked(&open).await;
            assert_eq!(status, 403, "{path} {host}");
            assert!(error_of(&body, "forbidden").contains(host), "{body}");
        }
    }
}

#[tokio::test]
async fn configuration_problems_of_hosts_are_shown_only_with_the_token() {
    let fixture = fixture().await;
    let report = json!({
        "host": "inner-name", "version": "0", "started-ms": 1, "time-ms": 2, "config-version": 3,
        "config-problem": "the answer would have 67108865 bytes", "processors": [],
    });
    let reason = eventually(DEADLINE, "the host's report", || async {
        fixture.publish("notify:tg:weir-status", &report.to_string()).await;
        let (_, answer) = answer(fixture.get_request("/readyz").bearer_auth(TOKEN)).await;
        answer["reason"].as_str().filter(|reason| reason.contains("inner-name")).map(str::to_owned)
    })
    .await;
    assert!(reason.contains("host inner-name cannot fetch the configuration: the answer would have 67108865 bytes"), "{reason}");
    let (status, answer) = fixture.get("/readyz").await;
    let reason = answer["reason"].as_str().unwrap();
    assert!(status == 503 && reason.contains("a host has not fetched the configuration"), "{answer}");
    assert!(!reason.contains("inner-name") && !reason.contains("67108865"), "{answer}");
}

#[tokio::test]
async fn the_token_grants_access_from_anywhere() {
    let fixture = fixture().await;
    let list = fixture.post_request("/api/v1/flow", "application/json", r#"{"operation": "list-flows"}"#).bearer_auth(TOKEN);
    assert_eq!(answer(list).await.1["flow-ids"], json!([]));
    let status = fixture.get_request("/api/v1/weir/status").header("host", "weir.example").header("origin", "https://page.example");
    assert_eq!(answer(status.bearer_auth(TOKEN)).await.0, 200);
    // A request that a page could send without a preflight is refused nevertheless: the type of the body is part of the check.
    let plain = fixture.post_request("/api/v1/flow", "text/plain", "{}").bearer_auth(TOKEN);
    error_of(&answer(plain).await.1, "wrong-content-type");
}

#[tokio::test]
async fn cors_permits_web_pages_only_if_a_token_is_configured() {
    let fixture = fixture().await;
    let asked = |fixture: &GatewayFixture| {
        let request = fixture.request(Method::OPTIONS, "/api/v1/weir/status").header("origin", "https://page.example");
        request.header("access-control-request-method", "GET").header("access-control-request-headers", "authorization").send()
    };
    let response = asked(&fixture).await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap();
    assert_eq!((response.status().as_u16(), header("access-control-allow-origin")), (204, "*"));
    assert_eq!(header("access-control-allow-headers"), "authorization, content-type");
    let page = fixture.get_request("/api/v1/weir/status").header("origin", "https://page.example");
    let answered = page.try_clone().unwrap().bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!((answered.status().as_u16(), &answered.headers()["access-control-allow-origin"]), (200, &"*".parse().unwrap()));
    let answered = page.send().await.unwrap();
    assert_eq!((answered.status().as_u16(), &answered.headers()["access-control-allow-origin"]), (401, &"*".parse().unwrap()));

    let (status, body) = answer(fixture.get_request("/healthz").header("origin", "https://page.example")).await;
    assert_eq!(status, 403);
    assert!(error_of(&body, "forbidden").contains("a web page sent it"), "{body}");
    let open = GatewayFixture::new().await;
    let response = asked(&open).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("access-control-allow-origin")), (403, None));
}

#[tokio::test]
async fn a_socket_may_present_the_token_in_its_url() {
    let fixture = fixture().await;
    let status = async |query: &str| {
        let mut connection = TcpStream::connect(fixture.address).await.unwrap();
        let upgrade =
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        let request = format!("GET /nothing{query} HTTP/1.1\r\nhost: weir.example\r\n{upgrade}\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut text = [0; 12];
        within("an answer", connection.read_exact(&mut text)).await.unwrap();
        String::from_utf8(text.to_vec()).unwrap()
    };
    // Behind the guard there is no such path.
    assert_eq!(status(&format!("?token={TOKEN}")).await, "HTTP/1.1 404");
    assert_eq!(status(&format!("?token={}", TOKEN.replace('+', "%2B").replace('=', "%3D"))).await, "HTTP/1.1 404");
    assert_eq!(status("?token=another-token-of-somebody").await, "HTTP/1.1 401");
    assert_eq!(status("").await, "HTTP/1.1 401");
    let (status, _) = answer(fixture.get_request(&format!("/api/v1/weir/status?token={TOKEN}"))).await;
    assert_eq!(status, 401, "addresses are logged, so a plain request cannot show the token there");
}
