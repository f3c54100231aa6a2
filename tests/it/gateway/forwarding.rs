//! Gateways that keep no components themselves, and the one that does.

use serde_json::{Value, json};
use tokio::net::TcpListener;
use weir_gateway::{Components, GatewaySettings, RemoteGateway, Token, TokenReach, Tokens, Trust};

use super::fixture::{GatewayFixture, answer, error_of, settings};

const TOKEN: &str = "the-token-of-the-store";
const ECHO: &str = r#"component {"schema": 1, "name": "echo", "version": "1.0.0"}"#;
const OTHER: &str = r#"component {"schema": 1, "name": "echo", "version": "1.0.0", "description": "other"}"#;

fn at(url: &str, token: Option<&str>) -> Components {
    Components::At(RemoteGateway::new(url, &Trust::System, token, TokenReach::Encrypted).unwrap())
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A gateway on the same broker that forwards to a URL.
async fn forwarding(store: &GatewayFixture, url: &str, token: Option<&str>) -> GatewayFixture {
    store.another(listener().await.0, at(url, token)).await
}

async fn deploy(fixture: &GatewayFixture, file: &'static str) -> (u16, Value) {
    answer(fixture.post_request("/api/v1/weir/components", "application/wasm", file)).await
}

#[tokio::test]
async fn uploads_and_downloads_are_forwarded_to_the_gateway_with_the_components() {
    let store = GatewayFixture::new().await;
    let front = forwarding(&store, &format!("http://{}", store.address), None).await;
    let (status, deployed) = deploy(&front, ECHO).await;
    assert_eq!((status, &deployed["unchanged"]), (200, &json!(false)), "{deployed}");
    assert_eq!(deploy(&store, ECHO).await.1["unchanged"], true);
    let path = format!("/api/v1/weir/components/{}", deployed["record"]["digest"].as_str().unwrap());
    for gateway in [&front, &store] {
        let response = gateway.get_request(&path).send().await.unwrap();
        let length = response.headers()["content-length"].to_str().unwrap().to_owned();
        assert_eq!((response.headers()["content-type"].to_str().unwrap(), length), ("application/wasm", ECHO.len().to_string()));
        assert_eq!(response.bytes().await.unwrap(), ECHO);
    }
    assert!(!front.folder().join("components").exists());
    let (status, refused) = deploy(&front, OTHER).await;
    assert!(status == 409 && error_of(&refused, "conflict").contains("is already used by another file"), "{refused}");
    let (status, missing) = front.get(&format!("/api/v1/weir/components/{}", "0".repeat(64))).await;
    assert_eq!((status, error_of(&missing, "not-found").contains("is not in the store")), (404, true));
    front.post("/api/v1/weir/components/remove", &json!({"component": "echo@1.0.0"})).await;
    let (status, pruned) = front.post("/api/v1/weir/components/prune", &json!({"dry-run": false})).await;
    assert_eq!((status, pruned["files"].as_array().unwrap().len()), (200, 1), "{pruned}");
    assert_eq!(store.get(&path).await.0, 404);
}

#[tokio::test]
async fn a_component_larger_than_the_buffer_is_streamed() {
    let store = GatewayFixture::with(GatewaySettings { max_component_bytes: 8 << 20, ..settings() }).await;
    let front = GatewayFixture::another_with(&store, listener().await.0, at(&format!("http://{}", store.address), None), {
        GatewaySettings { max_held_bytes: 1 << 20, ..settings() }
    });
    let front = front.await;
    let file = format!("{ECHO}{}", " ".repeat(4 << 20));
    let (status, deployed) = answer(front.post_request("/api/v1/weir/components", "application/wasm", file.clone())).await;
    assert_eq!(status, 200, "{deployed}");
    let path = format!("/api/v1/weir/components/{}", deployed["record"]["digest"].as_str().unwrap());
    assert_eq!(front.get_request(&path).send().await.unwrap().bytes().await.unwrap(), file);
}

#[tokio::test]
async fn an_unreachable_or_refusing_store_is_reported_with_the_setting() {
    let store = GatewayFixture::with(GatewaySettings { tokens: Some(Tokens::one(Token::new(TOKEN).unwrap())), ..settings() }).await;
    let url = format!("http://{}", store.address);
    let refused = forwarding(&store, &url, Some("the-token-of-another")).await;
    let (status, body) = deploy(&refused, ECHO).await;
    let message = error_of(&body, "store-refused");
    assert!(status == 502 && message.contains(&url) && message.contains("gateway.components-token-file"), "{message}");
    assert_eq!(deploy(&forwarding(&store, &url, Some(TOKEN)).await, ECHO).await.0, 200);
    let (gone, url) = listener().await;
    drop(gone);
    let away = forwarding(&store, &url, None).await;
    let large = vec![0_u8; 8 << 20];
    let (status, body) = answer(away.post_request("/api/v1/weir/components", "application/wasm", large)).await;
    let message = error_of(&body, "unavailable");
    assert!(status == 503 && message.contains(&url) && message.contains("gateway.components-from"), "{message}");
    let (status, body) = away.get(&format!("/api/v1/weir/components/{}", "0".repeat(64))).await;
    assert!(status == 503 && error_of(&body, "unavailable").contains(&url), "{body}");
}

#[tokio::test]
async fn a_hanging_store_is_reported_before_a_file_is_sent_to_it() {
    let store = GatewayFixture::new().await;
    // The system accepts connections to it, but no program reads them.
    let (_hanging, url) = listener().await;
    let front = forwarding(&store, &url, None).await;
    let (status, body) = answer(front.post_request("/api/v1/weir/components", "application/wasm", vec![0_u8; 1 << 20])).await;
    let message = error_of(&body, "unavailable");
    assert!(status == 503 && message.contains(&url) && message.contains("does not answer within 10 s"), "{message}");
}

#[tokio::test]
async fn gateways_that_forward_to_each_other_return_an_error() {
    let fixture = GatewayFixture::new().await;
    let ((one, url_of_one), (two, url_of_two)) = (listener().await, listener().await);
    let (one, two) = (fixture.another(one, at(&url_of_two, None)).await, fixture.another(two, at(&url_of_one, None)).await);
    for gateway in [&one, &two] {
        let (status, body) = deploy(gateway, ECHO).await;
        let message = error_of(&body, "forwarded-twice");
        assert!(status == 508 && message.contains("set gateway.components-from of the gateway that it came from"), "{message}");
    }
}
